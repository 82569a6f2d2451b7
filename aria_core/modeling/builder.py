"""Service templates written in Python.

::

    template = TemplateBuilder("shop")
    template.input("port", "integer", default=8080)
    db = template.node("db", operations={"create": "shop.ops:create_db"})
    web = template.node("web", properties={"port": get_input("port")},
                        operations={"start": script("scripts/start.sh", port=get_property("SELF", "port"))})
    web.requires(db, "database")
    template.output("address", get_attribute("web", "address"))
    loaded = template.load(directory="shop-files")

Wherever a value is expected, a call of `aria_core.modeling.expressions` may stand, also inside lists
and maps; everything else is taken as it is. Wrong use raises ``InvalidInputError`` at once; what can
only be seen of the whole (requirements that point at nothing) is told by `TemplateBuilder.build`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

from aria_core.exceptions import InvalidInputError
from aria_core.modeling.checks import check_name, check_template
from aria_core.modeling.checks import operations as operations_of
from aria_core.modeling.expressions import ENTITY_KEYWORDS, escape, has_expression
from aria_core.modeling.retries import RetryPolicy
from aria_core.modeling.specification import (
    ArtifactSpec,
    CapabilitySpec,
    ConditionSpec,
    InterfaceSpec,
    LoadedTemplate,
    NodeSpec,
    OperationSpec,
    ParameterSpec,
    PluginSpec,
    RelationshipSpec,
    StepSpec,
    TemplateSpec,
    WorkflowSpec,
)
from aria_core.modeling.values import plain_json
from aria_core.worker.urls import is_url

NODE_INTERFACE = "Standard"
"""The interface of `operations` given to a node."""
RELATIONSHIP_INTERFACE = "Configure"
"""The interface of `operations` given to a requirement."""

Function: TypeAlias = str | Callable[..., Any]
"""``package.module:name``, or the function itself if it can be imported from its module."""
Values: TypeAlias = Mapping[str, Any]
"""Name -> a value, an expression or a `ParameterSpec` (see `parameter`)."""
Operations: TypeAlias = Mapping[str, OperationSpec | Function | None]
"""Name -> what `script` or `call` gave, a function, or None for an operation that does nothing."""
Interfaces: TypeAlias = Mapping[str, Operations]

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "float"), (str, "string"), (list, "list"), (tuple, "list"),
    (Mapping, "map"))


def parameter(value: Any = None, type: str | None = None, *, required: bool = False,  # noqa: A002
              secret: bool = False, description: str = "", constraints: Sequence[Mapping[str, Any]] = (),
              entry: str | None = None) -> ParameterSpec:
    """A value together with what is declared of it; without `type` the value tells its own.

    Raises ``NotJsonError`` for a value that JSON cannot carry, ``InvalidInputError`` for a type that is
    no name.
    """
    if not isinstance(type, str | None):
        raise InvalidInputError(f"the type of a parameter is a name such as 'integer', not {type!r}")
    dynamic = has_expression(value)
    plain = plain_json(escape(value) if dynamic else value)
    return ParameterSpec(
        type=type or ("any" if dynamic else _type_of(plain)), value=plain, required=required,
        description=description, dynamic=dynamic, secret=secret, entry=entry,
        constraints=plain_json(list(constraints), "constraints"))


def _type_of(value: Any) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "any")


def call(function: Function, /, *, plugin: str | None = None, timeout: float | None = None,
         heartbeat_timeout: float | None = None, max_attempts: int | None = None,
         retry_interval: float | None = None, retry: RetryPolicy | None = None,
         ignore_failure: bool | None = None, priority: int | None = None, pool: str | None = None,
         inputs: Values | None = None, **more: Any) -> OperationSpec:
    """An operation that calls a Python function with `inputs` (and the other keywords) as arguments.

    `plugin` names the plugin in whose environment it runs; None elsewhere leaves it to the execution.
    """
    return OperationSpec(
        function=function_name(function), plugin=plugin, inputs=_parameters({**(inputs or {}), **more}),
        timeout=timeout, heartbeat_timeout=heartbeat_timeout, max_attempts=max_attempts,
        retry_interval=retry_interval, retry=retry, ignore_failure=ignore_failure,
        priority=priority, pool=pool)


def script(path: str, /, *, process: Mapping[str, Any] | None = None,
           ssh: Mapping[str, Any] | None = None, timeout: float | None = None,
           heartbeat_timeout: float | None = None, max_attempts: int | None = None,
           retry_interval: float | None = None, retry: RetryPolicy | None = None,
           ignore_failure: bool | None = None, priority: int | None = None, pool: str | None = None,
           inputs: Values | None = None, **more: Any) -> OperationSpec:
    """An operation that runs a script of the template's files with `inputs` (and the other keywords).

    `path` is relative to the template's directory, or an http or https URL; `process` holds cwd, env,
    args, command_prefix, eval_python. With `ssh` (user, key, password… as in docs/how-to/ssh.md) it runs
    on the host of its node.
    """
    if not (is_url(path) or _is_inside(path)):
        raise InvalidInputError(f"the script {path!r} must be a path inside the template's directory")
    return OperationSpec(
        script=path, process=plain_json(escape(process or {}), "process"),
        ssh=plain_json(escape(ssh or {}), "ssh"),
        inputs=_parameters({**(inputs or {}), **more}), timeout=timeout, heartbeat_timeout=heartbeat_timeout,
        max_attempts=max_attempts, retry_interval=retry_interval, retry=retry, ignore_failure=ignore_failure,
        priority=priority, pool=pool)


def _is_inside(path: str) -> bool:
    return bool(path) and not Path(path).is_absolute() and ".." not in Path(path).parts


def function_name(function: Function) -> str:
    """The ``package.module:name`` of a function, given as such, dotted, or as the function itself.

    Raises ``InvalidInputError`` if a worker could not import it from there.
    """
    if callable(function):
        return _name_of_callable(function)
    name = str(function)
    if ":" not in name and "." in name:
        name = ":".join(name.rsplit(".", 1))
    if not _DOTTED.fullmatch(name):
        raise InvalidInputError(f"{function!r} names no function; it takes 'package.module:name'")
    return name


def _name_of_callable(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or not _DOTTED.fullmatch(f"{module}:{name}"):
        raise InvalidInputError(
            f"{name or function!r} cannot be imported by a worker: operations and workflows are functions "
            "at the top of a module, no lambdas, methods, partials or functions inside functions")
    if module == "__main__":
        raise InvalidInputError(f"the function {name} stands in the program itself, which a worker cannot "
                                "import; put it into a module of its own")
    if getattr(sys.modules.get(module), name, None) is not function:
        raise InvalidInputError(f"{module}:{name} is not this function (any more), so a worker "
                                "would not find it")
    return f"{module}:{name}"


class TemplateBuilder:
    """Collects the parts of a service template."""

    def __init__(self, name: str, *, description: str = "",
                 metadata: Mapping[str, Any] | None = None) -> None:
        self._spec = TemplateSpec(name=check_name(name, "service template"), description=description,
                                  metadata=plain_json(metadata or {}, "metadata"))

    def input(self, name: str, type: str | None = None, *, default: Any = None,  # noqa: A002
              required: bool | None = None, secret: bool = False, description: str = "",
              constraints: Sequence[Mapping[str, Any]] = (), entry: str | None = None) -> None:
        """Declare an input; one without a default is required unless `required` says otherwise."""
        _add(self._spec.inputs, name, "input", parameter(
            default, type, required=default is None if required is None else required, secret=secret,
            description=description, constraints=constraints, entry=entry))

    def output(self, name: str, value: Any, type: str | None = None, *,  # noqa: A002
               secret: bool = False, description: str = "") -> None:
        """Declare an output: an expression that is evaluated whenever somebody looks."""
        _add(self._spec.outputs, name, "output",
             parameter(value, type, secret=secret, description=description))

    def node(self, name: str, *, type: str = "", types: Sequence[str] = (),  # noqa: A002
             description: str = "", properties: Values | None = None, attributes: Values | None = None,
             capabilities: Mapping[str, Values] | None = None, artifacts: Mapping[str, str] | None = None,
             operations: Operations | None = None, interfaces: Interfaces | None = None,
             max_concurrency: int | None = None) -> NodeBuilder:
        """Add a node. `types` are its type and the type's ancestors, nearest first.

        `operations` belong to the interface ``Standard``, `interfaces` holds those of others.
        `capabilities` are given by their properties, `artifacts` by the paths of their files.
        `max_concurrency` is how many operations of the node may run at once (-1: any number).
        """
        spec = NodeSpec(
            name=name, type=type, types=_types(type, types), description=description,
            properties=_parameters(properties), attributes=_parameters(attributes),
            capabilities={key: CapabilitySpec(properties=_parameters(each))
                          for key, each in (capabilities or {}).items()},
            artifacts={key: ArtifactSpec(file=each) for key, each in (artifacts or {}).items()},
            interfaces=_interfaces(NODE_INTERFACE, operations, interfaces, f"node {name!r}"),
            max_concurrency=max_concurrency)
        if name in ENTITY_KEYWORDS:
            raise InvalidInputError(f"no node may be called {name}: expressions use this word")
        _add(self._spec.nodes, name, "node", spec)
        return NodeBuilder(self, spec)

    def workflow(self, name: str, function: Function | None = None, *, inputs: Values | None = None,
                 plugin: str | None = None, steps: Mapping[str, StepSpec] | None = None,
                 preconditions: Sequence[ConditionSpec] = ()) -> None:
        """Add a ``@workflow`` function, or `steps` in its place, which come after each other as they say.

        A value in `inputs` is a default; see also `parameter`. `preconditions` are those of steps.
        """
        _add(self._spec.workflows, name, "workflow", WorkflowSpec(
            function="" if function is None else function_name(function), plugin=plugin,
            inputs=_parameters(inputs), steps=dict(steps or {}), preconditions=list(preconditions)))

    def plugin(self, name: str, *, version: str | None = None, enabled: bool = True) -> None:
        """Say that operations of this template call the plugin `name` (of exactly `version`)."""
        _add(self._spec.plugins, name, "plugin", PluginSpec(name=name, version=version, enabled=enabled))

    def build(self) -> TemplateSpec:
        """The template; raises ``InvalidInputError`` with everything that cannot work."""
        check_template(self._spec)
        return deepcopy(self._spec)

    def load(self, directory: str | Path | None = None) -> LoadedTemplate:
        """The template with the directory its scripts and other files lie in.

        Raises ``InvalidInputError`` also if there is no such directory or a script is not in it.
        """
        template = self.build()
        root = None if directory is None else Path(directory).absolute()
        if root is not None and not root.is_dir():
            raise InvalidInputError(f"{root} is no directory; it takes the one the template's files lie in")
        local = [each for each in operations_of(template) if each[1].script and not is_url(each[1].script)]
        missing = [f"{where} runs {each.script!r}, which is not in {root or 'any directory: none was given'}"
                   for where, each in local if not (root and (root / str(each.script)).is_file())]
        if missing:
            raise InvalidInputError("\n".join(missing))
        return LoadedTemplate(template=template, directory=str(root) if root else None)

    def owns(self, node: NodeSpec) -> bool:
        """Whether `node` is one of this template's."""
        return self._spec.nodes.get(node.name) is node


