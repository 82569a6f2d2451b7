"""What must hold, and whether it does: ratios of medians of one run on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cells import (
    DBOS_OF,
    ELSEWHERE,
    ELSEWHERE_SIZES,
    ENOUGH,
    FLOOR_OF,
    GRAPHS,
    PLUGINS,
    SCRIPTS,
    SERVICE,
    SLEEPS,
    TEMPLATE_SIZES,
)
from benchmarks.medians import Key, Medians

HALF, QUARTER = 0.5, 0.25
TIMES_DBOS = {"sqlite-normal": {"wide": 10, "layered": 10, "service": 10, "chain": 3},
              "pg": {"wide": 5, "layered": 5, "service": 5}}
PROCESSES = {"wide": (10_000, 0.14), "layered": (5000, 0.29), "chain": (2000, 0.6)}
"""Tasks a second, or the share of the floor, whichever is less."""
EFFICIENCY = {"thread": 90, "process": 85}
GROWTH, MILLION_MB, CREATION = 11, 2000, 20_000
START_S, START_MB, HELP_TIMES = 1.0, 150, 15
SCRIPTS_S, SCRIPT_MS = 5.0, 50
FAR_EFFICIENCY, TIMES_CELERY = 80, 2
INSTALL_S, FIRST_CALL_S, CALL_MS = 3.0, 1.0, 2.0
PROFILE_MS, VALIDATE_S, INSTANTIATE_S, TEMPLATE_GROWTH = 100, 1.0, 3.0, 11


@dataclass(frozen=True)
class Verdict:
    """One bar: what was asked, what was measured."""

    what: str
    asked: str
    measured: str
    passed: bool
    note: str = ""


def verdicts(found: Medians) -> list[Verdict]:
    """Every bar whose cells were run."""
    return [*_floors(found), *_dbos(found), *_processes(found), *_sleeps(found), *_growth(found),
            *_million(found), *_creation(found), *_commands(found), *_scripts(found), *_plugins(found),
            *_templates(found), *_elsewhere(found), *_kills(found), *_proofs(found)]


def _floors(found: Medians) -> Iterator[Verdict]:
    for setting in ("sqlite-full", "sqlite-normal"):
        for n, service in ((1000, 999), (10_000, 9999)):
            for shape in (*GRAPHS, "service"):
                size = service if shape == "service" else n
                ours: Key = ("aria", f"thread-{setting}", shape, size)
                floor: Key = ("floor", FLOOR_OF["thread", setting], shape, size)
                share = found.ratio(ours, floor)
                if share is not None:
                    yield _floor_verdict(found, ours, floor, share)


def _floor_verdict(found: Medians, ours: Key, floor: Key, share: float) -> Verdict:
    _, mode, shape, n = ours
    writes = found.ratio(("writes", mode, shape, n), floor)
    note = _few(found, ours, floor)
    if share < HALF and writes is not None:
        note = f"its writes alone, in a bare loop: {writes:.2f} of the floor{note and '; '}{note}"
    if share < QUARTER:
        note = f"below a quarter{note and '; '}{note}"
    return Verdict(f"{mode}, {shape} {n:,}", f"≥ {HALF} of the floor", f"{share:.2f}", share >= HALF, note)


def _dbos(found: Medians) -> Iterator[Verdict]:
    for setting, shapes in TIMES_DBOS.items():
        for shape, times in shapes.items():
            n = SERVICE if shape == "service" else 1000
            ours: Key = ("aria", f"thread-{setting}", shape, n)
            dbos: Key = ("dbos", DBOS_OF[setting], shape, n)
            ratio = found.ratio(ours, dbos)
            if ratio is not None:
                yield Verdict(f"thread-{setting}, {shape} {n:,}", f"≥ {times} times DBOS", f"{ratio:.1f}",
                              ratio >= times, _few(found, ours, dbos))


def _processes(found: Medians) -> Iterator[Verdict]:
    for shape, (rate, part) in PROCESSES.items():
        ours: Key = ("aria", "process-sqlite-normal", shape, 10_000)
        floor: Key = ("floor", FLOOR_OF["process", "sqlite-normal"], shape, 10_000)
        measured, share = found.of(*ours), found.ratio(ours, floor)
        if measured is not None and share is not None:
            yield Verdict(f"process-sqlite-normal, {shape} 10,000", f"≥ {rate:,}/s or {part} of the floor",
                          f"{measured:,.0f}/s, {share:.2f}", measured >= rate or share >= part,
                          _few(found, ours, floor))


def _sleeps(found: Medians) -> Iterator[Verdict]:
    for setting in ("sqlite-full", "sqlite-normal"):
        for how, percent in EFFICIENCY.items():
            ours: Key = ("aria", f"{how}-{setting}", "sleep", SLEEPS)
            measured = found.of(*ours, "efficiency_pct")
            if measured is None:
                continue
            floor = found.of("floor", FLOOR_OF[how, setting], "sleep", SLEEPS, "efficiency_pct")
            note = "" if floor is None else f"the floor: {floor:.0f} %"
            yield Verdict(f"{how}-{setting}, sleep {SLEEPS}", f"≥ {percent} % of ideal", f"{measured:.1f} %",
                          measured >= percent, note)


def _growth(found: Medians) -> Iterator[Verdict]:
    for shape in GRAPHS:
        large: Key = ("aria", "thread-sqlite-normal", shape, 100_000)
        small: Key = ("aria", "thread-sqlite-normal", shape, 10_000)
        ratio, whole = found.ratio(large, small, "exec_s"), found.ratio(large, small, "total_s")
        if ratio is not None and whole is not None:
            worst = max(ratio, whole)
            yield Verdict(f"{shape}: time(100,000) / time(10,000)", f"≤ {GROWTH}", f"{worst:.1f}",
                          worst <= GROWTH, f"running {ratio:.1f}, with making the graph {whole:.1f}")


def _million(found: Medians) -> Iterator[Verdict]:
    for key in (("aria", "thread-sqlite-normal", "wide", 1_000_000),
                ("aria", "graph-sqlite-full", "wide", 1_000_000)):
        memory, seconds = found.of(*key, "rss_mb"), found.of(*key, "exec_s")
        if memory is not None and seconds is not None:
            what = "made and stored" if key[1].startswith("graph") else "run to the end"
            yield Verdict(f"1,000,000 tasks {what}", f"< {MILLION_MB:,} MB", f"{memory:,.0f} MB",
                          memory < MILLION_MB, f"{seconds:,.0f} s")


def _creation(found: Medians) -> Iterator[Verdict]:
    for setting in ("sqlite-full", "pg"):
        for shape in GRAPHS:
            for n in (10_000, 100_000):
                seconds, whole = (found.of("aria", f"graph-{setting}", shape, n, each)
                                  for each in ("store_s", "tasks_per_s"))
                if seconds and whole:
                    yield Verdict(f"graph-{setting}, {shape} {n:,}", f"≥ {CREATION:,}/s stored",
                                  f"{n / seconds:,.0f}/s", n / seconds >= CREATION,
                                  f"{whole:,.0f}/s with the time of the workflow function")


def _commands(found: Medians) -> Iterator[Verdict]:
    plain, shown = found.of("cli", "pass", "", 1, "exec_s"), found.of("cli", "help", "", 1, "exec_s")
    if plain and shown:
        yield Verdict("`aria --help`", f"≤ {HELP_TIMES} times `python -c pass`", f"{shown / plain:.1f}",
                      shown / plain <= HELP_TIMES, f"{shown * 1000:.0f} ms")
    seconds = found.of("cli", "hello-world", "", 1, "exec_s")
    memory = found.of("cli", "hello-world", "", 1, "rss_mb")
    if seconds is not None and memory is not None:
        yield Verdict("`aria run` hello-world to its first operation", f"< {START_S:.0f} s, {START_MB} MB",
                      f"{seconds:.2f} s, {memory:.0f} MB", seconds < START_S and memory < START_MB)


def _scripts(found: Medians) -> Iterator[Verdict]:
    seconds, each = (found.of("scripts", "aria-run", "scripts", SCRIPTS, field)
                     for field in ("exec_s", "cpu_ms"))
    if seconds is not None and each is not None:
        yield Verdict(f"`aria run` of {SCRIPTS} scripts", f"< {SCRIPTS_S:.0f} s, ≤ {SCRIPT_MS} ms CPU each",
                      f"{seconds:.2f} s, {each:.1f} ms", seconds < SCRIPTS_S and each <= SCRIPT_MS,
                      _few(found, ("scripts", "aria-run", "scripts", SCRIPTS)))


def _plugins(found: Medians) -> Iterator[Verdict]:
    seconds = {mode: found.of("plugins", mode, "", n, "exec_s") for mode, n in PLUGINS.items()}
    for what, mode, most in (("installing a small wagon with uv", "install-uv", INSTALL_S),
                             ("the first call in a new environment", "first-call", FIRST_CALL_S)):
        measured = seconds[mode]
        if measured is not None:
            yield Verdict(what, f"< {most:.0f} s", f"{measured:.2f} s", measured < most)
    ours, theirs, wrapped = (seconds[each] for each in ("core-call", "plugin-call", "wrapped-call"))
    if ours is not None and theirs is not None and wrapped is not None:
        for what, measured in (("a call of a plugin", theirs), ("one with a wrapper", wrapped)):
            more = (measured - ours) * 1000
            yield Verdict(f"{what}, over one of the core", f"< {CALL_MS:.0f} ms", f"{more:.2f} ms",
                          more < CALL_MS)


def _templates(found: Medians) -> Iterator[Verdict]:
    few, many = TEMPLATE_SIZES
    first = found.of("templates", "profile", "nodes", 1, "exec_s")
    if first is not None:
        yield Verdict("the first template of a process, with the normative types", f"< {PROFILE_MS} ms",
                      f"{first * 1000:.0f} ms", first * 1000 < PROFILE_MS)
    for mode, most in (("validate", VALIDATE_S), ("instantiate", INSTANTIATE_S)):
        seconds, more = (found.of("templates", mode, "nodes", n, "exec_s") for n in TEMPLATE_SIZES)
        if seconds is not None:
            yield Verdict(f"{mode} {few:,} nodes", f"< {most:.0f} s", f"{seconds:.2f} s", seconds < most)
        if seconds is not None and more is not None:
            growth = more / seconds
            yield Verdict(f"{mode}, {few:,} to {many:,} nodes", f"≤ {TEMPLATE_GROWTH} times", f"{growth:.1f}",
                          growth <= TEMPLATE_GROWTH, f"{more:.1f} s")


def _elsewhere(found: Medians) -> Iterator[Verdict]:
    ours, theirs = ELSEWHERE
    slept, empty = (("elsewhere", ours, shape, n) for shape, n in ELSEWHERE_SIZES.items())
    share = found.of(*slept, "efficiency_pct")
    if share is not None:
        yield Verdict("200 x 50 ms on 2 Celery workers x 8 slots", f"≥ {FAR_EFFICIENCY} % of ideal",
                      f"{share:.0f} %", share >= FAR_EFFICIENCY, _few(found, slept))
    bare: Key = ("elsewhere", theirs, *empty[2:])
    times = found.ratio(empty, bare, "exec_s")
    if times is not None:
        database = found.of(*empty, "database_ms")
        yield Verdict("a no-op call elsewhere", f"≤ {TIMES_CELERY} times a bare Celery group",
                      f"{times:.2f}", times <= TIMES_CELERY,
                      f"{database:.2f} ms of processor time of the database")


def _kills(found: Medians) -> Iterator[Verdict]:
    kills = [row for row in found.rows if row["peer"] == "kill9" and "executed" in row]
    if kills:
        early = sum(row["uncommitted"] for row in kills)
        more = sum(row["uncounted"] + row["never_ran"] for row in kills)
        effects = sum(row["executed"] for row in kills)
        yield Verdict(
            f"kill -9 at full speed, {len(kills)} times", "no effect before its dependencies' commit",
            f"{early} of {effects:,}", early == 0 and more == 0,
            f"{more} more often than counted, or missing after a resume")


def _proofs(found: Medians) -> Iterator[Verdict]:
    runs = [row for row in found.rows if row["peer"] in ("aria", "floor", "writes")]
    wrong = [row for row in runs if not row.get("verified")]
    if runs:
        yield Verdict("each task once, none before its dependencies", "every run",
                      f"{len(runs) - len(wrong)} of {len(runs)}", not wrong)


def _few(found: Medians, *keys: Key) -> str:
    fewest = min(len(found.runs(*key)) for key in keys)
    return "" if fewest >= ENOUGH else f"of {fewest} run{'s' * (fewest != 1)}"
