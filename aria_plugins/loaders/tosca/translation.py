"""TOSCA 2.0 in the words of 1.3: what has the shape of its table becomes what the rest of the loader reads.

Values keep their places. What 1.3 has no word for stays under its own keyname (``units`` of a data type), or
is left out with a warning that it has no effect yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType

from aria_core import CALCULATIONS

from .calls import Call, Later
from .keynames_2_0 import PROFILES_2_0
from .problems import Problems, listed, suggestion
from .values import Mapping, Scalar, Sequence, Value, field, fields, is_null, items, named, place_of, text

_EVALUATED = frozenset({"get_input", "concat", "join", "token", "get_artifact"})
_REFERENCES = frozenset({"get_property", "get_attribute"})
_OTHERS = frozenset({"matches", "value", "node_index", "relationship_index", "available_allocation"})
"""Functions of TOSCA 2.0 that have no effect yet but in validation clauses."""
_COMPARED = MappingProxyType({
    "equal": "equal", "greater_than": "greater_than", "greater_or_equal": "greater_or_equal",
    "less_than": "less_than", "less_or_equal": "less_or_equal", "valid_values": "valid_values",
    "matches": "pattern"})
"""Function of a validation clause -> constraint of 1.3."""
_LENGTHS = MappingProxyType({
    "equal": "length", "greater_or_equal": "min_length", "less_or_equal": "max_length"})
_NO_BOOLEANS = frozenset({"true", "false", "yes", "no", "on", "off"})
_NATIVE = MappingProxyType({"nil": "null", "bytes": "string"})

Turn = Callable[[Value], Value]


class Translation:
    """Translates one document."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._functions: set[str] = set()

    def document(self, root: Value) -> Value:
        """The document as 1.3 has it."""
        self._functions = set(fields(field(root, "functions")))
        return self._map(root, {
            "imports": self._each(self._import), "artifact_types": self._named(self._typed),
            "data_types": self._named(self._typed), "capability_types": self._named(self._typed),
            "interface_types": self._named(self._interface), "relationship_types": self._named(self._typed),
            "node_types": self._named(self._typed), "group_types": self._named(self._typed),
            "policy_types": self._named(self._typed), "service_template": self._service,
        }, {"service_template": "topology_template"}, leave_out=("functions", "profile"))

    # --- maps, lists and names

    def _map(self, value: Value, turns: dict[str, Turn], names: dict[str, str] | None = None,
             leave_out: tuple[str, ...] = ()) -> Value:
        """A map with its entries turned, some under another name or left out; anything else as it is."""
        if not isinstance(value, Mapping):
            return value
        entries: dict[str, Value] = {}
        keys: dict[str, Scalar] = {}
        for name, each in value.entries.items():
            if name not in leave_out:
                new = (names or {}).get(name, name)
                turn = turns.get(name)
                entries[new], keys[new] = turn(each) if turn else each, value.keys[name]
        return Mapping(value.mark, entries, keys)

    def _each(self, turn: Turn) -> Turn:
        def turned(value: Value) -> Value:
            return Sequence(value.mark, [turn(each) for each in value.items]) if isinstance(
                value, Sequence) else value
        return turned

    def _named(self, turn: Turn) -> Turn:
        """For a map of names, or a list of maps with one each."""
        def turned(value: Value) -> Value:
            if isinstance(value, Sequence):
                return Sequence(value.mark, [turned(each) for each in value.items])
            if not isinstance(value, Mapping):
                return value
            entries = {_unescaped(name): turn(each) for name, each in value.entries.items()}
            keys = {(new := _unescaped(name)): each if new == name else Scalar(each.mark, new, new)
                    for name, each in value.keys.items()}
            return Mapping(value.mark, entries, keys)
        return turned

    # --- imports

    def _import(self, value: Value) -> Value:
        profile = field(value, "profile")
        if profile is None:
            return self._map(value, {}, {"url": "file", "namespace": "namespace_prefix"},
                             leave_out=("metadata", "description"))
        name = text(profile) or ""
        known = PROFILES_2_0.get(name)
        if known is None:
            self._problems.add(place_of(profile), f"there is no profile `{name}` here; known are "
                               f"{listed(PROFILES_2_0)}; other files are imported with `url`"
                               + suggestion(name, PROFILES_2_0))
        file = Scalar(profile.mark, known or "", known or "")
        return self._map(value, {"profile": lambda _: file},
                         {"profile": "file", "namespace": "namespace_prefix"},
                         leave_out=("metadata", "description", "repository"))

    # --- types

    def _typed(self, value: Value) -> Value:
        """A type, or a capability that refines one."""
        definitions = self._named(self._definition)
        return self._map(value, {
            "properties": definitions, "attributes": definitions, "validation": self._validation,
            "derived_from": _native, "data_type": _native,
            "key_schema": self._schema, "entry_schema": self._schema,
            "capabilities": self._named(self._typed),
            "requirements": self._named(self._requirement_definition),
            "interfaces": self._named(self._interface), "artifacts": self._named(self._artifact)},
            {"validation": "constraints", "valid_source_node_types": "valid_source_types",
             "valid_target_node_types": "valid_target_types"},
            leave_out=("valid_relationship_types", "valid_capability_types"))

    def _definition(self, value: Value) -> Value:
        """A property or attribute; a fixed value is all that the short form has, and takes no other."""
        if not isinstance(value, Mapping):
            return self._fixed(_map_of(value, "value", self.value(value)))
        turned = self._map(value, {
            "type": _native, "validation": self._validation, "key_schema": self._schema,
            "entry_schema": self._schema, "default": self.value, "value": self.value},
            {"validation": "constraints"}, leave_out=("external_schema",))
        return self._fixed(turned)

    def _fixed(self, turned: Value) -> Value:
        fixed = field(turned, "value")
        if isinstance(turned, Mapping) and fixed is not None:
            constraints = [*items(field(turned, "constraints")), _map_of(fixed, "equal", fixed)]
            turned.entries["constraints"] = Sequence(fixed.mark, constraints)
            turned.entries["default"] = turned.entries.pop("value")
            turned.keys["constraints"] = turned.keys["default"] = turned.keys.pop("value")
        return turned

    def _schema(self, value: Value) -> Value:
        return self._definition(value) if isinstance(value, Mapping) else _native(value)

    def _requirement_definition(self, value: Value) -> Value:
        return self._map(value, {"relationship": self._relationship}, {"count_range": "occurrences"},
                         leave_out=("node_filter", "direct_only"))

    def _relationship(self, value: Value) -> Value:
        return self._map(value, {"properties": self._values, "attributes": self._values,
                                 "interfaces": self._named(self._interface)})

    def _interface(self, value: Value) -> Value:
        return self._map(value, {"inputs": self._named(self._argument),
                                 "operations": self._named(self._operation)}, leave_out=("metadata",))

    def _operation(self, value: Value) -> Value:
        return self._map(value, {"inputs": self._named(self._argument), "outputs": self._values},
                         leave_out=("metadata",))

    def _argument(self, value: Value) -> Value:
        """A definition if it says its type, else the value itself."""
        is_definition = field(value, "type") is not None
        return self._definition(value) if is_definition else self.value(value)

    def _artifact(self, value: Value) -> Value:
        return self._map(value, {"properties": self._values}, leave_out=("metadata",))

    # --- the service template

    def _service(self, value: Value) -> Value:
        parameters = self._named(self._parameter)
        return self._map(value, {
            "inputs": parameters, "outputs": parameters,
            "node_templates": self._named(self._node),
            "relationship_templates": self._named(self._relationship),
            "groups": self._named(self._group), "policies": self._named(self._group),
            "workflows": self._named(self._workflow),
            "substitution_mappings": self._substitution}, leave_out=("metadata",))

    def _parameter(self, value: Value) -> Value:
        if isinstance(value, Mapping) and value.entries.keys() & {"type", "value", "default", "description"}:
            return self._map(value, {
                "type": _native, "validation": self._validation, "key_schema": self._schema,
                "entry_schema": self._schema, "default": self.value, "value": self.value},
                {"validation": "constraints"}, leave_out=("external_schema",))
        return _map_of(value, "value", self.value(value))

    def _node(self, value: Value) -> Value:
        self._leave(value, ("count", "node_filter"), "a node template")
        return self._map(value, {
            "properties": self._values, "attributes": self._values,
            "capabilities": self._named(self._capability), "requirements": self._named(self._requirement),
            "interfaces": self._named(self._interface), "artifacts": self._named(self._artifact)},
            leave_out=("count", "node_filter"))

    def _capability(self, value: Value) -> Value:
        return self._map(value, {"properties": self._values, "attributes": self._values},
                         leave_out=("directives", "type"))

    def _requirement(self, value: Value) -> Value:
        left = ("count", "allocation", "node_filter", "directives", "optional")
        self._leave(value, left, "a requirement")
        return self._map(_first(value), {"node": _first, "capability": _first,
                                         "relationship": self._relationship}, leave_out=left)

    def _group(self, value: Value) -> Value:
        return self._map(value, {"properties": self._values, "attributes": self._values,
                                 "members": self._each(_first), "targets": self._each(_first)})

    def _workflow(self, value: Value) -> Value:
        return self._map(value, {
            "inputs": self._named(self._parameter), "steps": self._named(self._step),
            "precondition": lambda each: Sequence(each.mark, [_map_of(each, "condition", self.value(each))])},
            {"precondition": "preconditions"}, leave_out=("metadata",))

    def _step(self, value: Value) -> Value:
        return self._map(value, {"target": _first, "activities": self.value, "filter": self.value})

    def _substitution(self, value: Value) -> Value:
        left = ("substitution_filter", "interfaces")
        self._leave(value, left, "substitution mappings")
        return self._map(value, {"requirements": self._mapped_requirements}, leave_out=left)

    def _mapped_requirements(self, value: Value) -> Value:
        """Those that are mapped to requirements; one that is mapped to a whole node has no effect yet."""
        pairs = [Mapping(value.mark, {key.text: each}, {key.text: key}) for key, each in named(value)
                 if not isinstance(each, Scalar)]
        for key, each in named(value):
            if isinstance(each, Scalar):
                self._without_effect(each, f"the mapping of the requirement `{key.text}` to a node")
        return Sequence(value.mark, list(pairs))

    def _leave(self, value: Value, names: tuple[str, ...], owner: str) -> None:
        for name, each in fields(value).items():
            if name in names:
                self._without_effect(each, f"`{name}` of {owner}")

    def _without_effect(self, value: Value, what: str) -> None:
        self._problems.warn(place_of(value), f"{what} has no effect yet")

    # --- values and calls

    def _values(self, value: Value) -> Value:
        return self._named(self.value)(value)

    def value(self, value: Value) -> Value:
        """A value, its calls among it."""
        if isinstance(value, Sequence):
            return Sequence(value.mark, [self.value(each) for each in value.items])
        if isinstance(value, Scalar):
            return _unescaped_text(value)
        if len(value.entries) == 1:
            name, arguments = next(iter(value.entries.items()))
            if name.startswith("$") and not name.startswith("$$"):
                return self._call(value, name[1:], arguments)
        return self._values(value)

    def _call(self, value: Mapping, name: str, arguments: Value) -> Value:
        given = self.value(arguments)
        if name in _EVALUATED:
            return _map_of(value, name, given)
        if name in _REFERENCES and (path := _path(given)) is not None:
            return _map_of(value, name, path)
        if name in CALCULATIONS and name not in self._functions:
            return Call(value.mark, {f"${name}": given}, value.keys)
        self._check_function(value, name)
        self._problems.warn(place_of(value), f"the function `${name}` is not evaluated yet; it has no value")
        return Later(value.mark, {}, {})

    def _check_function(self, value: Mapping, name: str) -> None:
        if name not in (known := _EVALUATED | _REFERENCES | CALCULATIONS.keys() | _OTHERS | self._functions):
            self._problems.add(place_of(value), f"there is no function `${name}`"
                               + suggestion(name, sorted(known)))

    # --- validation clauses

    def _validation(self, value: Value) -> Value:
        """The constraints that mean the same; what they cannot say has no effect yet."""
        return Sequence(value.mark, list(self._constraints(value)))

    def _constraints(self, clause: Value) -> Iterator[Value]:
        name = next(iter(fields(clause)), "")
        if not name.startswith("$") or len(fields(clause)) != 1:
            self._problems.add(place_of(clause), "a validation clause is a call of a function such as "
                               "{ $greater_or_equal: [ $value, 1 ] }")
            return
        arguments = items(fields(clause)[name])
        if name == "$and":
            for each in arguments:
                yield from self._constraints(each)
            return
        self._check_function(_as_map(clause), name[1:])
        of, bound = arguments if len(arguments) == 2 else (None, None)
        words = _LENGTHS if _is_length(of) else _COMPARED if text(of) == "$value" else {}
        constraint = words.get(name[1:])
        if constraint is None or bound is None or _has_call(bound):
            self._without_effect(clause, f"the validation clause `{name}` of this form")
        else:
            yield _map_of(clause, constraint, bound)