class NodeBuilder:
    """A node of a template that is being built."""

    def __init__(self, template: TemplateBuilder, spec: NodeSpec) -> None:
        self._template = template
        self._spec = spec

    @property
    def name(self) -> str:
        """The node's name."""
        return self._spec.name

    def requires(self, target: NodeBuilder | str, name: str | None = None, *, type: str = "",  # noqa: A002
                 types: Sequence[str] = (), capability: str = "", hosted: bool = False,
                 properties: Values | None = None, attributes: Values | None = None,
                 operations: Operations | None = None, interfaces: Interfaces | None = None) -> NodeBuilder:
        """Add a requirement that `target` fulfils; without `name` it is called like the target.

        `hosted`: this node lives on the target. `operations` belong to the interface ``Configure``.
        Gives this node back, so that requirements can be chained.
        """
        if isinstance(target, NodeBuilder) and not self._template.owns(target._spec):
            raise InvalidInputError(f"node {target.name!r} belongs to another template; node {self.name!r} "
                                    "can only require nodes of its own")
        target_name = target.name if isinstance(target, NodeBuilder) else target
        name = check_name(target_name if name is None else name, "requirement")
        self._spec.relationships.append(RelationshipSpec(
            name=name, target=target_name, type=type, types=_types(type, types), capability=capability,
            hosted=hosted, properties=_parameters(properties), attributes=_parameters(attributes),
            interfaces=_interfaces(RELATIONSHIP_INTERFACE, operations, interfaces,
                                   f"requirement {name!r} of node {self.name!r}")))
        return self


