"""A driver is chosen by name; whatever is wrong with it is one sentence, and its cause is kept."""

from __future__ import annotations

import sys

import pytest

from aria_core.exceptions import (
    ExtensionBrokenError,
    ExtensionConflictError,
    ExtensionIncompatibleError,
    ExtensionNotFoundError,
    ExtensionSettingsError,
)
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import EXECUTORS, LOADERS
from aria_core.orchestrator.executor import Executor
from aria_core.settings import Setting


def test_a_strangers_executor_is_found_by_its_name_and_made_with_its_settings(site, extensions):
    site.executor("strange", "strange_module", version="3.4")
    executor = extensions.make(EXECUTORS, "strange", {"slots": Setting(7)})
    assert isinstance(executor, Executor)
    assert executor.slots == 7


def test_nothing_is_imported_but_the_driver_that_is_named(site, extensions):
    site.executor("strange", "strange_module")
    site.executor("other", "other_module")
    extensions.driver(EXECUTORS, "strange")
    assert "other_module" not in sys.modules


def test_the_rows_say_what_is_installed_without_importing_it(site, extensions):
    site.executor("strange", "strange_module", version="3.4")
    row = next(each for each in extensions.rows() if each.name == "strange")
    assert (row.kind, row.distribution, row.version, row.status) == (
        "executor",
        "aria-strange",
        "3.4",
        "available",
    )
    assert "strange_module" not in sys.modules


def test_an_unknown_name_lists_what_is_installed(site, extensions):
    site.executor("strange", "strange_module")
    with pytest.raises(
        ExtensionNotFoundError, match=r"there is no executor 'stranger'; installed are .*strange"
    ):
        extensions.driver(EXECUTORS, "stranger")


BROKEN = {
    "missing module": ("", "No module named 'no_such_module'", "strange = no_such_module"),
    "raises": ("raise RuntimeError('out of order')", "RuntimeError: out of order", None),
    "syntax error": ("def", "SyntaxError", None),
    "ends the program": ("raise SystemExit(3)", r"it ends the program \(3\)", None),
    "asserts": ("assert False, 'never'", "AssertionError: never", None),
    "no hook": ("x = 1", "has no function marked @hookimpl", None),
    "unknown hook": (
        """
        from aria_core import hookimpl
        @hookimpl
        def aria_exekutor(): ...
     """,
        r"has the hook aria_exekutor, which ARIA does not know; known are .*aria_executor",
        None,
    ),
    "another hook only": (
        """
        from aria_core import hookimpl
        @hookimpl
        def aria_event(event): ...
     """,
        "has no function aria_executor marked @hookimpl",
        None,
    ),
    "too many arguments": (
        lambda good: good.replace("aria_executor()", "aria_executor(config)"),
        "taking config, but ARIA gives nothing",
        None,
    ),
    "a coroutine": (
        lambda good: good.replace("def aria_executor", "async def aria_executor"),
        "a coroutine",
        None,
    ),
    "a wrapper": (
        """
        from aria_core import hookimpl
        @hookimpl(wrapper=True)
        def aria_executor():
            return (yield)
     """,
        "a wrapper",
        None,
    ),
    "hook raises": (
        lambda good: good.replace("return {name}", "raise KeyError('x')"),
        "fails in aria_executor: KeyError",
        None,
    ),
    "gives nothing": (lambda good: good.replace("return {name}", "return None"), "gives 0 classes", None),
    "gives two classes": (
        lambda good: good.replace("return {name}", "return {name}, {name}"),
        r"gives \(<class.*no subclass of aria_core.Executor",
        None,
    ),
    "two hooks": (
        lambda good: (
            good
            + """
    @hookimpl(specname="aria_executor")
    def another():
        return {name}
    """
        ),
        "gives 2 classes from aria_executor; one is expected",
        None,
    ),
    "gives an instance": (lambda good: good.replace("return {name}", "return {name}()"), "no subclass", None),
    "not a subclass": (
        lambda good: good.replace("(Executor)", ""),
        "no subclass of aria_core.Executor",
        None,
    ),
    "abstract": (
        lambda good: good.replace("def submit", "def submitt"),
        "StrangeExecutor, which lacks submit",
        None,
    ),
}


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_broken_driver_is_named_with_its_distribution_and_what_is_wrong(site, extensions, case):
    change, message, point = BROKEN[case]
    source = change if isinstance(change, str) else change(site.EXECUTOR)
    module = "no_such_module" if point else "strange_module"
    site.install(
        "aria-strange",
        "aria.executors",
        {"strange": module},
        {"strange_module": source.replace("{name}", "StrangeExecutor")},
    )
    with pytest.raises(ExtensionBrokenError, match=message) as caught:
        extensions.driver(EXECUTORS, "strange")
    assert str(caught.value).startswith("the executor 'strange' of aria-strange 1.0 ")
    assert "stevedore" not in str(caught.value)
    assert "hookspec" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module", ModuleNotFoundError),
        ("raise SystemExit(3)", SystemExit),
        ("assert False", AssertionError),
        ("raise RuntimeError", RuntimeError),
    ],
)
def test_the_cause_is_kept(site, extensions, source, cause):
    site.executor("strange", "strange_module", source)
    with pytest.raises(ExtensionBrokenError) as caught:
        extensions.driver(EXECUTORS, "strange")
    assert isinstance(caught.value.__cause__, cause)


