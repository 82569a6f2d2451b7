"""The table of keynames of TOSCA 2.0; `translation` turns what has this shape into the shape of 1.3."""

from __future__ import annotations

from types import MappingProxyType

from .keynames import Entity, Table

_COMMON = {"description": "text", "metadata": "{any}"}
_TYPE = {**_COMMON, "derived_from": "name", "version": "word"}
_SCHEMA = {"type": "name", "description": "text", "validation": "any", "key_schema": "schema",
           "entry_schema": "schema"}
_PROPERTY = {**_SCHEMA, "metadata": "{any}", "required": "bool", "default": "any", "value": "any",
             "status": "status", "external_schema": "any"}
_ATTRIBUTE = {**_SCHEMA, "metadata": "{any}", "default": "any", "status": "status"}
_TEMPLATE = {**_COMMON, "type": "name", "properties": "{any}"}
_ARTIFACT = {"type": "name", "file": "text", "repository": "name", "description": "text", "metadata": "{any}",
             "artifact_version": "word", "checksum": "text", "checksum_algorithm": "text",
             "properties": "{any}"}

_TABLE: dict[str, Entity] = {
    "service template": Entity({
        "tosca_definitions_version": "any", "profile": "name", "metadata": "{filled}", "description": "text",
        "dsl_definitions": "{filled}", "repositories": "{repository}", "imports": "[import]",
        "artifact_types": "{artifact type}", "data_types": "{data type}",
        "capability_types": "{capability type}", "interface_types": "{interface type}",
        "relationship_types": "{relationship type}", "node_types": "{node type}",
        "group_types": "{group type}", "policy_types": "{policy type}", "functions": "{function}",
        "service_template": "topology template"}),
    "repository": Entity({**_COMMON, "url": "text", "credential": "{any}"}, ("url",), short="text"),
    "import": Entity({**_COMMON, "url": "name", "profile": "name", "repository": "name", "namespace": "name"},
                     short="name"),
    "function": Entity({**_COMMON, "signatures": "[signature]"}, ("signatures",)),
    "signature": Entity({"arguments": "[schema]", "optional_arguments": "[schema]",
                         "variadic": "bool", "result": "schema", "implementation": "implementation"}),
    "artifact type": Entity({**_TYPE, "mime_type": "text", "file_ext": "[text]", "properties": "{property}"},
                            empty=True),
    "data type": Entity({
        **_TYPE, "validation": "any", "properties": "{property}", "key_schema": "schema",
        "entry_schema": "schema", "data_type": "name", "units": "any", "canonical_unit": "text",
        "prefixes": "any"}, empty=True),
    "capability type": Entity({
        **_TYPE, "properties": "{property}", "attributes": "{attribute}", "valid_source_node_types": "[name]",
        "valid_relationship_types": "[name]"}, empty=True),
    "interface type": Entity({**_TYPE, "inputs": "{property}", "operations": "{operation}",
                              "notifications": "{any}"}, empty=True),
    "relationship type": Entity({
        **_TYPE, "properties": "{property}", "attributes": "{attribute}", "interfaces": "{interface}",
        "valid_capability_types": "[name]", "valid_target_node_types": "[name]",
        "valid_source_node_types": "[name]"}, empty=True),
    "node type": Entity({
        **_TYPE, "properties": "{property}", "attributes": "{attribute}",
        "requirements": "[{requirement definition}]", "capabilities": "{capability definition}",
        "interfaces": "{interface}", "artifacts": "{artifact}"}, empty=True),
    "group type": Entity({**_TYPE, "properties": "{property}", "attributes": "{attribute}",
                          "members": "[name]"}, empty=True),
    "policy type": Entity({**_TYPE, "properties": "{property}", "targets": "[name]",
                           "triggers": "{trigger}"}, empty=True),
    "property": Entity(_PROPERTY, short="any"),
    "attribute": Entity(_ATTRIBUTE),
    "schema": Entity({**_SCHEMA, "metadata": "{any}", "required": "bool", "default": "any"},
                     short="name"),
    "capability definition": Entity({
        **_COMMON, "type": "name", "properties": "{property}", "attributes": "{attribute}",
        "valid_source_node_types": "[name]", "valid_relationship_types": "[name]"}, short="name"),
    "requirement definition": Entity({
        **_COMMON, "capability": "name", "node": "name", "relationship": "relationship definition",
        "node_filter": "any", "count_range": "range", "direct_only": "bool"}, short="name"),
    "relationship definition": Entity({
        **_COMMON, "type": "name", "properties": "{any}", "attributes": "{any}",
        "interfaces": "{interface}"}, short="name"),
    "interface": Entity({**_COMMON, "type": "name", "inputs": "{argument}", "operations": "{operation}",
                         "notifications": "{any}"}, empty=True),
    "operation": Entity({**_COMMON, "inputs": "{argument}", "outputs": "{any}",
                         "implementation": "implementation"}, short="text", empty=True),
    "argument": Entity({**_PROPERTY}, ("type",)),
    "implementation": Entity({"primary": "primary", "dependencies": "[primary]", "timeout": "any",
                              "operation_host": "text"}, short="text"),
    "primary": Entity(_ARTIFACT, ("file",), short="text"),
    "artifact": Entity(_ARTIFACT, short="text"),
    "topology template": Entity({
        **_COMMON, "inputs": "{input}", "node_templates": "{node template}",
        "relationship_templates": "{relationship template}", "groups": "{group}", "policies": "[{policy}]",
        "outputs": "{output}", "substitution_mappings": "substitution mapping", "workflows": "{workflow}"}),
    "input": Entity(_PROPERTY, short="any"),
    "output": Entity(_PROPERTY, short="any"),
    "node template": Entity({
        **_TEMPLATE, "directives": "[text]", "attributes": "{any}", "count": "any",
        "requirements": "[{requirement assignment}]", "capabilities": "{capability assignment}",
        "interfaces": "{interface assignment}", "artifacts": "{artifact}", "node_filter": "any",
        "copy": "name"}, ("type",)),
    "relationship template": Entity({**_TEMPLATE, "attributes": "{any}", "copy": "name",
                                     "interfaces": "{interface assignment}"}, ("type",)),
    "capability assignment": Entity({"properties": "{any}", "attributes": "{any}", "directives": "[text]",
                                     "type": "name"}),
    "requirement assignment": Entity({
        "node": "any", "capability": "any", "relationship": "relationship assignment", "allocation": "any",
        "count": "any", "node_filter": "any", "directives": "[text]", "optional": "any"}, short="any"),
    "relationship assignment": Entity({"type": "name", "properties": "{any}", "attributes": "{any}",
                                       "interfaces": "{interface assignment}"}, short="name"),
    "interface assignment": Entity({**_COMMON, "type": "name", "inputs": "{any}",
                                    "operations": "{operation assignment}", "notifications": "{any}"},
                                   empty=True),
    "operation assignment": Entity({**_COMMON, "inputs": "{any}", "outputs": "{any}",
                                    "implementation": "implementation"}, short="text", empty=True),
    "group": Entity({**_TEMPLATE, "attributes": "{any}", "members": "[any]"}, ("type",)),
    "policy": Entity({**_TEMPLATE, "targets": "[any]", "triggers": "{trigger}"}, ("type",)),
    "trigger": Entity({**_COMMON, "event": "any", "condition": "any", "action": "[any]"}, ("action",)),
    "substitution mapping": Entity({
        "node_type": "name", "substitution_filter": "any", "properties": "{any}", "attributes": "{any}",
        "capabilities": "{any}", "requirements": "any", "interfaces": "{any}"}, ("node_type",)),
    "workflow": Entity({**_COMMON, "inputs": "{input}", "precondition": "any", "steps": "{step}",
                        "implementation": "implementation", "outputs": "{any}"}),
    "step": Entity({"target": "any", "target_relationship": "name", "filter": "any", "activities": "[any]",
                    "on_success": "[name]", "on_failure": "[name]"}, ("activities",)),
}

VERSION = "tosca_2_0"
TABLE_2_0: Table = MappingProxyType(_TABLE)

PROFILES_2_0 = MappingProxyType({
    "org.oasis-open.simple:2.0": "tosca-simple-1.3", "org.oasis-open.tosca.simple:2.0": "tosca-simple-1.3",
    "aria-1.0": "aria-1.0"})
"""Name of a profile that an import of 2.0 names -> the profile that ships with the loader."""