def _native(value: Value) -> Value:
    name = _NATIVE.get(text(value) or "")
    return value if name is None else Scalar(value.mark, name, name)


def _first(value: Value) -> Value:
    """The template that a list of a template and an index names."""
    return value.items[0] if isinstance(value, Sequence) and value.items else value


def _map_of(place: Value, name: str, value: Value) -> Mapping:
    return Mapping(place.mark, {name: value}, {name: Scalar(place.mark, name, name)})


def _as_map(value: Value) -> Mapping:
    return value if isinstance(value, Mapping) else Mapping(value.mark, {}, {})


def _unescaped(name: str) -> str:
    return name[1:] if name.startswith("$$") else name


def _unescaped_text(value: Scalar) -> Scalar:
    """The value; of booleans 2.0 knows ``true`` and ``false`` alone, all other words are text."""
    written = text(value)
    if isinstance(value.value, bool) and value.text not in ("true", "false"):
        written = value.text
    if written is not None and written.lower() in _NO_BOOLEANS:
        return Scalar(value.mark, f"'{written}'", written)
    return Scalar(value.mark, value.text, written[1:]) if written and written.startswith("$$") else value


def _is_length(value: Value | None) -> bool:
    arguments = field(value, "$length")
    return arguments is not None and [text(each) for each in items(arguments) or [arguments]] == ["$value"]