def test_control_c_while_a_driver_is_imported_is_not_swallowed(site, extensions):
    site.executor("strange", "strange_module", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        extensions.driver(EXECUTORS, "strange")


def test_a_missing_extra_is_one_sentence_with_the_command_that_installs_it(site, extensions):
    site.executor(
        "strange",
        "strange_module",
        "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')",
    )
    with pytest.raises(ExtensionBrokenError, match=r"pip install 'aria-core\[postgres\]'"):
        extensions.driver(EXECUTORS, "strange")


@pytest.mark.parametrize("requirement", ["aria-core>=7", "aria_core <0.0.1", "Aria.Core[postgres]==99.*"])
def test_a_driver_for_another_release_is_refused_before_it_is_imported(site, extensions, requirement):
    site.executor("strange", "strange_module", "raise RuntimeError", requires=[requirement])
    with pytest.raises(ExtensionIncompatibleError, match=r"asks for .*; this is aria-core \d"):
        extensions.driver(EXECUTORS, "strange")
    assert "strange_module" not in sys.modules


@pytest.mark.parametrize(
    "requirement",
    [
        "aria-core",
        "aria-core>=0.0.1",
        "aria-core-things==1",
        "aria-core>=7; extra == 'future'",
        "aria-core ><> nonsense",
    ],
)
def test_requirements_that_hold_or_mean_somebody_else_are_no_obstacle(site, extensions, requirement):
    site.executor("strange", "strange_module", requires=[requirement])
    assert extensions.driver(EXECUTORS, "strange").__name__ == "StrangeExecutor"


def test_a_driver_that_speaks_a_newer_interface_is_refused(site, extensions):
    site.executor(
        "strange", "strange_module", site.EXECUTOR.replace("def __init__", "api = 99\n        def __init__")
    )
    with pytest.raises(
        ExtensionIncompatibleError, match=r"speaks version 99 of aria_core.Executor; accepted: 1"
    ):
        extensions.driver(EXECUTORS, "strange")


def test_two_distributions_with_one_name_clash_when_the_name_is_used(site, extensions):
    site.install("aria-one", "aria.executors", {"twin": "twin_one"}, {"twin_one": "raise RuntimeError"})
    site.install(
        "aria-two", "aria.executors", {"twin": "twin_two"}, {"twin_two": "raise RuntimeError"}, version="2.0"
    )
    site.executor("strange", "strange_module")
    assert extensions.driver(EXECUTORS, "strange")
    with pytest.raises(
        ExtensionConflictError, match=r"aria-one 1\.0 and aria-two 2\.0.*ARIA_DISABLE_EXTENSIONS"
    ):
        extensions.driver(EXECUTORS, "twin")
    assert not {"twin_one", "twin_two"} & sys.modules.keys()


def test_a_clash_is_settled_by_naming_the_class(site, extensions):
    for each in ("one", "two"):
        source = site.EXECUTOR.replace("{name}", f"{each.title()}Executor")
        site.install(f"aria-{each}", "aria.executors", {"twin": f"twin_{each}"}, {f"twin_{each}": source})
    assert extensions.driver(EXECUTORS, "twin_two:TwoExecutor").__name__ == "TwoExecutor"


def test_a_clash_is_settled_by_disabling_one_distribution(site):
    for each in ("one", "two"):
        source = site.EXECUTOR.replace("{name}", f"{each.title()}Executor")
        site.install(f"aria-{each}", "aria.executors", {"twin": f"twin_{each}"}, {f"twin_{each}": source})
    extensions = Extensions({"ARIA_DISABLE_EXTENSIONS": "Aria_One"})
    assert extensions.driver(EXECUTORS, "twin").__name__ == "TwoExecutor"


def test_an_incompatible_rival_does_not_clash(site, extensions):
    site.install(
        "aria-one",
        "aria.executors",
        {"twin": "twin_one"},
        {"twin_one": site.EXECUTOR.replace("{name}", "One")},
    )
    site.install(
        "aria-two", "aria.executors", {"twin": "twin_two"}, {"twin_two": ""}, requires=["aria-core>9"]
    )
    assert extensions.driver(EXECUTORS, "twin").__name__ == "One"


def test_built_in_names_are_reserved(site, extensions):
    site.install("aria-usurper", "aria.executors", {"process": "usurper"}, {"usurper": "raise RuntimeError"})
    assert extensions.driver(EXECUTORS, "process").__module__.startswith("aria_plugins.")
    row = next(each for each in extensions.rows() if each.distribution == "aria-usurper")
    assert row.status == "reserved"


@pytest.mark.parametrize("value", ["strange", "aria-strange", "*", "other, strange", "other strange"])
def test_a_disabled_driver_is_not_used_and_the_error_says_why(site, value):
    site.executor("strange", "strange_module", "raise RuntimeError")
    with pytest.raises(ExtensionNotFoundError, match="is disabled by ARIA_DISABLE_EXTENSIONS; installed are"):
        Extensions({"ARIA_DISABLE_EXTENSIONS": value}).driver(EXECUTORS, "strange")


def test_ours_cannot_be_disabled():
    assert Extensions({"ARIA_DISABLE_EXTENSIONS": "* process"}).driver(EXECUTORS, "process")


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        ("no_such_module:X", ExtensionBrokenError, "No module named 'no_such_module'"),
        ("strange_module:X", ExtensionBrokenError, "strange_module has no 'X'"),
        ("strange_module:hookimpl", ExtensionBrokenError, "no subclass of aria_core.Executor"),
        ("strange_module:", ExtensionBrokenError, "has no ''"),
        (":", ExtensionBrokenError, "cannot be imported"),
        (".:X", ExtensionBrokenError, "cannot be imported"),
    ],
)
def test_a_class_that_is_named_directly_is_checked_like_any_other(site, extensions, use, error, message):
    (site.directory / "strange_module.py").write_text("from aria_core import hookimpl")
    with pytest.raises(error, match=message):
        extensions.driver(EXECUTORS, use)