def _add(group: dict[str, Any], name: str, what: str, spec: Any) -> None:
    check_name(name, what)
    if name in group:
        raise InvalidInputError(f"there is a {what} {name!r} already; names of {what}s must differ")
    group[name] = spec


def _types(type_name: str, types: Sequence[str]) -> list[str]:
    return list(types) or ([type_name] if type_name else [])


def _parameters(values: Values | None) -> dict[str, ParameterSpec]:
    return {check_name(name, "value"): _parameter(name, each) for name, each in (values or {}).items()}


def _parameter(name: str, value: Any) -> ParameterSpec:
    if isinstance(value, ParameterSpec):
        return value
    plain_json(value, name)
    return parameter(value)


def _interfaces(default: str, operations: Operations | None, interfaces: Interfaces | None,
                owner: str) -> dict[str, InterfaceSpec]:
    given = dict(interfaces or {})
    both = (operations or {}).keys() & given.get(default, {}).keys()
    if both:
        raise InvalidInputError(f"{owner} has the operation {default}.{min(both)} twice: in `operations` and "
                                "in `interfaces`")
    if operations:
        given[default] = {**operations, **given.get(default, {})}
    return {check_name(name, "interface"): InterfaceSpec(operations={
        check_name(key, "operation"): _operation(each) for key, each in group.items()})
        for name, group in given.items()}


def _operation(given: OperationSpec | Function | None) -> OperationSpec:
    if isinstance(given, OperationSpec):
        return given
    return OperationSpec() if given is None else call(given)
