"""The results as Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.bars import verdicts
from benchmarks.cells import (
    DBOS_OF,
    ELSEWHERE,
    ELSEWHERE_SIZES,
    FLOOR_OF,
    GRAPHS,
    PLUGINS,
    SCRIPT_MODES,
    SLEEPS,
)
from benchmarks.medians import Medians

NAMES = {"floor": "floor", "writes": "ARIA's writes alone", "aria": "ARIA", "dbos": "DBOS",
         "taskflow": "taskflow", "dask": "Dask", "celery": "Celery", "temporal": "Temporal"}
_NOT_RUNS = ("cli", "kill9", "scripts", "plugins", "elsewhere", "templates")


def report(rows: Sequence[Mapping[str, Any]], machines: Sequence[Mapping[str, str]]) -> str:
    """The whole page."""
    found = Medians(rows)
    parts = {
        "# Results": _head(found, machines), "## What must hold": _verdicts(found),
        "## Tasks per second": _rates(found), "## ARIA to the floors and to DBOS": _ratios(found),
        "## Growth, memory": _growth(found), "## Making and storing graphs": _graphs(found),
        "## Sleeping tasks: share of the ideal time": _sleeps(found),
        "## Starting": _commands(found), "## Scripts": _scripts(found),
        "## Plugins": _plugins(found), "## Templates": _templates(found),
        "## Calls elsewhere": _elsewhere(found), "## What kill -9 leaves": _kills(found),
        "## Runs that failed or did wrong": _problems(found)}
    return "\n\n".join(f"{head}\n\n{body}" for head, body in parts.items() if body) + "\n"


def _head(found: Medians, machines: Sequence[Mapping[str, str]]) -> str:
    days = sorted({row["at"][:10] for row in found.rows if "at" in row})
    commits = sorted({row["commit"] for row in found.rows if "commit" in row})
    loads = sorted(row["load_before"] for row in found.rows if "load_before" in row)
    lines = [f"- {name}: {value}" for each in machines for name, value in each.items()]
    if days:
        lines.insert(0, f"- date: {' to '.join(dict.fromkeys((days[0], days[-1])))}, commit "
                        f"{', '.join(commits)}, {len(found.rows):,} runs")
    if loads:
        lines.append(f"- load average before a run: median {loads[len(loads) // 2]:.1f}, "
                     f"most {loads[-1]:.1f}")
    versions = {f"{NAMES.get(row['peer'], row['peer'])} {row['version']}" for row in found.rows
                if "version" in row and row["peer"] in NAMES and row["peer"] not in ("floor", "writes")}
    lines.append(f"- measured: {', '.join(sorted(versions))}")
    return "\n".join(["![Tasks per second; the cost of a task as graphs grow](results.png)", "",
                      "Medians; each run is a line of `results.jsonl`. What is measured, and how to repeat "
                      "it, is in [README.md](README.md).", "", *lines])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A table; empty if it has no rows. The columns but for `texts` are figures."""
    body = ["| " + " | ".join(row) + " |" for row in rows]
    if not body:
        return ""
    rule = "|" + "|".join("---" if number in texts else "--:" for number in range(len(head))) + "|"
    return "\n".join(["| " + " | ".join(head) + " |", rule, *body])