def _has_call(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(name.startswith("$") or _has_call(each) for name, each in value.entries.items())
    return any(map(_has_call, items(value))) or (text(value) or "").startswith("$")


def _path(arguments: Value) -> Value | None:
    """The arguments of a reference in 1.3: an entity, perhaps a requirement or capability, and names.

    None for paths that it has no words for: with an index, or over more than one relationship.
    """
    steps = list(items(arguments))
    words = [text(each) for each in steps]
    if len(steps) < 2 or is_null(steps[0]) or isinstance(steps[0], Sequence):
        return None
    if words[0] == "SELF" and words[1] in ("TARGET", "SOURCE"):
        steps, words = steps[1:], words[1:]
    if words[1] == "RELATIONSHIP" and len(steps) > 3:
        first = isinstance(steps[3], Scalar) and steps[3].value == 0  # of several requirements of one name
        if words[3 + first:4 + first] == ["TARGET"]:
            steps, words = [steps[0], steps[2], *steps[4 + first:]], [words[0], words[2], *words[4 + first:]]
    steps = [each for each, word in zip(steps, words, strict=True) if word != "CAPABILITY"]
    if any(text(each) in ("RELATIONSHIP", "TARGET", "SOURCE", "CAPABILITY") for each in steps[1:]):
        return None
    return Sequence(arguments.mark, steps)

