"""Texts that nobody would choose as a name or say in a log, and operations that use them all the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aria_core.orchestrator.context.workflow import WorkflowContext
from aria_core.orchestrator.decorators import workflow
from aria_core.orchestrator.task_graph import TaskGraph
from aria_core.orchestrator.tasks import OperationTask

LINE = "2026-01-01T00:00:00.000+00:00 error    forged"
"""What could pass for a line of a log."""
NAMES = {
    "ten kB": "n" * 10_000, "empty": "", "NUL": "a\0b", "right to left": "\u202egnp.exe",
    "hebrew": "\u05e9\u05dc\u05d5\u05dd", "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "combining": "Z\u0351\u036b\u0343" * 20, "up": "../../etc/passwd", "absolute": "/etc/passwd",
    "percent": "%s%n%(x)d%", "braces": "{{ 7*7 }}{0}", "SQL": "'; DROP TABLE node; --",
    "CR and LF": f"a\r\n{LINE}", "escape": "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "bidi": "\u2066\u2067\u2068\u2069\u200e\u200f\u061c", "lines": "a\u2028b\u2029c\x85d", "lone": "\ud800",
    "shell": "`id` $(id) ;id|id&", "option": "--help", "quotes": "\"'\\", "blank": " \t ",
    "byte order": "\ufeffx", "markup": "[red]x[/red]<b>", "separator": "a/b@c:d=e", "no-break": "a\xa0b"}
"""By what is wrong with them."""
COMMANDING = frozenset(map(chr, (
    *range(9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F),
    *range(0x2066, 0x206A))))
"""Characters that command a terminal, end lines or turn text around; tab and LF are left out."""


def use(ctx: Any, text: str) -> dict[str, str]:
    """Logs `text`, keeps it as an attribute, prints it and returns it."""
    ctx.logger.info(text)
    ctx.logger.info("said: %s", text)
    ctx.node.attributes["said"] = text
    print(text.encode("utf-8", "replace").decode())  # noqa: T201 - that is what it is for
    return {"said": text}


def name_attribute(ctx: Any, text: str) -> None:
    """Gives an attribute the name `text`."""
    ctx.node.attributes[text] = text


def use_kind(ctx: Any, text: str) -> dict[str, str]:
    """Like `use`, with the one of `NAMES` that has `text` wrong with it."""
    return use(ctx, NAMES[text])


@workflow
def use_all(ctx: WorkflowContext, graph: TaskGraph, texts: Iterable[str], operation: str) -> None:
    """One operation of node ``one`` with each of `texts`; failures disturb nobody."""
    node = ctx.service.nodes["one"]
    graph.add_tasks(OperationTask(node, "Test", operation, arguments={"text": text}, ignore_failure=True)
                    for text in texts)
