"""Which keynames each version of TOSCA knows, and what stands under them: one table per version.

A table maps the name of an entity to an `Entity`, whose keynames map to *shapes*:

==================  =============================================================
``text``            text; ``name`` may not be empty, ``word`` may be a number; ``bool``, ``number``
``version``         a TOSCA version such as ``1.0`` (YAML may take it for a number)
``range``           two whole numbers, the second may be ``UNBOUNDED``
``any``             anything
``{shape}``         a map from names to values of this shape
``[shape]``         a list of values of this shape
``[{shape}]``       a list of maps with one entry each: ordered names; policies, triggers and filters
                    may be one map instead
``entity``          an entity of this table
==================  =============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

VERSION_KEY = "tosca_definitions_version"


@dataclass(frozen=True, slots=True)
class Entity:
    """What may stand in one kind of map.

    `short` is the shape of its short form, if it has one; `rest` the shape of entries under names
    of the author's choice; `empty` says that null stands for the empty map.
    """

    keys: Mapping[str, str]
    required: tuple[str, ...] = ()
    short: str | None = None
    rest: str | None = None
    empty: bool = False


Table: TypeAlias = Mapping[str, Entity]

_TYPE = {"derived_from": "name", "version": "version", "description": "text", "metadata": "{any}"}
_SCHEMA = {"type": "name", "description": "text", "constraints": "[any]", "entry_schema": "schema"}
_PROPERTY = {**_SCHEMA, "required": "bool", "default": "any", "status": "status"}
_ATTRIBUTE = {"type": "name", "description": "text", "default": "any", "status": "status",
              "entry_schema": "schema"}
_TEMPLATE = {"type": "name", "description": "text", "metadata": "{word}", "properties": "{any}"}

_TRIGGER = Entity({
    "description": "text", "event": "any", "event_type": "any", "schedule": "any", "target_filter": "any",
    "condition": "any", "constraint": "any", "period": "any", "evaluations": "any", "method": "any",
    "action": "any",
    "metric": "any", "metrics": "any", "metadata": "any"})
"""The last three are not TOSCA's, but Heat and Tacker write them."""

