"""Hook extensions cannot disturb each other, nor the engine that calls them."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest

from aria_core.exceptions import ExtensionNotFoundError, ExtensionSettingsError
from aria_core.extensions import Extensions
from aria_core.settings import Setting
from aria_core.worker.calls import Call, CallRef

LISTENER = """
    from aria_core import hookimpl
    heard = []

    @hookimpl
    def aria_event(event):
        heard.append(event)
"""

FAILING = """
    from aria_core import hookimpl
    heard = []

    @hookimpl
    def aria_event(event):
        heard.append(event)
        if event != "harmless":
            raise {error}
"""

JOURNAL = """
    from pathlib import Path
    from aria_core import hookimpl
    made = []

    class Journal:
        def __init__(self, file: Path, level: int = 1) -> None:
            self.file, self.level, self.closed = file, level, 0
            made.append(self)

        @hookimpl
        def aria_event(self, event):
            self.heard = event

        def close(self):
            self.closed += 1
"""


def warnings_of(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


def test_every_listener_hears_every_event(site, extensions):
    site.hooks("one", "ear_one", LISTENER)
    site.hooks("two", "ear_two", LISTENER)
    hooks = extensions.hooks()
    hooks.deliver("e1")
    hooks.deliver("e2")
    assert sys.modules["ear_one"].heard == sys.modules["ear_two"].heard == ["e1", "e2"]


def test_without_a_listener_there_is_nothing_to_deliver_to(site, extensions):
    site.hooks(
        "checker",
        "checker",
        "from aria_core import hookimpl\n@hookimpl\ndef aria_check(): ...".replace("\n", "\n    "),
    )
    assert extensions.hooks().listeners == ()


@pytest.mark.parametrize("error", ["RuntimeError('no')", "SystemExit", "AssertionError"])
def test_a_listener_that_raises_disturbs_nobody(site, extensions, error, caplog):
    site.hooks("bad", "ear_bad", FAILING.replace("{error}", error))
    site.hooks("good", "ear_good", LISTENER)
    hooks = extensions.hooks()
    for each in range(9):
        hooks.deliver(each)
    assert sys.modules["ear_good"].heard == list(range(9))


def test_five_failures_in_a_row_end_the_calls_with_one_sentence(site, extensions, caplog):
    site.hooks("bad", "ear_bad", FAILING.replace("{error}", "RuntimeError('out of order')"))
    hooks = extensions.hooks()
    for each in range(9):
        hooks.deliver(each)
    assert sys.modules["ear_bad"].heard == [0, 1, 2, 3, 4]
    assert ["not called any more: RuntimeError: out of order" in each for each in warnings_of(caplog)] == [
        False,
        True,
    ]
    assert [each.extension for each in hooks.problems] == ["the hook extension 'bad' of aria-bad 1.0"]


def test_a_success_between_failures_starts_the_count_again(site, extensions):
    site.hooks("bad", "ear_bad", FAILING.replace("{error}", "RuntimeError"))
    hooks = extensions.hooks()
    events = [*range(4), "harmless", *range(4), "harmless"]
    for each in events:
        hooks.deliver(each)
    assert sys.modules["ear_bad"].heard == events


UNUSABLE = {
    "does not import": "import no_such_module",
    "ends the program": "raise SystemExit",
    "asserts": "assert False",
    "no hooks": "x = 1",
    "wrong argument": LISTENER.replace("(event)", "(evnt)").replace("append(event)", "append(evnt)"),
    "unknown hook": LISTENER.replace("aria_event", "aria_evnt"),
    "coroutine": LISTENER.replace("def aria", "async def aria"),
    "wrapper": LISTENER.replace("@hookimpl", "@hookimpl(wrapper=True)").replace(
        "heard.append(event)", "return (yield)"
    ),
    "old wrapper": LISTENER.replace("@hookimpl", "@hookimpl(hookwrapper=True)").replace(
        "heard.append(event)", "yield"
    ),
}


@pytest.mark.parametrize("case", UNUSABLE, ids=str)
def test_one_that_cannot_be_used_is_quarantined_with_one_warning(site, extensions, case, caplog):
    site.hooks("bad", "ear_bad", UNUSABLE[case])
    site.hooks("good", "ear_good", LISTENER)
    hooks = extensions.hooks()
    hooks.deliver("e")
    assert sys.modules["ear_good"].heard == ["e"]
    assert len(warnings_of(caplog)) == len(hooks.problems) == 1
    assert hooks.problems[0].sentence.startswith("the hook extension 'bad' of aria-bad 1.0 ")


@pytest.mark.parametrize("names", [["bad"], ["aria-bad"], ["Aria_Bad"]])
def test_a_disabled_one_is_not_even_imported(site, extensions, names):
    site.hooks("bad", "ear_bad", "raise RuntimeError")
    assert extensions.hooks(disabled=names).problems == []
    assert "ear_bad" not in sys.modules


def test_the_environment_disables_before_anything_is_imported(site):
    site.hooks("bad", "ear_bad", "raise RuntimeError")
    assert Extensions({"ARIA_DISABLE_EXTENSIONS": "*"}).hooks().problems == []
    assert "ear_bad" not in sys.modules


def test_two_of_one_name_are_both_left_out(site, extensions, caplog):
    site.install("aria-one", "aria.hooks", {"ear": "ear_one"}, {"ear_one": LISTENER})
    site.install("aria-two", "aria.hooks", {"ear": "ear_two"}, {"ear_two": LISTENER})
    assert len(extensions.hooks().problems) == 2
    assert "is offered by aria-one 1.0 and aria-two 1.0" in warnings_of(caplog)[0]


def test_a_class_is_made_once_with_its_section_and_closed_once(site, extensions, tmp_path):
    site.hooks("journal", "journal:Journal", JOURNAL)
    hooks = extensions.hooks(keywords={"journal": {"file": Setting("j.txt", "aria.toml", tmp_path)}})
    hooks.deliver("e")
    hooks.close()
    hooks.close()
    [made] = sys.modules["journal"].made
    assert (made.file, made.level, made.heard, made.closed) == (tmp_path / "j.txt", 1, "e", 1)


def test_a_section_that_the_class_refuses_is_an_error_and_what_was_made_is_closed(site, extensions):
    site.hooks("journal", "journal:Journal", JOURNAL)
    site.hooks(
        "a-quiet",
        "quiet:Quiet",
        JOURNAL.replace("Journal", "Quiet").replace("file: Path,", "file: Path = Path(),"),
    )
    with pytest.raises(ExtensionSettingsError, match=r"aria.toml: \[hooks.journal\] level: Expected `int`"):
        extensions.hooks(keywords={"journal": {"file": Setting("j"), "level": Setting("high", "aria.toml")}})
    assert [each.closed for made in ("quiet",) if made in sys.modules for each in sys.modules[made].made] in (
        [],
        [1],
    )


def test_a_class_that_needs_settings_and_has_no_section_is_quarantined(site, extensions):
    site.hooks("journal", "journal:Journal", JOURNAL)
    [problem] = extensions.hooks().problems
    assert problem.sentence == "[hooks.journal] lacks file; it is Journal(file: Path, level: int = 1)"


def test_settings_for_a_module_are_refused(site, extensions):
    site.hooks("one", "ear_one", LISTENER)
    with pytest.raises(ExtensionSettingsError, match=r"has no key 'loud'; .* is no class and takes none"):
        extensions.hooks(keywords={"one": {"loud": Setting(True)}})


def test_a_section_that_names_nothing_installed_is_an_error(site, extensions):
    site.hooks("one", "ear_one", LISTENER)
    with pytest.raises(
        ExtensionNotFoundError, match=r"\[hooks.two\]: there is no such .*; installed are one"
    ):
        extensions.hooks(keywords={"two": {}})


def test_wrappers_of_all_extensions_are_gathered(site, extensions):
    source = (
        "from aria_core import hookimpl\n    @hookimpl\n    def aria_wrap_operation(call): return {value}"
    )
    site.hooks("a", "wrap_a", "    " + source.replace("{value}", "'m:one'"))
    site.hooks("b", "wrap_b", "    " + source.replace("{value}", "['m:two', 'm:' + call.name]"))
    site.hooks("c", "wrap_c", "    " + source.replace("{value}", "None"))
    site.hooks("d", "wrap_d", "    " + source.replace("{value}", "1 / 0"))
    call = Call(CallRef(1, 2, 3), "f:g", name="three")
    assert extensions.hooks().wrappers(call) == ("m:one", "m:two", "m:three")


def test_workflows_are_gathered_and_the_first_of_a_name_stays(site, extensions, caplog):
    source = """
    from aria_core import WorkflowSpec, hookimpl

    @hookimpl
    def aria_workflows():
        return {"restart": WorkflowSpec(function="{name}:restart"), "{name}": WorkflowSpec(function="f:g")}
    """
    site.hooks("a", "flows_a", source.replace("{name}", "flows_a"))
    site.hooks("b", "flows_b", source.replace("{name}", "flows_b"))
    site.hooks("c", "flows_c", source.replace('WorkflowSpec(function="f:g")', "'f:g'"))
    workflows = extensions.hooks().workflows()
    assert sorted(workflows) == ["flows_a", "flows_b", "restart"]
    assert workflows["restart"].function == "flows_a:restart"
    assert any("'restart'" in each for each in warnings_of(caplog))


def test_checks_tell_what_is_wrong(site, extensions):
    site.hooks(
        "disk",
        "disk_check",
        """
        from aria_core import hookimpl

        @hookimpl
        def aria_check(application):
            yield f"{application.name} is full"
    """,
    )
    [problem] = extensions.hooks().checks(SimpleNamespace(name="the disk"))
    assert problem.sentence == "the disk is full"
