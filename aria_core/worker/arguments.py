"""Whether arguments fit a function, said before it is called and in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from inspect import Parameter, signature
from typing import Any

from aria_core.exceptions import InvalidInputError

WORKFLOW_DECORATOR_RESERVED_ARGUMENTS = frozenset({"ctx", "graph"})
OPERATION_DECORATOR_RESERVED_ARGUMENTS = frozenset({"ctx", "toolbelt"})

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class AcceptedArguments:
    """The arguments a decorated function accepts.

    `kind` and the function's name stand in errors; `reserved` are the names that ARIA fills in.
    """

    def __init__(self, kind: str, function: Callable[..., Any], reserved: Set[str]) -> None:
        parameters = signature(function).parameters.values()
        named = [each for each in parameters if each.kind in _NAMED]
        self.function_name = str(getattr(function, "__name__", function))
        self._who = f"the {kind} {self.function_name!r}"
        self._reserved = reserved
        self._names = [each.name for each in named]
        self._defaults = {each.name: each.default for each in named if each.default is not Parameter.empty}
        self._takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)

    def by_name(self, positional: Sequence[Any], given: Mapping[str, Any],
                skip: Set[str] = frozenset()) -> dict[str, Any]:
        """All arguments by name; `positional` ones fill the parameters in order, without those in `skip`."""
        names = [name for name in self._names if name not in skip]
        if len(positional) > len(names):
            raise InvalidInputError(f"{self._who} was given {len(positional)} arguments without a name; "
                                    f"it takes {self._taken()}")
        named = dict(zip(names, positional, strict=False))
        if twice := named.keys() & given.keys():
            raise InvalidInputError(f"{self._who} was given {_listed(twice)} twice")
        return {**named, **given}

    def complete(self, given: Mapping[str, Any], provided: Set[str] = frozenset()) -> dict[str, Any]:
        """`given` together with defaults; `provided` are names that ARIA will add.

        Raises ``InvalidInputError`` that names what is missing, unknown or reserved.
        """
        if claimed := given.keys() & (self._reserved - {"ctx"}):
            raise InvalidInputError(f"{self._who} cannot be given {_listed(claimed)}: ARIA itself fills in "
                                    f"{_listed(self._reserved)}")
        wrong = [*self._missing({*given, *provided}), *self._unknown({*given, *provided})]
        if wrong:
            raise InvalidInputError(f"{self._who} {' and '.join(wrong)}; it takes {self._taken()}")
        return {**self._defaults, **given}

    def _missing(self, names: Set[str]) -> list[str]:
        missing = [name for name in self._names if name not in names and name not in self._defaults]
        return [f"misses {_listed(missing)}"] if missing else []

    def _unknown(self, names: Set[str]) -> list[str]:
        unknown = [] if self._takes_any else sorted(names - set(self._names))
        return [f"does not know {_listed(unknown)}"] if unknown else []

    def _taken(self) -> str:
        taken = [f"{name} (optional)" if name in self._defaults else name for name in self._names]
        return ", ".join([*taken, *(["any other"] if self._takes_any else [])]) or "none"

    def suffix(self, template: str, arguments: Mapping[str, Any]) -> str:
        """`template` filled in; ``InvalidInputError`` if it asks for what is not there."""
        try:
            return template.format(**arguments)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"the suffix_template {template!r} of {self._who} cannot be filled in "
                                    f"({type(error).__name__}: {error}); it may use "
                                    f"{_listed(arguments)}") from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
