"""Values that are computed on the live service: writing them, checking them, evaluating them.

An expression is JSON in which an object with one key that begins with ``$`` calls a function; its
value is the list of arguments. `FUNCTIONS` has them all:

===================================  ==========================================================
``{"$get_input": [name, …path]}``    an input of the service
``{"$get_property": [entity, …]}``   a property of an entity
``{"$get_attribute": [entity, …]}``  an attribute of an entity, or else its property
``{"$get_secret": [name]}``          a secret that its runner knows and the database does not
``{"$get_operation_output": […]}``   what an operation gave: an entity, an interface, an operation, a name
``{"$get_nodes_of_type": [type]}``   the names of the nodes of a type, and of types derived from it
``{"$concat": [part, …]}``           texts one after the other, or lists one after the other
``{"$join": [list, delimiter]}``     the texts of a list with a delimiter between them
``{"$token": [text, chars, n]}``     the n-th piece (from 0) of a text that is cut at any of `chars`
===================================  ==========================================================

and those that calculate from values alone, which `CALCULATIONS` lists.

An entity is ``SELF``, ``SOURCE``, ``TARGET``, ``HOST`` or the name of a node; after it come, if
wanted, the name of a requirement or capability, then the name of the property or attribute, then
keys and positions inside its value. A literal key that begins with ``$`` is written with two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from aria_core.exceptions import InvalidInputError, NotJsonError
from aria_core.modeling.calculations import CALCULATIONS, CalculationError
from aria_core.modeling.values import MAX_DEPTH, dump_json

SELF, SOURCE, TARGET, HOST = "SELF", "SOURCE", "TARGET", "HOST"
ENTITY_KEYWORDS = frozenset({SELF, SOURCE, TARGET, HOST})
"""Names of entities that no node may have."""

MAX_TEXT = 1 << 20
"""The longest text, in characters, and the longest list that an expression may make."""

_SHOWN = 200


class Expression(dict[str, Any]):
    """A function call as its canonical tree; equal to the plain dictionary."""


class ExpressionError(InvalidInputError):
    """An expression cannot be evaluated; the message shows the innermost call that cannot."""

    shown = False

    def within(self, tree: Any) -> ExpressionError:
        """This error with the call in front, unless a call inside it is there already."""
        if self.shown:
            return self
        told = type(self)(f"{show(tree)}: {self}")
        told.shown = True
        return told


class MissingValueError(ExpressionError):
    """An expression refers to a value that does not exist, or not yet."""


class Scope(Protocol):
    """Where an expression finds the values it refers to.

    `path` begins with the entity, as the expression has it. A value that does not exist raises
    ``MissingValueError`` with a sentence, an entity that means nothing here ``ExpressionError``.
    """

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of the service."""

    def get_property(self, path: Sequence[Any]) -> Any:
        """The property that `path` leads to."""

    def get_attribute(self, path: Sequence[Any]) -> Any:
        """The attribute that `path` leads to."""

    def get_secret(self, name: Any) -> str:
        """The secret of that name."""

    def get_operation_output(self, path: Sequence[Any]) -> Any:
        """What the operation gave when it last succeeded; `path` is as the expression has it."""

    def get_nodes_of_type(self, type_name: Any) -> list[str]:
        """The names of the nodes of that type or of one derived from it."""


