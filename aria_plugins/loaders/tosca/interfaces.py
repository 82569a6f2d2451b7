"""Interfaces of nodes and relationships: what the type says with what the template says."""

from __future__ import annotations

from aria_core import InterfaceSpec, OperationSpec, ParameterSpec, escape

from .conversion import Converter
from .functions import Context
from .members import Interface, Operation, Parameter, overlay
from .operations import Implementations
from .problems import Problems, suggestion
from .schemas import ANY
from .types import Types
from .values import Mapping, Scalar, Value, field, fields, named, place_of


class Interfaces:
    """Builds the interfaces of one node or relationship after the other."""

    def __init__(self, types: Types, converter: Converter, implementations: Implementations,
                 problems: Problems) -> None:
        self._types = types
        self._converter = converter
        self._implementations = implementations
        self._problems = problems

    def build(self, declared: dict[str, Interface], assigned: Value | None, context: Context, what: str,
              artifacts: dict[str, Value], *, implemented_only: bool = False) -> dict[str, InterfaceSpec]:
        """The interfaces that a type declares, with what a template assigns.

        `artifacts` are those that implementations may name; `implemented_only` leaves out operations
        that do nothing, which nodes need for their states and relationships do not need.
        """
        built = {}
        for name, interface in self.merge(declared, assigned, what).items():
            spec = InterfaceSpec(type=interface.type.name if interface.type is not None else "")
            self._inputs(interface.inputs, context, f"the interface `{name}` of {what}")
            for key, operation in interface.operations.items():
                made = self._operation(interface, operation, context, f"operation `{key}` of {what}",
                                       artifacts)
                if made.function or made.script or not implemented_only:
                    spec.operations[key] = made
            if spec.operations or not implemented_only:
                built[name] = spec
        return built

    def merge(self, declared: dict[str, Interface], assigned: Value | None, what: str) -> dict[str,
                                                                                               Interface]:
        """The declared interfaces, refined by assignments."""
        merged = dict(declared)
        for key, value in named(assigned):
            body = Interface.normal(value)
            name = self._declared_name(key, declared)
            if name is not None:
                self._check_operations(declared[name], body, what)
                self._check_inputs(declared[name], body, what)
                merged[name] = Interface(declared[name].key, overlay(declared[name].body, body), self._types)
            elif field(body, "type") is not None:
                self._types.need("interface", body.entries["type"], f"the interface `{key.text}` of {what} "
                                 "has the type")
                merged[key.text] = Interface(key, body, self._types)
            else:
                self._problems.add(place_of(key), f"{what} has no interface `{key.text}`"
                                   + suggestion(key.text, declared, "its interfaces"))
        return merged

    def _declared_name(self, key: Scalar, declared: dict[str, Interface]) -> str | None:
        """The declared interface that `key` names: by its name, or by the name of its type."""
        if key.text in declared:
            return key.text
        type_ = self._types.find("interface", key)
        return next((name for name, each in declared.items() if type_ is not None and each.type is type_),
                    None)

    def _check_operations(self, interface: Interface, body: Mapping, what: str) -> None:
        operations = field(body, "operations")
        known = interface.operations
        for key, _ in named(operations):
            if key.text not in known:
                self._problems.add(place_of(key), f"the interface `{interface.name}` of {what} has no "
                                   "operation "
                                   f"`{key.text}`" + suggestion(key.text, known, "its operations"))

    def _check_inputs(self, interface: Interface, body: Mapping, what: str) -> None:
        for key, _ in named(field(body, "inputs")):
            if key.text not in interface.inputs:
                self._problems.add(place_of(key), f"the interface `{interface.name}` of {what} has no input "
                                   f"`{key.text}`"
                                   + suggestion(key.text, interface.inputs, "its inputs"))

    def _operation(self, interface: Interface, operation: Operation, context: Context, what: str,
                   artifacts: dict[str, Value]) -> OperationSpec:
        spec = OperationSpec(location=str(operation.place))
        implementation = field(operation.body, "implementation")
        if implementation is not None:
            self._implementations.read(implementation, spec, artifacts, lambda value: escape(
                self._converter.convert(value, ANY, f"a setting of {what}", context)))
            spec.inputs = self._inputs({**interface.inputs, **operation.inputs}, context, what)
        elif operation.inputs:
            self._inputs(operation.inputs, context, what)
        if fields(field(operation.body, "outputs")):
            self._problems.warn(operation.place, f"the outputs of {what} have no effect yet; let the "
                                "operation set the attributes itself")
        return spec

    def _inputs(self, inputs: dict[str, Parameter], context: Context, what: str) -> dict[str, ParameterSpec]:
        return {name: self._converter.parameter(None, each, f"the input `{name}` of {what}", context)
                for name, each in inputs.items()}
