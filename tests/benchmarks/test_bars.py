"""Bars are ratios of medians; what was not measured has no verdict."""

from __future__ import annotations

from typing import Any


def run(peer: str, mode: str, shape: str, n: int, rate: float, **more: Any) -> dict[str, Any]:
    """A line of the results."""
    return {"peer": peer, "mode": mode, "shape": shape, "n": n, "tasks_per_s": rate, "exec_s": n / rate,
            "verified": True, **more}


def verdict(rows: list[dict[str, Any]], what: str) -> Any:
    from benchmarks.bars import verdicts
    from benchmarks.medians import Medians

    return next((each for each in verdicts(Medians(rows)) if each.what.startswith(what)), None)


def runs(peer: str, mode: str, *rates: float) -> list[dict[str, Any]]:
    return [run(peer, mode, "chain", 1000, each) for each in rates]


def test_half_of_the_floor_is_enough():
    rows = [*runs("floor", "dur-threads-group-core-full", 90, 100, 110, 100, 100),
            *runs("aria", "thread-sqlite-full", 1, 50, 50, 50, 1000)]
    found = verdict(rows, "thread-sqlite-full, chain 1,000")
    assert (found.passed, found.measured, found.note) == (True, "0.50", "")


def test_less_than_half_is_a_miss_that_tells_what_the_writes_cost():
    rows = [*runs("floor", "dur-threads-group-core", 100), *runs("aria", "thread-sqlite-normal", 30),
            *runs("writes", "thread-sqlite-normal", 40)]
    found = verdict(rows, "thread-sqlite-normal, chain 1,000")
    assert not found.passed
    assert "0.40 of the floor" in found.note
    assert "below a quarter" not in found.note
    assert "of 1 run" in found.note


def test_less_than_a_quarter_is_said():
    rows = [*runs("floor", "dur-threads-group-core", 100), *runs("aria", "thread-sqlite-normal", 24)]
    assert "below a quarter" in verdict(rows, "thread-sqlite-normal, chain 1,000").note


def test_runs_that_were_not_verified_do_not_count():
    rows = [*runs("floor", "dur-threads-group-core", 100), *runs("aria", "thread-sqlite-normal", 60),
            run("aria", "thread-sqlite-normal", "chain", 1000, 10**6, verified=False, problem="missing 1")]
    assert verdict(rows, "thread-sqlite-normal, chain 1,000").measured == "0.60"
    assert not verdict(rows, "each task once").passed


def test_scripts_are_to_be_quick_and_cheap():
    def line(seconds: float, cpu: float) -> dict[str, Any]:
        return {"peer": "scripts", "mode": "aria-run", "shape": "scripts", "n": 100, "exec_s": seconds,
                "cpu_ms": cpu, "verified": True}

    assert verdict([line(2.0, 20.0)], "`aria run` of 100 scripts").measured == "2.00 s, 20.0 ms"
    assert verdict([line(2.0, 20.0)], "`aria run` of 100 scripts").passed
    assert not verdict([line(5.1, 20.0)], "`aria run` of 100 scripts").passed
    assert not verdict([line(2.0, 50.1)], "`aria run` of 100 scripts").passed
    assert verdict([], "`aria run` of 100 scripts") is None


def test_dbos_is_compared_on_the_same_kind_of_database():
    rows = [*runs("dbos", "steps-sqlitewal", 100), *runs("dbos", "steps-pg", 1000),
            *runs("aria", "thread-sqlite-normal", 299)]
    found = verdict(rows, "thread-sqlite-normal, chain 1,000")
    assert (found.asked, found.measured, found.passed) == ("≥ 3 times DBOS", "3.0", False)


def test_growth_counts_what_grows_worst():
    rows = [run("aria", "thread-sqlite-normal", "wide", 10_000, 10_000, total_s=2.0),
            run("aria", "thread-sqlite-normal", "wide", 100_000, 10_000, total_s=24.0)]
    found = verdict(rows, "wide: time(100,000)")
    assert (found.measured, found.passed) == ("12.0", False)
    assert "running 10.0" in found.note


def test_one_effect_before_its_dependency_was_stored_is_one_too_many():
    kill = {"peer": "kill9", "mode": "thread-pg", "shape": "chain", "n": 100, "executed": 50, "recorded": 49,
            "uncommitted": 0, "uncounted": 0, "never_ran": 0, "verified": True}
    assert verdict([kill], "kill -9").passed
    assert not verdict([kill, {**kill, "uncommitted": 1}], "kill -9").passed


def test_what_was_not_measured_has_no_verdict():
    assert verdict(runs("aria", "thread-sqlite-full", 50), "thread-sqlite-full") is None


def test_plugins_have_bars_of_their_own():
    def line(mode: str, n: int, seconds: float) -> dict[str, Any]:
        return {**run("plugins", mode, "", n, 1), "exec_s": seconds}

    seconds = {"core-call": 0.0004, "plugin-call": 0.0005, "wrapped-call": 0.003}
    calls = [line(mode, 500, each) for mode, each in seconds.items()]
    rows = [line("install-uv", 1, 0.4), line("first-call", 1, 1.2), *calls]
    assert verdict(rows, "installing a small wagon").passed
    assert not verdict(rows, "the first call").passed
    assert (verdict(rows, "a call of a plugin").measured, verdict(rows, "a call of a plugin").passed) == (
        "0.10 ms", True)
    assert not verdict(rows, "one with a wrapper").passed
    assert verdict(rows[:1], "a call of a plugin") is None


def test_templates_have_bars_of_their_own():
    def line(mode: str, n: int, seconds: float) -> dict[str, Any]:
        return {"peer": "templates", "mode": mode, "shape": "nodes", "n": n, "exec_s": seconds,
                "verified": True}

    rows = [line("profile", 1, 0.05), line("validate", 1000, 0.5), line("validate", 10_000, 5.6),
            line("instantiate", 1000, 3.1)]
    assert verdict(rows, "the first template").measured == "50 ms"
    assert verdict(rows, "validate 1,000").passed
    assert not verdict(rows, "validate, 1,000 to 10,000").passed
    assert not verdict(rows, "instantiate 1,000").passed
    assert verdict(rows, "instantiate, 1,000 to 10,000") is None
