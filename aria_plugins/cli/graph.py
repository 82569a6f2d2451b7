"""Topologies as pictures: a tree of text, DOT for Graphviz, or SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import click

from .printing import clean, one_line, tell

if TYPE_CHECKING:
    from aria_core import Service, TemplateSpec

FORMATS = ("tree", "dot", "svg")
as_format = click.option("--format", "-f", "shape", type=click.Choice(FORMATS), default="tree",
                         show_default=True, help="A tree of text, DOT for Graphviz, or a picture.")

_CHARACTER, _LINE, _MARGIN = 7.5, 18, 20
_BOX_HEIGHT, _ROW, _GAP = 46, 110, 30


@dataclass(frozen=True)
class Box:
    """A node: its name, its type, and what else is to be seen of it."""

    name: str
    type: str
    more: str = ""

    @property
    def lines(self) -> list[str]:
        """What is written in it."""
        return [each for each in (one_line(self.name), one_line(self.type), one_line(self.more)) if each]


@dataclass(frozen=True)
class Line:
    """A relationship: from the node that requires to the one that is required."""

    source: str
    target: str
    name: str
    hosted: bool = False


@dataclass(frozen=True)
class Graph:
    """What is drawn."""

    name: str
    boxes: Sequence[Box]
    lines: Sequence[Line]


def of_template(template: TemplateSpec) -> Graph:
    """The graph of a template's node templates."""
    return Graph(template.name, [Box(each.name, each.type) for each in template.nodes.values()], [
        Line(node.name, each.target, each.name, each.hosted)
        for node in template.nodes.values() for each in node.relationships])


def of_service(service: Service) -> Graph:
    """The graph of a service's nodes, with their states."""
    nodes = list(service.nodes.values())
    hosts = {(node.name, node.host.name) for node in nodes if node.host is not None}
    return Graph(service.name, [Box(each.name, each.type_name, each.state) for each in nodes], [
        Line(node.name, each.target_node.name, each.name, (node.name, each.target_node.name) in hosts)
        for node in nodes for each in node.outbound_relationships])


def show(graph: Graph, shape: str) -> None:
    """Print it in one of `FORMATS`."""
    for each in {"tree": tree, "dot": dot, "svg": svg}[shape](graph):
        tell(each)


# --- text

def tree(graph: Graph) -> Iterator[str]:
    """What nobody requires stands first; below each node what it requires. Each is spelt out once."""
    yield one_line(graph.name)
    required = {each.target for each in graph.lines if each.source != each.target}
    roots = [each.name for each in graph.boxes if each.name not in required]
    seen: set[str] = set()
    yield from _branches(graph, roots, seen)
    # What is left is required by itself, round about.
    yield from (line for each in graph.boxes if each.name not in seen
                for line in _branches(graph, [each.name], seen))


def _branches(graph: Graph, roots: Sequence[str], seen: set[str]) -> Iterator[str]:
    boxes = {each.name: each for each in graph.boxes}
    outward: dict[str, list[Line]] = {name: [] for name in boxes}
    for each in graph.lines:
        outward[each.source].append(each)
    waiting = [("", "", "", name, name == roots[-1]) for name in reversed(roots)]
    while waiting:
        indent, stem, label, name, is_last = waiting.pop()
        box = boxes[name]
        again = name in seen and bool(outward[name])
        yield f"{indent}{stem}{label}{box.lines[0]} ({', '.join(box.lines[1:])}){' …' if again else ''}"
        if name in seen:
            continue
        seen.add(name)
        below = indent + ("" if not stem else "   " if is_last else "│  ")
        for number, line in enumerate(reversed(outward[name])):
            last = number == 0
            waiting.append((below, "└─ " if last else "├─ ", f"{one_line(line.name)}: ", line.target, last))


# --- DOT

