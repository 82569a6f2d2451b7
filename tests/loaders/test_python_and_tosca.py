"""A template written in Python and one written in TOSCA are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from aria_core import (
    ActivitySpec,
    ModelStorage,
    SqlModelStorage,
    StepSpec,
    TemplateBuilder,
    concat,
    create_service,
    get_attribute,
    get_input,
    parameter,
    script,
    store_template,
)
from aria_core.modeling.models import Service
from aria_plugins.storage.file import FileStorage

TOSCA = """
description: A shop
metadata: {template_name: shop}
imports: [aria-1.0]
capability_types:
  Place: {derived_from: tosca.capabilities.Root, properties: {size: {type: integer, default: 2}}}
relationship_types:
  On: {derived_from: tosca.relationships.HostedOn}
node_types:
  Machine:
    attributes: {address: {type: string, default: nowhere}}
    capabilities: {place: {type: Place}}
  Shop:
    properties: {port: {type: integer, default: 80}, name: {type: string}}
    requirements: [place: {capability: Place, relationship: On}]
    interfaces:
      Standard: {type: tosca.interfaces.node.lifecycle.Standard}
topology_template:
  inputs: {name: {type: string, default: best, constraints: [{min_length: 2}]}}
  node_templates:
    machine: {type: Machine}
    shop:
      type: Shop
      properties: {name: {concat: [{get_input: name}, ' shop']}}
      requirements: [place: machine]
      interfaces:
        Standard:
          operations:
            create:
              implementation: {primary: create.sh, dependencies: [aria.max_attempts > 3], timeout: 9}
              inputs: {host: {type: string, default: {get_attribute: [machine, address]}}}
            start: package.module:start
  outputs: {where: {type: string, value: {get_attribute: [machine, address]}}}
  policies:
    repair: {type: aria.Workflow, properties: {implementation: package.module.repair, hard: true}}
    few: {type: aria.Concurrency, properties: {max_concurrency: 1}, targets: [shop]}
  workflows:
    again: {steps: {one: {target: shop, activities: [{call_operation: Standard.create}, {delegate: start}]}}}
"""

STANDARD = ["create", "configure", "start", "stop", "delete"]


def written_in_python() -> TemplateBuilder:
    template = TemplateBuilder("shop", description="A shop", metadata={"template_name": "shop"})
    template.input("name", "string", default="best", required=True, constraints=[{"min_length": 2}])
    machine = template.node("machine", type="Machine", types=["Machine"],
                            attributes={"address": parameter("nowhere", "string", required=True)},
                            capabilities={"place": {"size": parameter(2, "integer", required=True)}})
    create = script("create.sh", max_attempts=3, timeout=9.0,
                    inputs={"host": parameter(get_attribute("machine", "address"), "string", required=True)})
    shop = template.node(
        "shop", type="Shop", types=["Shop"], max_concurrency=1,
        properties={"port": parameter(80, "integer", required=True),
                    "name": parameter(concat(get_input("name"), " shop"), "string", required=True)},
        operations={**dict.fromkeys(STANDARD), "create": create, "start": "package.module:start"})
    shop.requires(machine, "place", type="On", capability="place", hosted=True,
                  types=["On", "tosca.relationships.HostedOn", "tosca.relationships.Root"])
    template.output("where", get_attribute("machine", "address"), "string")
    template.workflow("repair", "package.module:repair", inputs={"hard": parameter(True, "any")})
    template.workflow("again", steps={"one": StepSpec(nodes=["shop"], activities=[
        ActivitySpec(interface="Standard", operation="create"), ActivitySpec(delegate="start")])})
    return template


def comparable(value: Any) -> Any:
    """A specification as JSON without what is never written in Python."""
    if isinstance(value, dict):
        is_part = value.keys() <= {"type", "operations", "properties", "attributes"}
        left_out = {"location", "type"} if is_part else {"location"}
        return {key: comparable(each) for key, each in value.items() if key not in left_out}
    return [comparable(each) for each in value] if isinstance(value, list) else value


def test_both_ways_of_writing_a_template_give_the_same(load: Any) -> None:
    tosca = load(TOSCA, files={"create.sh": ""}).template
    python = written_in_python().build()
    assert comparable(msgspec.to_builtins(tosca)) == comparable(msgspec.to_builtins(python))


def rows(model: ModelStorage) -> dict[str, list[Any]]:
    """All rows but those of templates, without moments and the types of interfaces."""
    with model.read_session() as session:
        found = {}
        for table in Service.metadata.sorted_tables:
            columns = [each for each in table.columns if not each.name.endswith("_at")
                       and (table.name, each.name) != ("interface", "type_name")]
            if not table.name.endswith("_template"):
                selected = session.execute(select(*columns).order_by(*table.primary_key))
                found[table.name] = [comparable(dict(row)) for row in selected.mappings()]
        return found


def test_both_become_the_same_rows(load: Any, tmp_path: Path) -> None:
    stored: list[dict[str, list[Any]]] = []
    for loaded in (load(TOSCA, files={"create.sh": ""}), written_in_python().load(tmp_path)):
        with SqlModelStorage("sqlite://") as model, FileStorage(tmp_path / f"files-{len(stored)}") as files:
            create_service(model, store_template(model, files, loaded), "one")
            stored.append(rows(model))
    assert stored[0] == stored[1]
    assert len(stored[0]["node"]) == 2
