"""Assignments: values that a template gives to what its type declares."""

from __future__ import annotations

from collections.abc import Container

from aria_core import ArtifactSpec, CapabilitySpec, ParameterSpec

from .conversion import Converter, undeclared
from .functions import Context
from .members import Capability, Parameter, artifacts_of, attributes_of, capabilities_of, long_form, overlay
from .problems import Place, Problems, suggestion
from .schemas import ANY
from .types import Type, Types
from .values import Mapping, Value, field, fields, named, place_of, text

KEPT_BY_THE_CORE = frozenset({"tosca_id", "state"})
"""Attributes of the normative roots that the core keeps itself."""


class Assignments:
    """Converts properties, attributes, capabilities and artifacts of templates."""

    def __init__(self, types: Types, converter: Converter, problems: Problems) -> None:
        self._types = types
        self._converter = converter
        self._problems = problems

    def properties(self, declared: dict[str, Parameter], assigned: Value | None, context: Context, what: str,
                   place: Place, *, free: bool = False) -> dict[str, ParameterSpec]:
        """Every declared property with its value; what lacks a value it needs is reported at `place`.

        `free` lets the template have properties that nobody declares.
        """
        given = fields(assigned)
        if isinstance(assigned, Mapping) and not free:
            self._converter.check_names(assigned, declared, what, "property")
        built = {}
        for name, member in declared.items():
            shown = f"the property `{name}` of {what}"
            built[name] = self._converter.parameter(given.get(name), member, shown, context)
            if member.required and name not in given and member.default is None:
                self._problems.add(place, f"{what} lacks the property `{name}`, which its type requires")
        for name, value in given.items():
            if name not in declared and free:
                converted = self._converter.convert(value, ANY, f"the property `{name}` of {what}", context)
                built[name] = undeclared(converted, place_of(value))
        return built

    def attributes(self, declared: dict[str, Parameter], assigned: Value | None, context: Context,
                   what: str, skip: Container[str] = KEPT_BY_THE_CORE) -> dict[str, ParameterSpec]:
        """Every declared attribute with its first value."""
        given = fields(assigned)
        if isinstance(assigned, Mapping):
            self._converter.check_names(assigned, declared, what, "attribute")
        return {name: self._converter.parameter(_bare(given.get(name), member), member,
                                                f"the attribute `{name}` of {what}", context)
                for name, member in declared.items() if name not in skip}

    def node_attributes(self, type_: Type, name: str, assigned: Value | None, context: Context,
                        what: str) -> dict[str, ParameterSpec]:
        """The attributes of a node, which knows its own name."""
        built = self.attributes(attributes_of(type_), assigned, context, what)
        if "tosca_name" in built and built["tosca_name"].value is None:
            built["tosca_name"].value = name
        return built

    def capabilities(self, type_: Type, assigned: Value | None, context: Context, what: str,
                     place: Place) -> dict[str, CapabilitySpec]:
        """Every capability of a node; those without a value are left out of their properties."""
        declared = capabilities_of(type_)
        if isinstance(assigned, Mapping):
            self._converter.check_names(assigned, declared, what, "capability")
        given = fields(assigned)
        return {name: self._capability(each, given.get(name), context, f"the capability `{name}` of {what}",
                                       place)
                for name, each in declared.items()}

    def _capability(self, capability: Capability, given: Value | None, context: Context, what: str,
                    place: Place) -> CapabilitySpec:
        properties = self.properties(capability.properties, field(given, "properties"), context, what,
                                     place if given is None else place_of(given))
        attributes = self.attributes(capability.attributes, field(given, "attributes"), context, what)
        return CapabilitySpec(
            type=capability.type.name if capability.type is not None else "",
            properties={name: each for name, each in properties.items() if each.value is not None},
            attributes={name: each for name, each in attributes.items() if each.value is not None})

    def artifact_bodies(self, type_: Type, assigned: Value | None) -> dict[str, Mapping]:
        """The artifacts of a node, with those of its type, in their long form."""
        bodies = {name: each.body for name, each in artifacts_of(type_).items()}
        for key, value in named(assigned):
            body = long_form(value, "file")
            older = bodies.get(key.text)
            bodies[key.text] = body if older is None else overlay(older, body)
        return bodies

    def artifacts(self, bodies: dict[str, Mapping], what: str) -> dict[str, ArtifactSpec]:
        """The specifications of artifacts."""
        return {name: self._artifact(name, body, what) for name, body in bodies.items()}

    def _artifact(self, name: str, body: Mapping, what: str) -> ArtifactSpec:
        type_value, file = field(body, "type"), field(body, "file")
        type_ = None
        if type_value is not None:
            type_ = self._types.need("artifact", type_value, f"the artifact `{name}` of {what} has the type",
                                     may_be_unknown=True)
        self._types.need_repository(field(body, "repository"), f"the artifact `{name}` of {what} is in")
        if file is None:
            self._problems.add(place_of(body), f"the artifact `{name}` of {what} lacks the keyname `file`")
        return ArtifactSpec(type=type_.name if type_ is not None else "", file=text(file) or "",
                            deploy_path=text(field(body, "deploy_path")) or "")

    def need_template(self, value: Value, known: dict[str, object], what: str, plural: str) -> str | None:
        """The name that `value` is, if something known has it; that it has not is a problem."""
        name = text(value)
        if name is None or name in known:
            return name
        self._problems.add(place_of(value), f"{what} `{name}`, but there is none of this name"
                           + suggestion(name, known, plural))
        return None


def _bare(value: Value | None, member: Parameter) -> Value | None:
    """The value of an attribute that is given with a description."""
    wrapped = isinstance(value, Mapping) and "value" in value.entries
    if wrapped and value is not None and fields(value).keys() <= {"value",
                                                                  "description"} and not member.schema.data:
        return field(value, "value")
    return value
