"""A node template for which another template of the same set stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aria_core import SqlModelStorage, WorkflowRunner, create_service, store_template
from aria_core.orchestrator.topology import outputs
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.storage.file import FileStorage

TYPES = """
tosca_definitions_version: tosca_simple_yaml_1_3
capability_types:
  Store: {derived_from: tosca.capabilities.Endpoint}
node_types:
  Thing:
    derived_from: tosca.nodes.Root
    interfaces: {Standard: {operations: {create: ops.note, start: ops.note, delete: ops.note}}}
  Machine:
    derived_from: Thing
    attributes: {address: {type: string, default: 10.0.0.1}}
    capabilities: {place: {type: tosca.capabilities.Node}}
  Engine:
    derived_from: Thing
    properties: {size: {type: integer, default: 0}, label: {type: string, default: ''}}
    attributes: {address: {type: string, default: nobody}}
    capabilities: {store: {type: Store}}
    requirements: [place: {capability: tosca.capabilities.Node, relationship: tosca.relationships.DependsOn}]
  Database:
    derived_from: tosca.nodes.Root
    properties: {gigabytes: {type: integer, default: 4}, label: {type: string, default: db}}
    attributes: {address: {type: string}, engine_size: {type: integer}}
    capabilities: {data: {type: Store}}
    requirements: [on: {capability: tosca.capabilities.Node, relationship: tosca.relationships.DependsOn,
                        occurrences: [0, 1]}]
  Client:
    derived_from: Thing
    requirements: [data: {capability: Store}]
"""

CLUSTER = """
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [types.yaml]
topology_template:
  inputs: {size: {type: integer}, prefix: {type: string, default: the}}
  node_templates:
    disk: {type: Thing}
    engine:
      type: Engine
      properties: {size: {get_input: size}}
      requirements: [dependency: disk]
      interfaces: {Standard: {operations: {create: {inputs: {
        what: {concat: [{get_input: prefix}, ' ', {get_property: [engine, size]},
                        {get_property: [SELF, label]}]}}}}}}
      attributes: {address: {concat: ['at ', {get_attribute: [disk, tosca_name]}]}}
      capabilities: {store: {properties: {port: 5432}}}
  outputs:
    address: {value: {get_attribute: [engine, address]}}
  substitution_mappings:
    node_type: Database
    properties: {gigabytes: [size], label: [engine, label]}
    attributes: {engine_size: [engine, size]}
    capabilities: {data: [engine, store]}
    requirements: {on: [engine, place]}
"""

MAIN = """
imports: [types.yaml, cluster.yaml]
topology_template:
  node_templates:
    machine: {type: Machine}
    db: {type: Database, properties: {gigabytes: 8}, requirements: [on: machine]}
    client: {type: Client, requirements: [data: db]}
  outputs:
    address: {value: {get_attribute: [db, address]}}
    size: {value: {get_attribute: [db, engine_size]}}
    port: {value: {get_property: [client, data, port]}}
"""

OPERATIONS = """
from aria_core import operation

@operation
def note(ctx, what=""):
    with open(ctx.service.inputs["notes"], "a") as file:
        file.write(f"{ctx.task.operation_name} {ctx.node.name} {what}".strip() + "\\n")
"""

FILES = {"types.yaml": TYPES, "cluster.yaml": CLUSTER, "ops.py": OPERATIONS}


def test_its_nodes_stand_beside_the_node_and_before_it(load: Any) -> None:
    loaded = load(MAIN, files=FILES)
    nodes = loaded.template.nodes
    assert [*nodes] == ["machine", "db", "client", "db.disk", "db.engine"]
    assert [(each.name, each.target) for each in nodes["db"].relationships] == [
        ("on", "machine"), ("substitution", "db.disk"), ("substitution", "db.engine")]
    assert [(each.name, each.target) for each in nodes["db.engine"].relationships] == [
        ("dependency", "db.disk"), ("place", "machine")]
    assert nodes["client"].relationships[0].target == "db"
    assert loaded.warnings == []


def test_it_runs_with_values_that_go_in_and_out(load: Any, tmp_path: Path) -> None:
    inputs = MAIN.replace("topology_template:\n", "topology_template:\n  inputs: {notes: {type: string}}\n")
    with (ThreadExecutor() as executor, SqlModelStorage("sqlite://") as model,
          FileStorage(tmp_path / "files") as files):
        template = store_template(model, files, load(inputs, files=FILES))
        service = create_service(model, template, "one", {"notes": str(tmp_path / "notes")})
        for workflow in ("install", "uninstall"):
            WorkflowRunner(model, files, None, service_id=service.id, workflow_name=workflow,
                           executor=executor, task_max_attempts=1).execute()
            if workflow == "install":
                assert outputs(model, service) == {"address": "at disk", "size": 8, "port": 5432}
        done = (tmp_path / "notes").read_text().splitlines()
    assert set(done[:4]) == {"create machine", "start machine", "create db.disk", "start db.disk"}
    assert done[4:8] == ["create db.engine the 8db", "start db.engine", "create client", "start client"]
    assert done[8] == "delete client"
    assert done.index("delete db.engine") < min(done.index("delete db.disk"), done.index("delete machine"))


def test_tosca_2_0_has_it_too(load: Any) -> None:
    head = "tosca_definitions_version: tosca_2_0\n"
    types = head + """
