"""Templates that begin as copies of others."""

from __future__ import annotations

from .problems import Problems, suggestion
from .values import Mapping, Scalar, Value, field, place_of, text

MAX_COPIES = 100


def with_copies(kind: str, section: Value | None, problems: Problems) -> dict[str, Mapping]:
    """The node or relationship templates of a section, each with what it copies.

    The mark of each is that of its name.
    """
    if not isinstance(section, Mapping):
        return {}
    return {name: _resolved(kind, section, section.keys[name], [], problems)
            for name, body in section.entries.items() if isinstance(body, Mapping)}


def _resolved(kind: str, section: Mapping, key: Scalar, trail: list[str], problems: Problems) -> Mapping:
    body = section.entries[key.text]
    entries = dict(body.entries) if isinstance(body, Mapping) else {}
    keys = dict(body.keys) if isinstance(body, Mapping) else {}
    own = Mapping(key.mark, entries, keys)
    source = field(own, "copy")
    name = text(source)
    if source is None or name is None:
        return own
    if name not in section.entries:
        problems.add(place_of(source), f"{kind} template `{key.text}` copies `{name}`, but there is no "
                     f"{kind} template of this name" + suggestion(name, section.entries))
        return own
    if len(trail) >= MAX_COPIES:
        problems.add(place_of(source),
                     f"more than {MAX_COPIES} templates copy each other, which is the limit")
        return own
    if name in (key.text, *trail):
        loop = " -> ".join([*trail, key.text, name])
        problems.add(place_of(source), f"these {kind} templates copy each other in a loop: {loop}")
        return own
    return _over(own, _resolved(kind, section, section.keys[name], [*trail, key.text], problems))


def _over(own: Mapping, copied: Mapping) -> Mapping:
    """`own` with everything of `copied` that it does not say itself; maps are merged, lists are not."""
    merged = Mapping(own.mark, {**copied.entries, **own.entries}, {**copied.keys, **own.keys})
    for name, each in own.entries.items():
        other = copied.entries.get(name)
        if isinstance(each, Mapping) and isinstance(other, Mapping):
            merged.entries[name] = _over(each, other)
    return merged
