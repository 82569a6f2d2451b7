"""Templates that chance has bent: whatever they say, they are loaded, or refused with places, and soon.

In CI each test goes on for `LONG` seconds, otherwise for `SHORT`; its seed is printed.
"""

from __future__ import annotations

import os
import random
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aria_core import LoadError
from aria_plugins.loaders.tosca import ToscaLoader

ROOT = Path(__file__).parents[2]
SHORT, LONG = 4.0, 140.0
SECONDS = LONG if os.environ.get("CI") else SHORT
AT_MOST = 10.0
MORE_MEMORY = 700 << 10
"""How many KiB more the process may have needed at its peak than before."""
LOCATED = re.compile(r".+:\d+:\d+: \S", re.DOTALL)
HEADS = ("tosca_simple_yaml_1_0", "tosca_simple_yaml_1_3", "tosca_2_0", "tosca_simple_profile_for_nfv_1_0")
WORDS = (
    "null", "~", "{}", "[]", "[[]]", "''", "-", "*a", "&a", "<<: *a", "!!binary x", "!!python/object x", "0",
    "-1", "1e999", "2026-11-24", "{get_input: x}", "{get_property: [SELF, x]}", "{concat: []}",
    "{$get_input: x}", "{token: [a, b, -1]}", "derived_from", "type", "properties", "node_templates", "SELF",
    "tosca.nodes.Root", "tosca.nodes.Compute", "string", "list", "entry_schema", "constraints", "in_range",
    "UNBOUNDED", "\0", "\u202e", "[0, UNBOUNDED]", "substitution_mappings", "requirements", "host",
    "{a: &b [*b]}", "x" * 300, "? {a: b} : c")


STEPS = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs: {part: {type: string, default: all}}
  node_templates:
    db: {type: tosca.nodes.Root}
    web: {type: tosca.nodes.Root, requirements: [{dependency: db}]}
  groups:
    all: {type: tosca.groups.Root, members: [db, web]}
  workflows:
    inner:
      inputs: {what: {type: string, default: none}}
      preconditions:
      - target: all
        condition:
        - or: [{assert: [{state: [{equal: initial}]}]}, {not: [{load: {less_than: 3}}]}]
      steps:
        one:
          target: web
          target_relationship: dependency
          activities: [{call_operation: Configure.add_source}]
    outer:
      steps:
        first:
          target: all
          filter: [{state: [{valid_values: [initial, created]}]}]
          activities:
          - call_operation:
              operation: Standard.create
              inputs: {what: {concat: [{get_input: part}, {get_attribute: [SELF, tosca_name]}]}}
          - set_state: created
          on_success: [second]
          on_failure: [third]
        second:
          target: db
          activities: [{delegate: deploy}, {inline: {workflow: inner, inputs: {what: it}}}]
        third: {target: db, activities: []}
"""
CALCULATIONS = """
tosca_definitions_version: tosca_2_0
service_template:
  inputs:
    size: {type: integer, default: 3, validation: {$and: [{$less_than: [$value, 9]}]}}
  outputs:
    sum: {value: {$sum: [{$get_input: size}, {$length: [[a, b]]}]}}
    kind: {value: {$has_key: [{a: 1}, {$concat: [a, b]}]}}
"""


def templates() -> list[str]:
    """Our own examples, workflows in steps, and what version 2.0 calculates."""
    found = [each.read_text("utf-8") for each in sorted((ROOT / "examples").rglob("*.yaml"))]
    return [*(each for each in found if "tosca_definitions_version" in each), STEPS, CALCULATIONS]


def bent_lines(text: str, chance: random.Random) -> str:
    """Some lines gone, doubled, moved in or out, or of another place."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        what = chance.randrange(5)
        if what == 0:
            del lines[at]
            lines = lines or [""]
        elif what == 1:
            lines.insert(at, chance.choice(lines))
        elif what == 2:
            lines[at] = " " * chance.randint(0, 12) + lines[at].lstrip()
        elif what == 3:
            lines[at] = lines[at].partition(":")[0] + ": " + chance.choice(WORDS)
        else:
            lines[at:at + 1] = [lines[at], " " * chance.randint(0, 12) + chance.choice(WORDS) + ":"]
    return "\n".join(lines)


def bent_words(text: str, chance: random.Random) -> str:
    """Some words of it are others."""
    for _ in range(chance.randint(1, 5)):
        words = list(re.finditer(r"[\w.$]+", text))
        word = chance.choice(words) if words else None
        start, end = word.span() if word is not None else (0, 0)
        other = chance.choice((*WORDS, chance.choice(words)[0] if words else "x", text[start:end][::-1]))
        text = text[:start] + other + text[end:]
    return text


@pytest.mark.timeout(LONG * 3)
@pytest.mark.parametrize("bend", [bent_lines, bent_words])
def test_a_bent_template_is_loaded_or_refused_with_places(
        tmp_path: Path, bend: Callable[[str, random.Random], str]) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance, whole = random.Random(seed), templates()
    source, count, refused = tmp_path / "bent.yaml", 0, 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        text = bend(chance.choice(whole), chance)
        if chance.random() < 0.3:
            text = re.sub(r"(?<=tosca_definitions_version: )\S+", chance.choice(HEADS), text)
        source.write_text(text, "utf-8", errors="surrogatepass")
        began = time.monotonic()
        try:
            ToscaLoader().load(source, Path.read_bytes)
        except LoadError as error:
            refused += 1
            assert error.problems, text
            assert [each for each in error.problems if not LOCATED.match(each)] == [], text
        except BaseException:
            sys.stdout.write(text)
            raise
        assert time.monotonic() - began < AT_MOST, text
        count += 1
    sys.stdout.write(f"{count} templates, {refused} refused\n")
    assert 0 < refused <= count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MORE_MEMORY