def dot(graph: Graph) -> Iterator[str]:
    """For Graphviz; names are quoted, whatever they hold."""
    yield f"digraph {_quoted([graph.name])} {{"
    yield "  rankdir=BT; node [shape=box];"
    for box in graph.boxes:
        yield f"  {_quoted([box.name])} [label={_quoted(box.lines)}];"
    for line in graph.lines:
        style = ", style=bold" if line.hosted else ""
        yield f"  {_quoted([line.source])} -> {_quoted([line.target])} [label={_quoted([line.name])}{style}];"
    yield "}"


def _quoted(lines: Sequence[str]) -> str:
    return '"' + "\\n".join(one_line(each).replace("\\", "\\\\").replace('"', '\\"') for each in lines) + '"'


# --- SVG

def svg(graph: Graph) -> Iterator[str]:
    """A picture: what is required stands below what requires it."""
    places = _places(graph)
    width = max((x + _width(each) for each, (x, _) in places.items()), default=0) + _MARGIN
    height = max((y for _, y in places.values()), default=0) + _BOX_HEIGHT + _LINE + _MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
           f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="13">')
    yield f"<title>{_text(graph.name)}</title>"
    yield ('<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
           'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>')
    boxes = {each.name: each for each in graph.boxes}
    for line in graph.lines:
        yield from _arrow(line, places, boxes)
    for box, (x, y) in places.items():
        yield from _drawn(box, x, y)
    yield "</svg>"


def _places(graph: Graph) -> dict[Box, tuple[float, float]]:
    places: dict[Box, tuple[float, float]] = {}
    for row, boxes in enumerate(_rows(graph)):
        x = float(_MARGIN)
        for box in boxes:
            places[box] = x, _MARGIN + row * float(_ROW)
            x += _width(box) + _GAP
    return places


def _rows(graph: Graph) -> list[list[Box]]:
    """Nodes that require each other round about share a row; else each is below all that require it."""
    import networkx

    whole: Any = networkx.DiGraph()
    whole.add_nodes_from(each.name for each in graph.boxes)
    whole.add_edges_from((each.source, each.target) for each in graph.lines)
    parts = networkx.condensation(whole)
    members = networkx.get_node_attributes(parts, "members")
    boxes = {each.name: each for each in graph.boxes}
    return [[boxes[name] for part in row for name in sorted(members[part])]
            for row in networkx.topological_generations(parts)]


def _width(box: Box) -> float:
    return 24 + _CHARACTER * max(map(len, box.lines), default=1)


def _height(box: Box) -> float:
    return _BOX_HEIGHT + _LINE * (len(box.lines) - 2)


def _arrow(line: Line, places: dict[Box, tuple[float, float]], boxes: dict[str, Box]) -> Iterator[str]:
    source, target = boxes[line.source], boxes[line.target]
    (x1, y1), (x2, y2) = places[source], places[target]
    from_x, to_x = x1 + _width(source) / 2, x2 + _width(target) / 2
    from_y, to_y = (y1 + _height(source), y2) if y2 > y1 else (y1 + _height(source) / 2,
                                                               y2 + _height(target) / 2)
    weight = "2" if line.hosted else "1"
    yield (f'<line x1="{from_x:.1f}" y1="{from_y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#555" '
           f'stroke-width="{weight}" marker-end="url(#arrow)"/>')
    yield (f'<text x="{(from_x + to_x) / 2 + 4:.1f}" y="{(from_y + to_y) / 2:.1f}" fill="#555" '
           f'font-size="11">{_text(line.name)}</text>')


def _drawn(box: Box, x: float, y: float) -> Iterator[str]:
    yield f"<g><title>{_text(' '.join(box.lines))}</title>"
    yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="{_width(box):.1f}" height="{_height(box):.1f}" rx="5" '
           'fill="#f4f6fa" stroke="#345"/>')
    for number, line in enumerate(box.lines):
        weight = ' font-weight="bold"' if number == 0 else ""
        yield (f'<text x="{x + _width(box) / 2:.1f}" y="{y + _LINE * (number + 1):.1f}" '
               f'text-anchor="middle"{weight}>{_text(line)}</text>')
    yield "</g>"


def _text(text: str) -> str:
    return escape(clean(one_line(text)))
