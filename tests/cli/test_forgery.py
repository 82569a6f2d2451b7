"""What operations and templates write cannot pass for something else, nor command the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aria_core import Application, Config, TemplateBuilder, call, create_service, store_template

CODE = Path(__file__).parent / "secrets"
LINE = "2026-01-01T00:00:00.000+00:00 info     forged"


def test_no_line_of_a_log_is_forged(project: Any) -> None:
    builder = TemplateBuilder("liar")
    builder.node("a node \u202eedon", interfaces={"Tell": {"it": call("leaks:forges", line=LINE)}})
    builder.workflow("tell_all", "leaks:tell_all", inputs={"line": LINE})
    with Application(Config.load()) as application:
        model, resources = application.model_storage, application.resource_storage
        create_service(model, store_template(model, resources, builder.load(CODE)), "liar")
    printed = project("executions", "start", "liar", "tell_all", code=1).output
    views = [("logs", "list", 1), ("logs", "list", 1, "--follow"), ("executions", "tasks", 1),
             ("executions", "show", 1), ("executions", "list"), ("nodes", "list"),
             ("services", "show", "liar")]
    for words in views:
        plain = project(*words).output
        printed += plain
        assert [line for line in plain.splitlines() if line.startswith((LINE, "forged"))] == []
        printed += project(*words, "--json").output
    assert "a level" in printed
    assert [each for each in "\x1b\x07\r\u202e" if each in printed] == []
