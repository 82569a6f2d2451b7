"""Operations and the functions among the template's own files are compared when the template is loaded."""

from __future__ import annotations

import sys

OPS = """\
from aria_core import operation


@operation
def create(ctx, label: str, count: int = 1):
    raise SystemExit("somebody ran this")


@operation(toolbelt=True)
def configure(ctx, toolbelt):
    pass
"""

NODE = """
topology_template:
  inputs:
    wanted: {{type: string, default: x}}
  node_templates:
    web:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          {operations}
"""
"""Its operations begin in line 10 of the file, column 11."""

FILES = {"ops.py": OPS, "pack/__init__.py": "from .more import start\n",
         "pack/more.py": "def start(ctx, address): ...\n"}


def node(*operations: str, more: str = "") -> str:
    return NODE.format(operations="\n          ".join(operations)) + more


def test_arguments_that_fit_are_taken(load):
    loaded = load(node(
        "create: {implementation: ops:create, inputs: {label: {get_input: wanted}, count: 3}}",
        "configure: ops.configure",
        "start: {implementation: pack.start, inputs: {address: here}}"), files=FILES)
    assert loaded.warnings == []
    assert "ops" not in sys.modules


def test_everything_that_does_not_fit_is_told_at_once_and_where(refuse):
    assert refuse(node(
        "create: {implementation: ops:create, inputs: {lable: x, count: many}}",
        "configure: {implementation: ops.configure, inputs: {toolbelt: 1}}",
        "start: pack:start",
        "stop: ops:stop",
        "delete: pack.missing.delete"), files=FILES) == [
        "service.yaml:10:11: operation Standard.create of node 'web': ops:create (ops.py:5) misses 'label'; "
        "it takes label, count (optional)",
        "service.yaml:10:64: operation Standard.create of node 'web': ops:create (ops.py:5) does not know "
        "'lable'; did you mean 'label'? it takes label, count (optional)",
        "service.yaml:10:74: operation Standard.create of node 'web': ops:create (ops.py:5) takes int for "
        "'count', not 'many'",
        "service.yaml:11:73: operation Standard.configure of node 'web': ops:configure (ops.py:10) does not "
        "know 'toolbelt'; it takes none",
        "service.yaml:12:11: operation Standard.start of node 'web': pack:start (pack/more.py:1) misses "
        "'address'; it takes address",
        "service.yaml:13:11: operation Standard.stop of node 'web': ops.py has no function 'stop', which "
        "ops:stop asks for",
        "service.yaml:14:11: operation Standard.delete of node 'web': the template has no module "
        "pack.missing, which pack.missing:delete asks for",
    ]


def test_what_else_is_wrong_with_the_template_is_told_with_it(refuse):
    told = refuse(node("create: {implementation: ops:create, inputs: {label: {get_input: wnted}, cuont: 3}}",
                       "creat: ops:create"), files=FILES)
    assert [each.partition(": ")[2][:40] for each in told] == [
        "there is no input `wnted`; did you mean ", "operation Standard.create of node 'web':",
        "the interface `Standard` of node templat"]


def test_a_secret_of_the_wrong_type_is_not_shown(refuse):
    (told,) = refuse("""
        topology_template:
          node_templates:
            web:
              type: tosca.nodes.Root
              interfaces:
                Standard:
                  create:
                    implementation: ops:create
                    inputs: {label: x, count: {type: secret, default: hunter2}}
        """, files=FILES)
    assert told.endswith("takes int for 'count', not ***")
    assert "hunter2" not in told


def test_one_fault_of_a_type_is_told_once_however_many_nodes_have_it(refuse):
    told = refuse("""
        node_types:
          Web:
            derived_from: tosca.nodes.Root
            interfaces:
              Standard:
                type: tosca.interfaces.node.lifecycle.Standard
                operations: {create: ops:create}
        topology_template:
          node_templates: {a: {type: Web}, b: {type: Web}, c: {type: Web}}
        """, files=FILES)
    assert [each.partition(": ops")[0] for each in told] == [
        "service.yaml:8:22: operation Standard.create of node 'a'"]


def test_the_ends_of_a_requirement_are_checked_too(refuse):
    (told,) = refuse("""
        topology_template:
          node_templates:
            db: {type: tosca.nodes.Root}
            web:
              type: tosca.nodes.Root
              requirements:
              - dependency:
                  node: db
                  relationship:
                    interfaces:
                      Configure: {add_target: {implementation: pack:start, inputs: {adress: x}}}
        """, files={**FILES, "pack/more.py": "def start(ctx, address=''): ...\n"})
    assert told == (
        "service.yaml:12:85: operation Configure.add_target of requirement 'dependency' of node 'web': "
        "pack:start (pack/more.py:1) does not know 'adress'; did you mean 'address'? it takes address "
        "(optional)")


WORKFLOW = """
  policies:
  - mine: {type: aria.Workflow, properties: {implementation: ops:mine}}
"""


def test_an_argument_that_a_workflow_may_give_is_not_missed(load):
    operations = ["create: ops:create", "start: {implementation: pack:start}"]
    files = {**FILES, "ops.py": OPS + "\n\ndef mine(ctx, graph): ...\n"}
    text = node(*operations, more=WORKFLOW).replace("topology", "imports: [aria-1.0]\ntopology", 1)
    assert load(text, files=files).template.workflows.keys() == {"mine"}
    declared = ["create: {implementation: ops:create, inputs: {label: {type: string, required: false}}}"]
    assert load(node(*declared), files=FILES)


def test_operations_that_only_workflows_with_arguments_can_call_miss_nothing(load):
    assert load("""
        interface_types:
          Backup: {derived_from: tosca.interfaces.Root, operations: {save: {}}}
        node_types:
          Web: {derived_from: tosca.nodes.Root, interfaces: {Backup: {type: Backup}}}
        topology_template:
          node_templates:
            web: {type: Web, interfaces: {Backup: {operations: {save: ops:create}}}}
        """, files=FILES)


def test_modules_that_cannot_be_read_or_lie_elsewhere_are_left_to_the_worker(load):
    assert load(node(
        "create: {implementation: broken:create, inputs: {any: thing}}",
        "configure: {implementation: open:create, inputs: {any: thing}}",
        "start: {implementation: elsewhere.to.be:found, inputs: {any: thing}}",
        "stop: {implementation: wrapped:stop, inputs: {any: thing}}"), files={
            "broken.py": "def create(:\n", "open.py": "from os.path import *\n",
            "wrapped.py": "import functools\n@functools.cache\ndef stop(ctx): ...\n"})


def test_inputs_of_scripts_must_be_able_to_be_variables(refuse):
    assert refuse(node(
        "create: {implementation: run.sh, inputs: {some-name: x, other: y}}",
        "start: {implementation: {primary: run.sh, dependencies: ['process.env > {a-b: 1}']}}"),
        files={"run.sh": ""}) == [
        "service.yaml:10:64: operation Standard.create of node 'web': the input 'some-name' cannot be an "
        "environment variable; names are letters, digits and _, not beginning with a digit",
        "service.yaml:11:11: operation Standard.start of node 'web': the process setting env: 'a-b' cannot "
        "be an environment variable; names are letters, digits and _, not beginning with a digit"]
