"""What one operation gave is an input of another: from a TOSCA template through a whole runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core import (
    Executor,
    ModelStorage,
    ResourceStorage,
    Service,
    WorkflowRunner,
    create_service,
    outputs,
    store_template,
)
from aria_plugins.executors.dry import DryExecutor
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.loaders.tosca import ToscaLoader

TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Lock:
    derived_from: tosca.nodes.Root
    attributes: {seen: {type: string}, print: {type: string}}
topology_template:
  node_templates:
    maker:
      type: Lock
      interfaces:
        Standard:
          operations: {create: keys:make, configure: print.sh}
    user:
      type: Lock
      requirements: [dependency: maker]
      interfaces:
        Standard:
          operations:
            create:
              implementation: keys:use
              inputs:
                key: {get_operation_output: [maker, Standard, create, key]}
                print: {get_operation_output: [maker, Standard, configure, print]}
  outputs:
    locks: {value: {get_nodes_of_type: Lock}}
    key: {value: {get_operation_output: [maker, Standard, create, key]}}
    nothing: {value: {get_operation_output: [maker, Standard, create, other]}}
"""
KEYS = """
from aria_core import operation

@operation
def make(ctx):
    return {"key": "k-7"}

@operation
def use(ctx, key, print):
    ctx.node.attributes["seen"] = f"{key} {print}"
"""


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with ThreadExecutor(slots=2) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


@pytest.fixture
def service(model_storage: ModelStorage, resource_storage: ResourceStorage, tmp_path: Path) -> Service:
    folder = tmp_path / "code"
    folder.mkdir()
    for name, text in (("service.yaml", TEMPLATE.lstrip()), ("keys.py", KEYS),
                       ("print.sh", "ctx node attributes print = 0123\n")):
        (folder / name).write_text(text)
    loaded = ToscaLoader().load(folder / "service.yaml", Path.read_bytes)
    return create_service(model_storage, store_template(model_storage, resource_storage, loaded), "s", {})


def test_an_operation_is_given_what_others_returned_or_set(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service,
        executor: Executor) -> None:
    assert outputs(model_storage, service) == {"locks": ["maker", "user"], "key": None, "nothing": None}
    runner = WorkflowRunner(model_storage, resource_storage, None, service_id=service.id,
                            workflow_name="install", executor=executor)
    assert runner.execute() == "succeeded"
    nodes = model_storage.service.get(service.id).nodes
    assert nodes["user"].attributes["seen"] == "k-7 0123"
    assert outputs(model_storage, service) == {"locks": ["maker", "user"], "key": "k-7", "nothing": None}


def test_a_dry_run_goes_on_without_what_operations_would_have_given(
        model_storage: ModelStorage, resource_storage: ResourceStorage, service: Service) -> None:
    with DryExecutor() as executor:
        runner = WorkflowRunner(model_storage, resource_storage, None, service_id=service.id,
                                workflow_name="install", executor=executor)
        assert runner.execute() == "succeeded"
    assert {each.attempts for each in model_storage.task.iter() if each.function} == {1}
    assert outputs(model_storage, service)["key"] is None