def figure(value: float | None) -> str:
    """A number as people read it; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _verdicts(found: Medians) -> str:
    return table(["what", "asked", "measured", "", "note"], [
        [each.what, each.asked, each.measured, "pass" if each.passed else "**miss**", each.note]
        for each in verdicts(found)], texts=(0, 1, 3, 4))


def _columns(found: Medians) -> list[tuple[str, int]]:
    sizes = {(row["shape"], row["n"]) for row in found.rows
             if row["peer"] not in _NOT_RUNS and not row["mode"].startswith("graph")}
    order = (*GRAPHS, "service")
    return sorted((each for each in sizes if each[0] in order),
                  key=lambda each: (order.index(each[0]), each[1]))


def _rates(found: Medians) -> str:
    columns = _columns(found)
    rows = [[f"{NAMES.get(peer, peer)} {mode}", *[figure(found.of(peer, mode, *each)) for each in columns]]
            for peer, mode in sorted(found.modes, key=_order) if _is_run(peer, mode)]
    return table(["", *[f"{shape} {n:,}" for shape, n in columns]], [row for row in rows if any(row[1:])])


def _order(who: tuple[str, str]) -> tuple[int, str]:
    peers = list(NAMES)
    return (peers.index(who[0]) if who[0] in peers else len(peers)), who[1]


def _is_run(peer: str, mode: str) -> bool:
    return peer not in _NOT_RUNS and not mode.startswith("graph")


def _ratios(found: Medians) -> str:
    columns = _columns(found)
    rows: list[list[str]] = []
    for (how, setting), floor in FLOOR_OF.items():
        ours = f"{how}-{setting}"
        rows.append([f"{ours} / {floor}", *[
            figure(found.ratio(("aria", ours, *each), ("floor", floor, *each))) for each in columns]])
        rows.append([f"its writes alone / {floor}", *[
            figure(found.ratio(("writes", ours, *each), ("floor", floor, *each))) for each in columns]])
    for setting, dbos in DBOS_OF.items():
        rows.extend([f"{how}-{setting} / DBOS {dbos}", *[
            figure(found.ratio(("aria", f"{how}-{setting}", *each), ("dbos", dbos, *each)))
            for each in columns]] for how in ("thread", "process"))
    return table(["", *[f"{shape} {n:,}" for shape, n in columns]], [row for row in rows if any(row[1:])])


def _growth(found: Medians) -> str:
    rows: list[list[str]] = []
    for mode in [mode for peer, mode in found.modes if peer == "aria" and _is_run(peer, mode)]:
        for shape in (*GRAPHS, "service"):
            sizes = sorted({row["n"] for row in found.rows
                            if (row["peer"], row["mode"], row["shape"]) == ("aria", mode, shape)})
            rows.extend([f"{mode}, {shape} {n:,}", *[
                figure(found.of("aria", mode, shape, n, field))
                for field in ("us_per_task", "author_s", "store_s", "exec_s", "rss_mb")]] for n in sizes)
    return table(
        ["", "µs per task, running", "workflow function, s", "storing, s", "running, s", "peak, MB"], rows)


def _graphs(found: Medians) -> str:
    keys = sorted({(row["mode"], row["shape"], row["n"]) for row in found.rows
                   if row["mode"].startswith("graph")})
    return table(["", "tasks per second", "workflow function, s", "storing, s", "peak, MB"], [
        [f"{mode}, {shape} {n:,}", *[figure(found.of("aria", mode, shape, n, field)) for field in (
            "tasks_per_s", "author_s", "store_s", "rss_mb")]] for mode, shape, n in keys])


def _sleeps(found: Medians) -> str:
    sizes = sorted({row["n"] for row in found.rows if row["shape"] == "sleep"}) or [SLEEPS]
    return table(["", *[f"{n} tasks, %" for n in sizes]], [
        [f"{NAMES.get(peer, peer)} {mode}", *[
            figure(found.of(peer, mode, "sleep", n, "efficiency_pct")) for n in sizes]]
        for peer, mode in sorted(found.modes, key=_order)
        if any(found.of(peer, mode, "sleep", n, "efficiency_pct") for n in sizes)])


def _commands(found: Medians) -> str:
    plain = found.of("cli", "pass", "", 1, "exec_s")
    rows = []
    for mode in [mode for peer, mode in found.modes if peer == "cli"]:
        seconds = found.of("cli", mode, "", 1, "exec_s")
        if seconds is not None and plain:
            rows.append([mode, f"{seconds * 1000:.0f}", figure(seconds / plain),
                         figure(found.of("cli", mode, "", 1, "rss_mb"))])
    return table(["", "ms", "times `python -c pass`", "peak of all processes, MB"], rows)


def _scripts(found: Medians) -> str:
    keys = [(mode, n) for mode in SCRIPT_MODES for n in sorted(
        {row["n"] for row in found.rows if (row["peer"], row["mode"]) == ("scripts", mode)})]
    return table(["", "all of them, s", "processor time of each, ms"], [
        [f"{mode}, {n}", *[figure(found.of("scripts", mode, "scripts", n, each)) for each in (
            "exec_s", "cpu_ms")]] for mode, n in keys])


def _plugins(found: Medians) -> str:
    seconds = {mode: found.of("plugins", mode, "", n, "exec_s") for mode, n in PLUGINS.items()}
    rows = [[mode, f"{each * 1000:.2f}"] for mode, each in seconds.items() if each is not None]
    return table(["", "ms"], rows)


def _templates(found: Medians) -> str:
    keys = sorted({(row["mode"], row["n"]) for row in found.rows if row["peer"] == "templates"})
    return table(["", "s", "storing the template, s", "peak, MB"], [
        [f"{mode}, {n:,} node{'s' * (n != 1)}", *[
            figure(found.of("templates", mode, "nodes", n, each)) for each in (
                "exec_s", "store_s", "rss_mb")]] for mode, n in keys])


def _elsewhere(found: Medians) -> str:
    fields = ("exec_s", "efficiency_pct", "runner_ms", "workers_ms", "database_ms")
    return table(["", "s", "% of ideal", "runner, ms", "workers, ms", "database, ms"], [
        [f"{mode}, {shape} {n:,}", *[figure(found.of("elsewhere", mode, shape, n, each)) for each in fields]]
        for shape, n in ELSEWHERE_SIZES.items() for mode in ELSEWHERE
        if found.runs("elsewhere", mode, shape, n)])


def _kills(found: Medians) -> str:
    kills = [row for row in found.rows if row["peer"] == "kill9" and "executed" in row]
    fields = ("executed", "recorded", "uncommitted", "uncounted", "never_ran")
    return table(
        ["", "kills", "had begun", "stored as ended", "began before a dependency was stored",
         "began more often than counted", "did not run after the resume"],
        [[f"{mode}, {shape}", str(len(runs)), *[f"{sum(row[each] for row in runs):,}" for each in fields]]
         for (mode, shape), runs in _grouped(kills)])


def _grouped(kills: list[dict[str, Any]]) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    def place(row: Mapping[str, Any]) -> tuple[str, str]:
        return row["mode"], row["shape"]

    for key, group in itertools.groupby(sorted(kills, key=place), place):
        yield key, list(group)


def _problems(found: Medians) -> str:
    return "\n".join(
        f"- {NAMES.get(row['peer'], row['peer'])} {row['mode']}, {row['shape']} {row['n']:,}: "
        f"{row.get('failed') or row.get('problem') or 'not verified'}" for row in found.unverified)