_V1_0: dict[str, Entity] = {
    "service template": Entity({
        VERSION_KEY: "any", "metadata": "metadata", "template_name": "text", "template_author": "text",
        "template_version": "version", "tosca_default_namespace": "text", "description": "text",
        "dsl_definitions": "any", "repositories": "{repository}", "imports": "[import]",
        "artifact_types": "{artifact type}", "data_types": "{data type}",
        "capability_types": "{capability type}", "interface_types": "{interface type}",
        "relationship_types": "{relationship type}", "node_types": "{node type}",
        "group_types": "{group type}", "policy_types": "{policy type}",
        "topology_template": "topology template"}),
    "metadata": Entity({"template_name": "text", "template_author": "text", "template_version": "version"},
                       rest="word"),
    "repository": Entity({"description": "text", "url": "text", "credential": "{any}"}, ("url",),
                         short="text"),
    "import": Entity({"file": "name", "repository": "name", "namespace_uri": "text",
                      "namespace_prefix": "text"},
                     ("file",), short="name"),
    "artifact type": Entity({**_TYPE, "mime_type": "text", "file_ext": "[text]",
                             "properties": "{refined property}"}, empty=True),
    "data type": Entity({**_TYPE, "constraints": "[any]", "properties": "{refined property}"}, empty=True),
    "capability type": Entity({**_TYPE, "properties": "{refined property}", "attributes": "{attribute}",
                               "valid_source_types": "[name]"}, empty=True),
    "interface type": Entity({**_TYPE, "inputs": "{property}"}, rest="operation declaration", empty=True),
    "relationship type": Entity({**_TYPE, "properties": "{refined property}", "attributes": "{attribute}",
                                 "interfaces": "{interface definition}", "valid_target_types": "[name]"},
                                 empty=True),
    "node type": Entity({**_TYPE, "properties": "{refined property}", "attributes": "{attribute}",
                         "requirements": "[{requirement definition}]",
                         "capabilities": "{capability definition}",
                         "interfaces": "{interface definition}", "artifacts": "{artifact}"}, empty=True),
    "group type": Entity({**_TYPE, "properties": "{refined property}", "members": "[name]",
                          "requirements": "[{requirement definition}]",
                          "capabilities": "{capability definition}", "interfaces": "{interface definition}"},
                          empty=True),
    "policy type": Entity({**_TYPE, "properties": "{refined property}", "targets": "[name]",
                           "triggers": "[{trigger}]"}, empty=True),
    "property": Entity(_PROPERTY),
    "refined property": Entity(_PROPERTY, short="any"),
    "attribute": Entity(_ATTRIBUTE),
    "schema": Entity(_SCHEMA, ("type",), short="name"),
    "capability definition": Entity({
        "type": "name", "description": "text", "properties": "{property}", "attributes": "{attribute}",
        "valid_source_types": "[name]", "occurrences": "range"}, short="name"),
    "requirement definition": Entity({
        "capability": "name", "node": "name", "relationship": "relationship definition",
        "occurrences": "range", "description": "text"}, short="name"),
    "relationship definition": Entity({"type": "name", "interfaces": "{interface definition}"}, ("type",),
                                      short="name"),
    "interface definition": Entity({"type": "name", "inputs": "{argument}", "description": "text"},
                                   rest="operation definition", empty=True),
    "operation declaration": Entity({"description": "text", "inputs": "{argument}"}, empty=True),
    "operation definition": Entity({"description": "text", "implementation": "implementation",
                                    "inputs": "{argument}"}, short="text", empty=True),
    "argument": Entity({**_PROPERTY, "value": "any"}, ("type",)),
    "implementation": Entity({"primary": "primary", "dependencies": "[dependency]"}, short="text"),
    "primary": Entity({}, short="text"),
    "dependency": Entity({}, short="text"),
    "artifact": Entity({"type": "name", "file": "text", "repository": "name", "description": "text",
                        "deploy_path": "text", "properties": "{any}"}, short="text"),
    "topology template": Entity({
        "description": "text", "inputs": "{input}", "node_templates": "{node template}",
        "relationship_templates": "{relationship template}", "groups": "{group}", "policies": "[{policy}]",
        "outputs": "{output}", "substitution_mappings": "substitution mapping"}, empty=True),
    "input": Entity({**_PROPERTY, "value": "any"}, ("type",)),
    "output": Entity({**_PROPERTY, "value": "any"}),
    "node template": Entity({
        **_TEMPLATE, "directives": "[text]", "attributes": "{any}",
        "requirements": "[{requirement assignment}]", "capabilities": "{capability assignment}",
        "interfaces": "{interface assignment}", "artifacts": "{artifact}", "node_filter": "node filter",
        "copy": "name"}),
    "relationship template": Entity({**_TEMPLATE, "alias": "text", "attributes": "{any}", "copy": "name",
                                     "interfaces": "{interface assignment}"}),
    "capability assignment": Entity({"properties": "{any}", "attributes": "{any}"}),
    "requirement assignment": Entity({
        "node": "name", "capability": "name", "relationship": "relationship assignment",
        "node_filter": "node filter", "occurrences": "range"}, short="name"),
    "relationship assignment": Entity({"type": "name", "properties": "{any}",
                                       "interfaces": "{interface assignment}"}, short="name"),
    "interface assignment": Entity({"type": "name", "inputs": "{any}"}, rest="operation assignment",
                                   empty=True),
    "operation assignment": Entity({"description": "text", "implementation": "implementation",
                                    "inputs": "{any}"}, short="text", empty=True),
    "node filter": Entity({"properties": "[{any}]", "capabilities": "[{capability filter}]"}),
    "capability filter": Entity({"properties": "[{any}]"}),
    "group": Entity({**_TEMPLATE, "members": "[name]", "interfaces": "{interface assignment}"}, ("type",)),
    "policy": Entity({**_TEMPLATE, "targets": "[name]", "triggers": "[{trigger}]"}, ("type",)),
    "substitution mapping": Entity({
        "node_type": "name", "capabilities": "{any}", "requirements": "{any}", "properties": "{any}"},
        ("node_type",)),
    "trigger": _TRIGGER,
}

_STEP = Entity({
    "target": "name", "target_relationship": "name", "operation_host": "text", "filter": "any",
    "activities": "[any]", "on_success": "[name]", "on_failure": "[name]"}, ("target", "activities"))