class InputScope:
    """A scope that has nothing but inputs."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs

    def get_property(self, path: Sequence[Any]) -> NoReturn:
        """Refused: there is no service yet."""
        raise MissingValueError("there is no service here to read properties from")

    def get_attribute(self, path: Sequence[Any]) -> NoReturn:
        """Refused: there is no service yet."""
        raise MissingValueError("there is no service here to read attributes from")

    def get_secret(self, name: Any) -> NoReturn:
        """Refused: inputs are stored."""
        raise MissingValueError("inputs are stored, so they cannot be secrets that are not; properties and "
                                "arguments can")

    def get_operation_output(self, path: Sequence[Any]) -> NoReturn:
        """Refused: there is no service yet."""
        raise MissingValueError("there is no service here whose operations could have given anything")

    def get_nodes_of_type(self, type_name: Any) -> NoReturn:
        """Refused: there is no service yet."""
        raise MissingValueError("there is no service here that could have nodes")


def get_input(name: str, *path: str | int) -> Expression:
    """An input of the service; `path` leads into a list or map."""
    return Expression({"$get_input": [name, *path]})


def get_property(entity: str, *path: str | int) -> Expression:
    """A property: of `entity`, or of its requirement or capability named first in `path`."""
    return Expression({"$get_property": [entity, *path]})


def get_attribute(entity: str, *path: str | int) -> Expression:
    """An attribute: of `entity`, or of its requirement or capability named first in `path`."""
    return Expression({"$get_attribute": [entity, *path]})


def get_secret(name: str | Expression) -> Expression:
    """A secret that its runner knows: it is never stored, and read whenever an operation needs it."""
    return Expression({"$get_secret": [name]})


def get_operation_output(entity: str, interface: str, operation: str, name: str) -> Expression:
    """What an operation gave under `name` when it last succeeded.

    It is in the map that its function returned, or else the attribute of that name.
    """
    return Expression({"$get_operation_output": [entity, interface, operation, name]})


def get_nodes_of_type(type_name: str) -> Expression:
    """The names of the nodes of a type, and of types derived from it."""
    return Expression({"$get_nodes_of_type": [type_name]})


def concat(*parts: Any) -> Expression:
    """The texts of all parts one after the other; or one list of several."""
    return Expression({"$concat": list(parts)})


def join(parts: Any, delimiter: str | Expression = "") -> Expression:
    """The texts of a list (or of an expression that gives one) with a delimiter between them."""
    return Expression({"$join": [parts, delimiter]})


def token(text: str | Expression, characters: str, index: int) -> Expression:
    """The piece number `index` (from 0) of a text that is cut at any of `characters`."""
    return Expression({"$token": [text, characters, index]})


def escape(value: Any) -> Any:
    """A literal as an expression that evaluates to it: keys that begin with ``$`` get a second one.

    Calls made by the constructors above stay calls.
    """
    if isinstance(value, Expression):
        return Expression({name: escape(arguments) for name, arguments in value.items()})
    if isinstance(value, Mapping):
        return {_escaped(key): escape(each) for key, each in value.items()}
    return [escape(each) for each in value] if isinstance(value, (list, tuple)) else value


def _escaped(key: Any) -> Any:
    return f"${key}" if isinstance(key, str) and key.startswith("$") else key


def has_expression(value: Any) -> bool:
    """Whether a literal has a call made by the constructors above anywhere inside."""
    if isinstance(value, Expression):
        return True
    return any(has_expression(each) for each in _children(value))


def calls(tree: Any) -> Iterator[tuple[str, list[Any]]]:
    """Every function call in `tree`, outermost first: the function's name and its arguments.

    Raises ``InvalidInputError`` for an unknown function and for a wrong number of arguments.
    """
    yield from _calls(tree, 0)


def _calls(tree: Any, depth: int) -> Iterator[tuple[str, list[Any]]]:
    if depth > MAX_DEPTH:
        raise NotJsonError(f"an expression is nested deeper than {MAX_DEPTH} levels")
    call = _call_of(tree)
    if call is not None:
        yield call
    for each in _children(tree if call is None else call[1]):
        yield from _calls(each, depth + 1)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        return iter(value.values())
    return iter(value) if isinstance(value, (list, tuple)) else iter(())


def _call_of(tree: Any) -> tuple[str, list[Any]] | None:
    name = _called_name(tree)
    if name is None:
        return None
    arguments = tree[f"${name}"]
    arguments = list(arguments) if isinstance(arguments, (list, tuple)) else [arguments]
    function = FUNCTIONS.get(name)
    if function is None:
        accepted = ", ".join(f"${each}" for each in FUNCTIONS)
        raise InvalidInputError(f"{show(tree)}: there is no function ${name}; known are {accepted}")
    _check_count(tree, name, function, len(arguments))
    return name, arguments


def _called_name(tree: Any) -> str | None:
    if not isinstance(tree, Mapping):
        return None
    names = [key for key in tree if isinstance(key, str) and key.startswith("$") and key[1:2] != "$"]
    if names and len(tree) > 1:
        raise InvalidInputError(f"{show(tree)}: the call of {names[0]} must be the only key of its object; "
                                "a literal key that begins with $ is written with two")
    return str(names[0][1:]) if names else None


def _check_count(tree: Any, name: str, function: _Function, count: int) -> None:
    fewest, most, usage, _ = function
    if count < fewest or (most is not None and count > most):
        raise InvalidInputError(f"{show(tree)}: ${name} takes {usage}, not {count} "
                                f"argument{'' if count == 1 else 's'}")


def show(tree: Any) -> str:
    """An expression in one short line, for messages."""
    try:
        text = dump_json(tree)
    except NotJsonError:
        text = repr(tree)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def needs_service(tree: Any) -> bool:
    """Whether evaluating `tree` takes a live service, not inputs alone."""
    return any(name.startswith("get_") and name != "get_input" for name, _ in calls(tree))


def has_secret(tree: Any) -> bool:
    """Whether `tree` asks for a secret."""
    return any(name == "get_secret" for name, _ in calls(tree))


def input_names(tree: Any) -> set[str]:
    """The names of the inputs that `tree` refers to."""
    return {str(arguments[0]) for name, arguments in calls(tree) if name == "get_input"}


def bind_inputs(tree: Any, inputs: Mapping[str, Any]) -> Any:
    """`tree` with every ``$get_input`` replaced by the value it has in `inputs`.

    Raises ``InvalidInputError`` if there is no such input.
    """
    call = _call_of(tree)
    if call is not None and call[0] == "get_input":
        return escape(evaluate(tree, InputScope(inputs)))
    if isinstance(tree, Mapping):
        return {key: bind_inputs(each, inputs) for key, each in tree.items()}
    return [bind_inputs(each, inputs) for each in tree] if isinstance(tree, (list, tuple)) else tree


def evaluate(tree: Any, scope: Scope) -> Any:
    """The value of an expression (of any JSON with calls inside) in `scope`.

    Raises ``MissingValueError`` for a value that does not exist (yet), ``ExpressionError`` for wrong
    arguments and values that need each other, ``InvalidInputError`` for an unknown function or a wrong
    number of arguments. The message shows the call.
    """
    call = _call_of(tree)
    if call is not None:
        return _apply(tree, call[0], call[1], scope)
    if isinstance(tree, Mapping):
        return {_unescaped(key): evaluate(each, scope) for key, each in tree.items()}
    return [evaluate(each, scope) for each in tree] if isinstance(tree, (list, tuple)) else tree


def _unescaped(key: str) -> str:
    return key[1:] if key.startswith("$$") else key


def _apply(tree: Any, name: str, arguments: list[Any], scope: Scope) -> Any:
    values = [evaluate(each, scope) for each in arguments]
    try:
        return FUNCTIONS[name][3](values, scope)
    except ExpressionError as error:
        raise error.within(tree) from None


def _get_input(values: list[Any], scope: Scope) -> Any:
    name, *path = values
    if not isinstance(name, str) or name not in scope.inputs:
        accepted = ", ".join(scope.inputs) or "none"
        raise MissingValueError(f"there is no input {name!r}; the inputs are: {accepted}")
    return follow(scope.inputs[name], path, f"input {name!r}")


def follow(value: Any, path: Sequence[Any], what: str) -> Any:
    """The value that `path` (keys and positions) leads to inside `value`, which is `what`.

    Raises ``MissingValueError`` at the first step that does not exist.
    """
    for step in path:
        try:
            value = value[int(step) if isinstance(value, list) else _key(value, step)]
        except (KeyError, IndexError, TypeError, ValueError):
            raise MissingValueError(f"{what} has no {step!r}; it is {_shape(value)}") from None
        what = f"{what}.{step}"
    return value


def _key(value: Any, step: Any) -> Any:
    if not isinstance(value, Mapping):
        raise KeyError(step)
    return step


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a map with the keys {', '.join(map(str, value)) or '(none)'}"
    return f"a list of {len(value)}" if isinstance(value, list) else f"{show(value)}, neither map nor list"


def _concat(values: list[Any], scope: Scope) -> Any:
    if values and all(isinstance(each, list) for each in values):
        return _limited([part for each in values for part in each])
    return _limited("".join(_text(each, f"part {number}") for number, each in enumerate(values, 1)))


def _join(values: list[Any], scope: Scope) -> str:
    parts, delimiter = values[0], values[1] if len(values) > 1 else ""
    if not isinstance(parts, list):
        raise ExpressionError(f"the first argument of $join is {show(parts)}; it takes a list")
    texts = [_text(each, f"part {number}") for number, each in enumerate(parts, 1)]
    return str(_limited(_text(delimiter, "the delimiter").join(texts)))


def _token(values: list[Any], scope: Scope) -> str:
    text, characters, index = values
    if not isinstance(characters, str) or not characters:
        raise ExpressionError(f"the second argument of $token is {show(characters)}; it takes "
                              "at least one character")
    if isinstance(index, bool) or not isinstance(index, int):
        raise ExpressionError(f"the third argument of $token is {show(index)}; it takes a whole number")
    pieces = re.split(f"[{re.escape(characters)}]", _text(text, "the text"))
    if not 0 <= index < len(pieces):
        raise ExpressionError(f"{show(text)} has {len(pieces)} pieces, so there is no piece {index}")
    return pieces[index]


def _text(value: Any, what: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise MissingValueError(f"{what} has no value")
    if isinstance(value, (list, Mapping)):
        raise ExpressionError(f"{what} is {show(value)}; it takes text, a number or a boolean")
    return dump_json(value)


def _calculation(function: Callable[..., Any]) -> Callable[[list[Any], Scope], Any]:
    def calculate(values: list[Any], scope: Scope) -> Any:
        try:
            found = function(*values)
        except CalculationError as error:
            raise ExpressionError(str(error)) from None
        return _limited(found) if isinstance(found, list) else found
    return calculate


def _limited(value: str | list[Any]) -> str | list[Any]:
    if len(value) > MAX_TEXT:
        raise ExpressionError(f"the result is longer than {MAX_TEXT}")
    return value


_Function = tuple[int, int | None, str, Callable[[list[Any], Scope], Any]]

FUNCTIONS: Mapping[str, _Function] = {
    "get_input": (1, None, "the name of an input", _get_input),
    "get_property": (2, None, "an entity and the name of a property",
                     lambda values, scope: scope.get_property(values)),
    "get_attribute": (2, None, "an entity and the name of an attribute",
                      lambda values, scope: scope.get_attribute(values)),
    "get_secret": (1, 1, "the name of a secret", lambda values, scope: scope.get_secret(values[0])),
    "get_operation_output": (4, 4, "an entity, an interface, an operation and the name of an output",
                             lambda values, scope: scope.get_operation_output(values)),
    "get_nodes_of_type": (1, 1, "the name of a type",
                          lambda values, scope: scope.get_nodes_of_type(values[0])),
    "concat": (1, None, "at least one part", _concat),
    "join": (1, 2, "a list and a delimiter", _join),
    "token": (3, 3, "a text, characters and a position", _token),
    **{name: (fewest, most, usage, _calculation(function))
       for name, (fewest, most, usage, function) in CALCULATIONS.items()},
}
"""Name -> fewest and most arguments, what they are, and what to do with them."""
