"""Inputs as people give them: ``name=value`` and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .printing import clean


def read_inputs(given: Sequence[str], file: Path | None, types: Mapping[str, str]) -> dict[str, Any]:
    """The inputs of a file and of ``name=value`` texts, which go before it.

    Where `types` declares none or ``any``, text that is JSON is taken as JSON; otherwise it stays
    text, which the declared type converts. Raises ``InvalidInputError`` for what cannot be read.
    """
    from aria_core import InvalidInputError

    values = {} if file is None else _of_file(file)
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"the input {clean(each)!r} is not like name=value")
        values[name] = _from_json(text) if types.get(name, "any") == "any" else text
    return values


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _of_file(file: Path) -> dict[str, Any]:
    import yaml

    from aria_core import InvalidInputError

    try:
        content = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise InvalidInputError(f"the inputs file {file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the inputs file {file} is neither YAML nor JSON: {_place(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise InvalidInputError(f"the inputs file {file} holds no map of names to values")
    return content


def _place(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