def _with(table: dict[str, Entity], changes: Mapping[str, Mapping[str, str]], **new: Entity) -> dict[str,
                                                                                                     Entity]:
    """`table` with more keynames in some entities, and with new entities."""
    grown = {name: replace(table[name], keys={**table[name].keys, **keys}) for name, keys in changes.items()}
    return {**table, **grown, **new}


_V1_1 = _with(_V1_0, {
    "topology template": {"workflows": "{workflow}"},
    "substitution mapping": {"interfaces": "{any}"},
}, step=_STEP, workflow=Entity({
    "description": "text", "metadata": "{word}", "inputs": "{input}", "preconditions": "[any]",
    "steps": "{step}"}))

_V1_2 = _with(_V1_1, {
    "service template": {"namespace": "text"},
    "implementation": {"timeout": "number", "operation_host": "text"},
    "interface type": {"operations": "{operation declaration}"},
    "interface definition": {"operations": "{operation definition}"},
    "interface assignment": {"operations": "{operation assignment}"},
    "workflow": {"implementation": "implementation", "outputs": "any"},
    "substitution mapping": {"attributes": "{any}"},
})

_SCHEMAS = {"key_schema": "schema", "entry_schema": "schema"}
_ARTIFACT_1_3 = {"artifact_version": "word", "checksum": "text", "checksum_algorithm": "text"}

_V1_3 = _with(_V1_2, {
    "data type": _SCHEMAS,
    "schema": {**_SCHEMAS, "required": "bool", "default": "any", "status": "status"},
    "property": {**_SCHEMAS, "external-schema": "text", "metadata": "{word}"},
    "refined property": {**_SCHEMAS, "external-schema": "text", "metadata": "{word}"},
    "attribute": {**_SCHEMAS, "constraints": "[any]", "metadata": "{word}"},
    "argument": {**_SCHEMAS, "metadata": "{word}"},
    "input": {**_SCHEMAS, "metadata": "{word}"},
    "output": {**_SCHEMAS, "metadata": "{word}"},
    "interface type": {"notifications": "{any}"},
    "interface definition": {"notifications": "{any}"},
    "interface assignment": {"notifications": "{any}"},
    "operation definition": {"outputs": "{any}"},
    "operation declaration": {"outputs": "{any}"},
    "operation assignment": {"outputs": "{any}"},
    "requirement definition": {"metadata": "{word}", "node_filter": "node filter"},
    "relationship assignment": {"attributes": "{any}"},
    "relationship definition": {"properties": "{any}"},
    "capability assignment": {"occurrences": "range"},
    "artifact": _ARTIFACT_1_3,
    "group type": {"attributes": "{attribute}"},
    "group": {"attributes": "{any}"},
    "node filter": {"properties": "[{filter}]"},
    "capability filter": {"properties": "[{filter}]"},
    "substitution mapping": {"substitution_filter": "node filter"},
}, primary=Entity({"type": "name", "file": "text", "repository": "name", "description": "text",
                   "deploy_path": "text", "properties": "{any}", **_ARTIFACT_1_3}, ("file",), short="text"))
_V1_3["dependency"] = _V1_3["primary"]
_V1_3["input"] = replace(_V1_3["input"], required=())

TABLES: Mapping[str, Table] = MappingProxyType({
    "tosca_simple_yaml_1_0": MappingProxyType(_V1_0),
    "tosca_simple_yaml_1_1": MappingProxyType(_V1_1),
    "tosca_simple_yaml_1_2": MappingProxyType(_V1_2),
    "tosca_simple_yaml_1_3": MappingProxyType(_V1_3),
    **dict.fromkeys(("tosca_simple_profile_for_nfv_1_0", "tosca_simple_profile_for_nfv_1_0_0",
                     "tosca_simple_profile_for_nfv_1_1"), MappingProxyType(_V1_2)),
})
"""Version -> its table."""

OTHER_NAMES: Mapping[str, str] = MappingProxyType({
    f"http://docs.oasis-open.org/tosca/ns/simple/yaml/1.{minor}": f"tosca_simple_yaml_1_{minor}"
    for minor in range(4)
})
"""Other ways of writing a version."""

TYPE_SECTIONS: Mapping[str, str] = MappingProxyType({
    "artifact_types": "artifact", "data_types": "data", "capability_types": "capability",
    "interface_types": "interface", "relationship_types": "relationship", "node_types": "node",
    "group_types": "group", "policy_types": "policy",
})
"""Section of a service template -> the kind of types in it."""
