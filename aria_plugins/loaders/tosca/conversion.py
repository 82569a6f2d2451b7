"""Conversion: values of a template become strict JSON of the type they should have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from types import MappingProxyType
from typing import Any

from aria_core import (
    MASK,
    InvalidInputError,
    ParameterSpec,
    broken_constraints,
    comparable,
    escape,
    has_expression,
)

from .calls import Later
from .functions import Context, Functions, Names, called
from .members import Parameter, properties_of
from .problems import Place, Problems, TemplateError, hint
from .scalars import in_canonical, is_scalar, number_in, number_schema, takes, value_of
from .schemas import ANY, Schema
from .values import MAX_DEPTH, Mapping, Scalar, Sequence, Value, boolean, described, place_of, plain, resolved

_UNBOUNDED = "UNBOUNDED"
_REPEATED_GROUP = re.compile(r"\)[+*{]")
_REPEAT = re.compile(r"[+*]|\{\d*,\d*\}")
MAX_REPEATED_TEXT = 20
MAX_STEPS = 10_000_000
MAX_CONVERTED = 1_000_000

_TAKES = MappingProxyType({
    "string": "text", "integer": "a whole number", "float": "a number",
    "secret": "text",
    "boolean": "true or false",
    "timestamp": "a moment such as 2020-01-31T12:00:00Z", "null": "null",
    "version": "a version such as 1.0.0",
    "range": "a list of a lower and an upper bound", "list": "a list", "map": "a map",
    "scalar-unit.size": "a number and a unit such as 4 GB",
    "scalar-unit.time": "a number and a unit such as 10 s",
    "scalar-unit.frequency": "a number and a unit such as 2 GHz",
    "scalar-unit.bitrate": "a number and a unit such as 10 Mbps",
})


class Converter:
    """Turns values into JSON, adding a problem for everything that does not fit its schema."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._functions = Functions(problems)
        self._defaults: dict[Parameter, ParameterSpec] = {}
        self._count = 0
        self._depth = 0

    def convert(self, value: Value, schema: Schema, what: str, context: Context) -> Any:
        """`value` as JSON, calls of functions as expressions; None where it does not fit.

        `what` begins the sentences, e.g. ``the property `port` ``.
        """
        self._spend(value)
        if isinstance(value, Later):
            return None
        call = called(value, properties_of(schema.data) if schema.data is not None else MappingProxyType({}))
        if call is not None:
            return self._functions.call(value, *call, context,
                                        lambda each: self.convert(each, ANY, what, context))
        self._depth += 1
        try:
            before = len(self._problems)
            converted = self._literal(value, schema, what, context)
        finally:
            self._depth -= 1
        if schema.constraints and len(self._problems) == before and not has_expression(converted):
            self._check_constraints(value, converted, schema, what)
        return converted

    def _spend(self, value: Value) -> None:
        self._count += 1
        if self._count > MAX_CONVERTED:
            raise TemplateError(place_of(value), "with its defaults the template has more than "
                                f"{MAX_CONVERTED:,} values")
        if self._depth > MAX_DEPTH:
            raise TemplateError(place_of(value), f"this default is nested deeper than {MAX_DEPTH} levels; "
                                "does its "
                                "type contain itself?")

    def parameter(self, value: Value | None, definition: Parameter, what: str,
                  context: Context) -> ParameterSpec:
        """The specification of a declared parameter with `value`, or else its default."""
        if value is not None:
            converted = self.convert(value, definition.schema, what, context)
            return _declared(converted, definition, place_of(value))
        known = self._defaults.get(definition)
        if known is None:
            known = self._default(definition, what, context)
            if not known.dynamic:  # a call may mean something else for the next node
                self._defaults[definition] = known
        return copy(known)

    def _default(self, definition: Parameter, what: str, context: Context) -> ParameterSpec:
        given = definition.default
        if given is None:
            return _declared(None, definition, definition.place)
        return _declared(self.convert(given, definition.schema, what, context), definition, place_of(given))

    def _literal(self, value: Value, schema: Schema, what: str, context: Context) -> Any:
        if schema.native == "list":
            return self._list(value, schema, what, context)
        if schema.native == "map":
            return self._map(value, schema, what, context)
        if schema.native == "any":
            return self._any(value, what, context)
        if schema.native:
            return self._simple(value, schema, what)
        return self._complex(value, schema, what, context)

    def _refuse(self, value: Value, schema: Schema, what: str) -> None:
        takes = _TAKES.get(schema.native, "a map of its fields")
        shown = MASK if schema.native == "secret" else described(value)
        self._problems.add(place_of(value), f"{what} is {shown}; its type {schema.name} takes "
                           f"{takes}")

    def _any(self, value: Value, what: str, context: Context) -> Any:
        if isinstance(value, Mapping):
            return {key: self.convert(each, ANY, what, context) for key, each in value.entries.items()}
        if isinstance(value, Sequence):
            return [self.convert(each, ANY, what, context) for each in value.items]
        return value.value

    def _list(self, value: Value, schema: Schema, what: str, context: Context) -> Any:
        if not isinstance(value, Sequence):
            return self._refuse(value, schema, what)
        entry = schema.entry or ANY
        return [self.convert(each, entry, f"an entry of {what}", context) for each in value.items]

    def _map(self, value: Value, schema: Schema, what: str, context: Context) -> Any:
        if not isinstance(value, Mapping):
            return self._refuse(value, schema, what)
        if schema.key is not None:
            for key in value.keys.values():
                self.convert(_typed_key(key, schema.key.native), schema.key, f"a key of {what}", context)
        entry = schema.entry or ANY
        return {key: self.convert(each, entry, f"the entry `{key}` of {what}", context)
                for key, each in value.entries.items()}

    def _complex(self, value: Value, schema: Schema, what: str, context: Context) -> Any:
        if not isinstance(value, Mapping) or schema.data is None:
            return self._refuse(value, schema, what)
        known = properties_of(schema.data)
        if not known:
            return self._any(value, what, context)
        self.check_names(value, known, what, "field")
        return self.fill(value, known, what, context)

    def fill(self, value: Mapping, known: dict[str, Parameter], what: str, context: Context) -> dict[str,
                                                                                                     Any]:
        """The fields of a complex value, with their defaults."""
        converted = {}
        for name, definition in known.items():
            given = value.entries.get(name)
            if given is None:
                given = definition.default
            if given is not None:
                converted[name] = self.convert(given, definition.schema, f"the field `{name}` of {what}",
                                               context)
            elif definition.required:
                self._problems.add(place_of(value), f"{what} lacks the field `{name}`, which its type "
                                   "requires")
        return converted

    def check_names(self, value: Mapping, known: Iterable[str], what: str, kind: str) -> None:
        """Add a problem for every key that is not known."""
        names = list(known)
        for name, key in value.keys.items():
            if name not in names:
                self._problems.add(place_of(key), f"{what} has no {kind} `{name}`"
                                   + hint(name, names))

    def _simple(self, value: Value, schema: Schema, what: str) -> Any:
        if schema.native == "range":
            return self._range(value, schema, what)
        if is_scalar(schema.data):
            return self._scalar(value, schema, what)
        if not isinstance(value, Scalar) or not _fits(value, schema.native):
            return self._refuse(value, schema, what)
        if schema.native == "boolean":
            return boolean(value)
        return _written(value) if _as_written(schema.native) else value.value

    def _scalar(self, value: Value, schema: Schema, what: str) -> Any:
        if schema.data is None or not isinstance(value, Scalar) or value_of(value.text, schema.data) is None:
            accepted = takes(schema.data) if schema.data is not None else ""
            self._problems.add(place_of(value), f"{what} is {described(value)}; its type {schema.name} takes "
                               f"{accepted}")
            return None
        number, needed = number_in(value.text), number_schema(schema.data)
        if number is not None and needed is not None:
            self.convert(Scalar(value.mark, number.text, number.value), needed, f"the number of {what}",
                         Context(Names()))
        for constraint in schema.constraints:
            self._check_constraint(place_of(value), in_canonical(value, schema.data),
                                   in_canonical(constraint, schema.data), "float", what, described(value))
        return value.text

    def _range(self, value: Value, schema: Schema, what: str) -> Any:
        bounds = plain(value) if isinstance(value, Sequence) and len(value.items) == 2 else None
        whole = bounds is not None and all(_is_whole(each) or each == _UNBOUNDED for each in bounds)
        if bounds is None or not whole or (_UNBOUNDED not in bounds and bounds[0] > bounds[1]):
            return self._refuse(value, schema, what)
        return bounds

    def _check_constraints(self, value: Value, converted: Any, schema: Schema, what: str) -> None:
        is_range = schema.native == "range"
        checked = [each for each in converted if each != _UNBOUNDED] if is_range else [converted]
        type_name = "integer" if is_range else schema.simple_name.replace("secret", "string")
        if schema.data is not None and is_scalar(schema.data):
            return
        for constraint in map(plain, schema.constraints):
            if isinstance(constraint, dict) and "schema" in constraint:
                self._problems.warn(place_of(value), f"{what} is not checked against its schema")
                continue
            if _is_risky(constraint, converted):
                self._problems.warn(place_of(value), f"{what} is not checked against its pattern: that could "
                                    "take for ever on a text of this length")
                continue
            for each in checked:
                self._check_constraint(place_of(value), each, constraint, type_name, what,
                                       MASK if schema.native == "secret" else repr(each))

    def _check_constraint(self, place: Place, value: Any, constraint: Any, type_name: str,  # noqa: PLR0917
                          what: str, shown: str) -> None:
        try:
            for broken in broken_constraints(value, [constraint], type_name):
                self._problems.add(place, f"{what} is {shown}; it {broken}")
        except InvalidInputError as error:
            self._problems.add(place, f"{what}: {error}")


