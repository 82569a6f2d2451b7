"""A service template as it comes from a loader or a builder: typed, unsaved, strict JSON inside.

Values that must be computed on the live service are *expressions*: JSON in which an object with one
key that begins with ``$`` calls a function, e.g. ``{"$get_attribute": ["db", "address"]}``. Only
parameters marked `dynamic` are evaluated; in them a literal key that begins with ``$`` is written
with two.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aria_core.modeling.retries import RetryPolicy


class Specification(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Base of the parts of a service template."""


class ParameterSpec(Specification):
    """An input, output, property, attribute or argument."""

    type: str = "any"
    value: Any = None
    required: bool = False
    description: str = ""
    dynamic: bool = False
    secret: bool = False
    constraints: list[Any] = []
    entry: str | None = None
    """The type of the entries of a list or map."""
    location: str = ""


class OperationSpec(Specification):
    """What an operation runs and with which arguments.

    `function` is ``package.module:name`` (None: nothing to do). `script` names a script among the
    template's files, or at an http or https URL, instead. A `plugin` name says in whose environment it
    runs. `retry_interval` goes before the interval of `retry`. Of what is ready the highest `priority`
    (None: 0) is sent first, and of what names the same `pool` only so much as its size allows.
    """

    function: str | None = None
    script: str | None = None
    plugin: str | None = None
    inputs: dict[str, ParameterSpec] = {}
    process: dict[str, Any] = {}
    """Settings of the script operation: cwd, env, args, command_prefix, eval_python."""
    ssh: dict[str, Any] = {}
    """How the host is reached on which the script runs: user, key, password…; empty: it runs here."""
    timeout: float | None = None
    heartbeat_timeout: float | None = None
    max_attempts: int | None = None
    retry_interval: float | None = None
    retry: RetryPolicy | None = None
    ignore_failure: bool | None = None
    priority: int | None = None
    pool: str | None = None
    location: str = ""


class InterfaceSpec(Specification):
    """A named set of operations, e.g. ``Standard``."""

    type: str = ""
    operations: dict[str, OperationSpec] = {}


class CapabilitySpec(Specification):
    """Something a node offers others."""

    type: str = ""
    properties: dict[str, ParameterSpec] = {}
    attributes: dict[str, ParameterSpec] = {}


class ArtifactSpec(Specification):
    """A file that belongs to a node."""

    type: str = ""
    file: str = ""
    deploy_path: str = ""


class RelationshipSpec(Specification):
    """A requirement of a node that its target fulfils."""

    name: str
    target: str
    type: str = ""
    types: list[str] = []
    """The type and its ancestors, nearest first."""
    capability: str = ""
    hosted: bool = False
    """The source lives on the target."""
    properties: dict[str, ParameterSpec] = {}
    attributes: dict[str, ParameterSpec] = {}
    interfaces: dict[str, InterfaceSpec] = {}
    location: str = ""


class NodeSpec(Specification):
    """A node template."""

    name: str
    type: str = ""
    types: list[str] = []
    """The type and its ancestors, nearest first."""
    description: str = ""
    properties: dict[str, ParameterSpec] = {}
    attributes: dict[str, ParameterSpec] = {}
    capabilities: dict[str, CapabilitySpec] = {}
    relationships: list[RelationshipSpec] = []
    interfaces: dict[str, InterfaceSpec] = {}
    artifacts: dict[str, ArtifactSpec] = {}
    max_concurrency: int | None = None
    """How many of its operations may run at once; -1: any number, None: what the execution says."""
    location: str = ""


class ActivitySpec(Specification):
    """One thing that a step does: the first of these that is said.

    `operation` (of `interface`, with `inputs` over its own) is called on what the step is about; `state`
    becomes the state of its nodes; `delegate` is ``install``, ``uninstall``, ``start`` or ``stop``, which do
    with these nodes what they do with all; `workflow` is another one of the template, written in steps.
    """

    interface: str = ""
    operation: str = ""
    state: str = ""
    delegate: str = ""
    workflow: str = ""
    inputs: dict[str, ParameterSpec] = {}
    location: str = ""


class StepSpec(Specification):
    """A step of a workflow: its activities, one after the other, and the steps that come then.

    It is about `nodes`, or about the relationships that are called `requirement` of these nodes. `conditions`
    (see `ConditionSpec`) say for which of them it is done. A step waits for all those that name it in `then`.
    """

    nodes: list[str] = []
    requirement: str = ""
    conditions: list[Any] = []
    activities: list[ActivitySpec] = []
    then: list[str] = []
    location: str = ""


class ConditionSpec(Specification):
    """What must hold of each of `nodes` (or of their relationships) before a workflow begins.

    `conditions` are clauses, all of which must hold: ``{"attribute": name, "constraints": [...]}``, where
    ``state`` is that of a node and the constraints are those of inputs; ``{"expression": tree}``, which must
    be true, and is judged once for the service where there are no `nodes`; ``{"and": [...]}``,
    ``{"or": [...]}`` and ``{"not": [...]}`` of clauses.
    """

    nodes: list[str] = []
    requirement: str = ""
    conditions: list[Any] = []
    location: str = ""


class WorkflowSpec(Specification):
    """A workflow of the template's own: a ``@workflow`` function or steps, and its inputs.

    `preconditions` are those of steps.
    """

    function: str = ""
    plugin: str | None = None
    inputs: dict[str, ParameterSpec] = {}
    steps: dict[str, StepSpec] = {}
    preconditions: list[ConditionSpec] = []
    location: str = ""


class PluginSpec(Specification):
    """A plugin the template's operations call."""

    name: str
    version: str | None = None
    enabled: bool = True
    location: str = ""


class TemplateSpec(Specification):
    """A whole service template."""

    name: str
    description: str = ""
    metadata: dict[str, Any] = {}
    inputs: dict[str, ParameterSpec] = {}
    outputs: dict[str, ParameterSpec] = {}
    nodes: dict[str, NodeSpec] = {}
    workflows: dict[str, WorkflowSpec] = {}
    plugins: dict[str, PluginSpec] = {}
    unsatisfied: list[str] = []
    """A sentence for each requirement without a target; a template with one makes no service."""


class LoadedTemplate(Specification, weakref=True):
    """What a loader returns: the template, the folder its files lie in, and what it wants to warn of.

    `directory` is None when there are no files; `main_file` is relative to it. `missing` has a sentence for
    each file that is named and not there (among the warnings, too): operations that need one fail.
    """

    template: TemplateSpec
    directory: str | None = None
    main_file: str = ""
    warnings: list[str] = []
    missing: list[str] = []