capability_types: {Store: {}}
node_types:
  Engine: {capabilities: {store: Store}, properties: {size: {type: integer}}, requirements: [on: Store]}
  Disk: {capabilities: {store: Store}}
  Database: {properties: {bytes: {type: integer}}, requirements: [on: Store], capabilities: {data: Store}}
"""
    cluster = head + """
imports: [types.yaml]
service_template:
  inputs: {size: {type: integer}}
  node_templates: {engine: {type: Engine, properties: {size: {$get_input: size}}}}
  substitution_mappings:
    node_type: Database
    properties: {bytes: [size]}
    requirements: [on: [engine, on]]
    capabilities: {data: [engine, store]}
"""
    main = head + """
imports: [types.yaml, cluster.yaml]
service_template:
  node_templates:
    disk: {type: Disk}
    db: {type: Database, directives: [substitute], properties: {bytes: 8}, requirements: [on: disk]}
"""
    nodes = load(main, version="", files={"types.yaml": types, "cluster.yaml": cluster}).template.nodes
    assert nodes["db.engine"].properties["size"].value == {"$get_property": ["db", "bytes"]}
    assert [each.target for each in nodes["db.engine"].relationships] == ["disk"]


def test_two_nodes_have_each_their_own(load: Any) -> None:
    second = "    second: {type: Database, requirements: [on: machine]}\n    client:"
    nodes = load(MAIN.replace("    client:", second), files=FILES).template.nodes
    assert nodes["second.engine"].properties["size"].value == {"$get_property": ["second", "gigabytes"]}
    assert nodes["db.engine"].properties["size"].value == {"$get_property": ["db", "gigabytes"]}


def test_a_filter_chooses_among_several(load: Any) -> None:
    chosen = "node_type: Database\n    substitution_filter: {properties: [gigabytes: {less_than: 5}]}"
    small = CLUSTER.replace("node_type: Database", chosen).replace("disk", "floppy")
    nodes = load(MAIN.replace("cluster.yaml]", "cluster.yaml, small.yaml]"),
                 files={**FILES, "small.yaml": small}).template.nodes
    assert "db.disk" in nodes
    assert "db.floppy" not in nodes


@pytest.mark.parametrize(("change", "words"), [
    (lambda text: text.replace("cluster.yaml]", "cluster.yaml, again.yaml]").replace(
        "type: Database,", "type: Database, directives: [substitute],"),
     "another template is to stand for node template `db`, and several do: "),
    (lambda text: text.replace(", cluster.yaml", "").replace(
        "type: Database,", "type: Database, directives: [substitute],"),
     "and none of the imported templates does"),
])
def test_without_exactly_one_template_no_service_can_be_made(
        load: Any, change: Callable[[str], str], words: str) -> None:
    loaded = load(change(MAIN), files={**FILES, "again.yaml": CLUSTER})
    assert any(words in each for each in loaded.warnings)
    assert any(words in each for each in loaded.template.unsatisfied)


def test_an_input_without_a_property_is_told(refuse: Any) -> None:
    cluster = CLUSTER.replace("prefix: {type: string, default: the}", "prefix: {type: string}")
    found, = refuse(MAIN, files={**FILES, "cluster.yaml": cluster})
    assert found.startswith("service.yaml:6:")
    assert "needs a value for its input `prefix`, and no property of the node is mapped to it" in found


def test_what_is_wrong_in_it_is_told_in_its_file(refuse: Any) -> None:
    cluster = CLUSTER.replace("get_input: size", "get_input: sise")
    found, = refuse(MAIN, files={**FILES, "cluster.yaml": cluster})
    assert found.startswith("cluster.yaml:10:")
    assert "there is no input `sise`; did you mean `size`?" in found


def test_templates_that_stand_for_nodes_of_each_other_are_refused(refuse: Any) -> None:
    files = {"types.yaml": TYPES + "  Disk: {derived_from: tosca.nodes.Root}\n",
             "cluster.yaml": CLUSTER.replace("disk: {type: Thing}", "disk: {type: Disk}"), "disk.yaml": """
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [types.yaml]
topology_template:
  node_templates: {db: {type: Database}}
  substitution_mappings: {node_type: Disk}
"""}
    found, = refuse(MAIN.replace("cluster.yaml]", "cluster.yaml, disk.yaml]"), files={**FILES, **files})
    assert "these templates stand for nodes of each other: " in found