def test_other_hooks_beside_a_drivers_are_not_called(site, extensions):
    site.executor(
        "strange",
        "strange_module",
        site.EXECUTOR
        + """
    @hookimpl
    def aria_loader():
        raise RuntimeError("nobody asked")
    """,
    )
    assert extensions.driver(EXECUTORS, "strange")
    with pytest.raises(ExtensionNotFoundError):
        extensions.driver(LOADERS, "strange")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"slotz": Setting(1, "/etc/aria.toml")}, r"/etc/aria.toml: \[executor\] has no key 'slotz'"),
        (
            {"slots": Setting("many", "ARIA_EXECUTOR__SLOTS")},
            r"ARIA_EXECUTOR__SLOTS: \[executor\] slots: Expected `int`",
        ),
    ],
)
def test_wrong_settings_show_where_they_stand_and_what_the_class_takes(site, extensions, keywords, message):
    site.executor("strange", "strange_module")
    with pytest.raises(ExtensionSettingsError, match=message) as caught:
        extensions.make(EXECUTORS, "strange", keywords)
    assert str(caught.value).endswith("it is StrangeExecutor(slots: int = 1)")


def test_an_examination_imports_everything_and_reports_what_is_broken(site, extensions):
    site.executor("strange", "strange_module", "raise SystemExit")
    site.executor("good", "good_module")
    status = {each.name: each.status for each in extensions.examine()}
    assert (status["strange"], status["good"], status["process"]) == ("broken", "available", "available")


def test_a_command_is_known_from_the_scan_and_imported_when_it_is_called(site, extensions):
    site.install("aria-words", "aria.commands", {"greet": "greeting:greet"}, {"greeting": "greet = 'hello'"})
    assert extensions.commands["greet"].distribution == "aria-words"
    assert "greeting" not in sys.modules
    assert extensions.command("greet") == "hello"


def test_a_named_class_need_not_be_packaged(site, extensions):
    source = site.EXECUTOR.replace("{name}", "Loose")
    (site.directory / "loose.py").write_text("\n".join(line[4:] for line in source.splitlines()))
    assert extensions.make(EXECUTORS, "loose:Loose", {"slots": Setting(2)}).slots == 2
