"""Scripts of every kind through a whole runner, from the template to the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    Executor,
    ModelStorage,
    ResourceStorage,
    TemplateBuilder,
    WorkflowRunner,
    create_service,
    script,
    store_template,
)
from aria_core.testing.hostile import ECHO, HOSTILE, as_inputs, echoed
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor
from aria_plugins.loaders.tosca import ToscaLoader

TEXTS = HOSTILE[::2]

TOSCA = """
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Part:
    derived_from: tosca.nodes.Root
    attributes: {said: {type: string}}
topology_template:
  node_templates:
    shell:
      type: Part
      interfaces:
        Standard:
          operations:
            create:
              implementation:
                primary: scripts/say.sh
                dependencies:
                - process.args > [--word, "a b", 5]
                - 'process.env > {given: settings, map: {k: [1]}}'
                - process.env.other > 7
                - process.cwd > /
                - process.command_prefix > bash -e
              inputs: {given: input, number: 3}
    python:
      type: Part
      interfaces: {Standard: {operations: {create: {implementation: scripts/say.py, inputs: {word: [x]}}}}}
    child:
      type: Part
      interfaces:
        Standard:
          operations:
            create:
              implementation: {primary: scripts/child.py, dependencies: [process.eval_python > false]}
              inputs: {word: x}
    elsewhere:
      type: Part
      interfaces: {Standard: {operations: {create: "@URL/elsewhere.sh"}}}
"""
WITH_CALLS = """
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Part:
    derived_from: tosca.nodes.Root
    properties: {word: {type: string, default: a word}}
    attributes: {said: {type: string}}
topology_template:
  inputs:
    directory: {type: string, default: /}
    number: {type: integer, default: 8}
  node_templates:
    part:
      type: Part
      interfaces:
        Standard:
          operations:
            create:
              implementation:
                primary: scripts/say.sh
                dependencies:
                - 'process.args > [{ get_property: [SELF, word] }, $HOME]'
                - 'process.env > {given: { get_input: number }, map: {$k: $v}}'
                - 'process.env.other > { concat: [$, { get_input: number }] }'
                - 'process.cwd > { get_input: directory }'
              inputs: {number: none}
"""
FILES = {
    "scripts/say.sh":
        'ctx node attributes said = "$* $given $number $map $other $PWD ${BASH_VERSION:+bash} $-"',
    "scripts/say.py": "ctx.node.attributes['said'] = f'{ctx.node.name} {inputs}'",
    "scripts/child.py":
        "import os\nos.execlp('ctx', 'ctx', 'node', 'attributes', 'said', '=', os.environ['word'])",
    "elsewhere.sh": "ctx node attributes said = downloaded"}


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with ThreadExecutor(slots=2) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "template" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "template"


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(model: ModelStorage, resource: ResourceStorage, executor: Executor, loaded: Any) -> dict[str, Any]:
    """Install a service; the attributes of each node."""
    template = store_template(model, resource, loaded)
    service = create_service(model, template, "service", {})
    runner = WorkflowRunner(model, resource, None, service_id=service.id, workflow_name="install",
                            executor=executor)
    assert runner.execute() == "succeeded", runner.execution.error
    return {node.name: dict(node.attributes) for node in model.node.iter()}


def test_scripts_of_a_tosca_template(model_storage: ModelStorage, resource_storage: ResourceStorage,
                                     executor: Executor, folder: Path, url: str) -> None:
    (folder / "service.yaml").write_text(TOSCA.replace("@URL", url))
    loaded = ToscaLoader().load(folder / "service.yaml", Path.read_bytes)
    said = {name: each["said"] for name, each in run(
        model_storage, resource_storage, executor, loaded).items()}
    assert said == {
        "shell": '--word a b 5 settings 3 {"k": [1]} 7 / bash ehB', "python": "python {'word': ['x']}",
        "child": "x", "elsewhere": "downloaded"}


def test_settings_of_a_script_may_call_functions_and_hold_dollar_signs(
        model_storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor,
        folder: Path) -> None:
    (folder / "service.yaml").write_text(WITH_CALLS)
    loaded = ToscaLoader().load(folder / "service.yaml", Path.read_bytes)
    said = run(model_storage, resource_storage, executor, loaded)["part"]["said"]
    assert said.startswith('a word $HOME 8 none {"$k": "$v"} $8 /')


def test_hostile_strings_come_back_from_inputs_arguments_files_and_attributes(
        model_storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor,
        folder: Path, tmp_path: Path) -> None:
    (folder / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "texts" / str(number)).write_bytes(text.encode())
    (folder / "echo.sh").write_text(ECHO)
    (folder / "keep.sh").write_text(f"""
        set -e
        ctx download-resource echo.sh echo.sh
        ctx node attributes echoed = "$(sh ./echo.sh "$@")"
        ctx download-resource texts '{tmp_path}/texts'
        for each in 0 100 200 300 400 500; do
            ctx node attributes files $each = "$(ctx get-resource texts/$each; echo .)"
        done
        """)
    builder = TemplateBuilder("hostile")
    builder.node("node", operations={"create": script(
        "keep.sh", process={"args": list(TEXTS), "cwd": str(tmp_path)}, inputs=as_inputs(TEXTS))})
    (attributes,) = run(model_storage, resource_storage, executor, builder.load(folder)).values()
    assert len(set(TEXTS)) >= 500
    assert echoed(attributes["echoed"].splitlines()) == (list(TEXTS), as_inputs(TEXTS))
    assert [(tmp_path / "texts" / str(number)).read_bytes().decode() for number in range(len(TEXTS))] == list(
        TEXTS)
    # The command ends every text with the end of a line.
    assert attributes["files"] == {
        str(each): TEXTS[each].removesuffix("\n") + "\n." for each in range(0, 501, 100)}