def _typed_key(key: Scalar, native: str) -> Scalar:
    """A key as what it is: keys are text, but those of a map may be numbers."""
    return key if native == "string" else Scalar(key.mark, key.text, resolved(key.text))


def _as_written(native: str) -> bool:
    return native in ("version", "timestamp") or native.startswith("scalar-unit.")


def _written(value: Scalar) -> str:
    """The text of a scalar; a number that begins with a point gets its zero."""
    return f"0{value.text}" if value.text.startswith(".") else value.text


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _fits(value: Scalar, native: str) -> bool:
    found = value.value
    if _as_written(native):
        return not isinstance(found, bool) and found is not None and _is_comparable(_written(value), native)
    if native in ("integer", "float"):
        return _is_whole(found) or (native == "float" and isinstance(found, float))
    if native == "null":
        return found is None
    return boolean(value) is not None if native == "boolean" else isinstance(found, str)


def _is_comparable(written: str, native: str) -> bool:
    try:
        comparable(written, native)
    except (ValueError, OverflowError):
        return False
    return True


def _is_risky(constraint: Any, value: Any) -> bool:
    """Whether matching could take very long: Python has no way of stopping it."""
    pattern = constraint.get("pattern") if isinstance(constraint, dict) else None
    if not isinstance(pattern, str) or not isinstance(value, str):
        return False
    if _REPEATED_GROUP.search(pattern) is not None and len(value) > MAX_REPEATED_TEXT:
        return True
    return bool(len(value) ** min(len(_REPEAT.findall(pattern)), 20) > MAX_STEPS)


def _declared(converted: Any, definition: Parameter, place: Place) -> ParameterSpec:
    found = specification(converted, definition.schema, place, definition.required, definition.description)
    found.secret = definition.secret
    return found


def specification(converted: Any, schema: Schema, place: Place, required: bool,
                  description: str) -> ParameterSpec:
    """The specification of a parameter whose value was converted."""
    dynamic = has_expression(converted)
    return ParameterSpec(
        type=schema.simple_name, value=escape(converted) if dynamic else converted, required=required,
        description=description, dynamic=dynamic,
        entry=schema.entry.simple_name if schema.entry is not None else None, location=str(place))


def undeclared(converted: Any, place: Place) -> ParameterSpec:
    """The specification of a parameter that nothing declares."""
    return specification(converted, ANY, place, False, "")


