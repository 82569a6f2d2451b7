"""What is measured: cells, each one peer in one mode on one shape of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

GRAPHS = ("wide", "chain", "layered")
SERVICE = 300
"""Tasks of the shape ``service`` where peers take part."""
SLEEPS = 200
ENOUGH = 5
"""Runs that make a median."""

SETTINGS = ("sqlite-full", "sqlite-normal", "pg")
FLOOR_OF = {
    ("thread", "sqlite-full"): "dur-threads-group-core-full",
    ("thread", "sqlite-normal"): "dur-threads-group-core",
    ("thread", "pg"): "dur-threads-group-pg",
    ("process", "sqlite-full"): "dur-mp-group-core-full",
    ("process", "sqlite-normal"): "dur-mp-group-core",
    ("process", "pg"): "dur-mp-group-pg"}
"""Executor and storage of ARIA -> the floor that it is compared with."""
DBOS_OF = {"sqlite-normal": "steps-sqlitewal", "pg": "steps-pg"}

MODULES = {
    "aria": "benchmarks.peers.run_aria", "writes": "benchmarks.peers.run_aria_writes",
    "cli": "benchmarks.startup", "kill9": "benchmarks.kill9", "scripts": "benchmarks.scripts",
    "plugins": "benchmarks.plugins", "elsewhere": "benchmarks.elsewhere",
    "templates": "benchmarks.templates"}
"""Where a peer is not run by the module ``benchmarks.peers.run_<peer>``."""
OURS = ("floor", "writes", "aria", "cli", "kill9", "scripts", "plugins", "elsewhere", "templates")
"""Peers that run with the Python that runs the benchmark."""
COMMANDS = ("pass", "import", "version", "help", "hello-world")
SCRIPT_MODES = ("bare", "aria-run", "aria-run-ctx")
SCRIPTS = 100
PLUGINS = {"install-uv": 1, "install-pip": 1, "first-call": 1, "core-call": 500, "plugin-call": 500,
           "wrapped-call": 500}
"""What is measured of plugins, and how many calls make one figure."""
TEMPLATE_MODES = ("profile", "validate", "instantiate")
TEMPLATE_SIZES = (1000, 10_000)
"""Nodes of a template."""
ELSEWHERE = ("aria-2x8-pg", "celery-2x8")
"""Who hands calls to other processes through a broker: workers x slots."""
ELSEWHERE_SIZES = {"sleep": SLEEPS, "wide": 1000}
"""Calls of each shape."""


@dataclass(frozen=True)
class Cell:
    """One thing to measure, `repeats` times."""

    peer: str
    mode: str
    shape: str
    n: int
    repeats: int = ENOUGH
    timeout: float = 300.0
    """Seconds after which a run is given up."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from others."""
        return self.peer, self.mode, self.shape, self.n

    @property
    def module(self) -> str:
        """What runs it."""
        return MODULES.get(self.peer, f"benchmarks.peers.run_{self.peer}")

    @property
    def needs_postgresql(self) -> bool:
        """Whether it asks for a database of a server."""
        return self.mode.endswith("pg")


def key_of(row: dict[str, Any]) -> tuple[str, str, str, int]:
    """The key of the cell that a line of the results belongs to."""
    return row["peer"], row["mode"], row["shape"], row["n"]


def full() -> list[Cell]:
    """Everything that `benchmarks/README.md` speaks of: hours."""
    return [
        *_commands(10), *_plugins(5), *_of_every_size(), *_processes(), *_postgresql(), *_against_peers(),
        *_sleeps(SETTINGS), *_growth(), *_graphs((10_000, 100_000)), *_kills(2000, SETTINGS),
        *_scripts(SCRIPTS), *_elsewhere(), *_templates(TEMPLATE_SIZES),
        Cell("aria", "graph-sqlite-full", "wide", 1_000_000, 1, 1800),
        Cell("aria", "thread-sqlite-normal", "wide", 1_000_000, 1, 3600)]


def quick() -> list[Cell]:
    """ARIA, its floors and DBOS at one size: a minute or two."""
    cells = [
        *_commands(3), *_plugins(3),
        *_pairs("thread", ("sqlite-full", "sqlite-normal"), 1000, SERVICE),
        *_pairs("process", ("sqlite-normal",), 1000, SERVICE),
        *_on(("wide", "chain"), [("dbos", DBOS_OF["sqlite-normal"])], 1000),
        *_sleeps(("sqlite-full",)), *_graphs((10_000,)), *_scripts(SCRIPTS), *_templates((1000,))]
    return [replace(each, repeats=1) if each.peer not in ("cli", "plugins") else each for each in cells]


def smoke() -> list[Cell]:
    """Everything of ours once, as small as can be: whether it works, not how fast."""
    of_all = [("floor", FLOOR_OF["thread", "sqlite-full"]), ("aria", "thread-sqlite-full")]
    of_few = [("floor", FLOOR_OF["process", "sqlite-normal"]), ("aria", "process-sqlite-normal"),
              ("floor", FLOOR_OF["thread", "pg"]), ("aria", "thread-pg"), ("writes", "thread-pg")]
    cells = [
        *_commands(1), *_plugins(1), *_on_all(of_all, 60, 60), *_on(("layered", "service"), of_few, 60),
        Cell("aria", "thread-sqlite-full", "sleep", 32),
        Cell("aria", "graph-sqlite-full", "wide", 60), Cell("aria", "graph-pg", "layered", 60),
        Cell("kill9", "process-sqlite-normal", "layered", 400), *_scripts(5), *_templates((20,))]
    return [replace(each, repeats=1) for each in cells]


SUITES = {"full": full, "quick": quick, "smoke": smoke}


def _commands(repeats: int) -> Iterator[Cell]:
    for each in COMMANDS:
        yield Cell("cli", each, "", 1, repeats)


def _scripts(n: int) -> Iterator[Cell]:
    for each in SCRIPT_MODES:
        yield Cell("scripts", each, "scripts", n)


def _plugins(repeats: int) -> Iterator[Cell]:
    for mode, calls in PLUGINS.items():
        yield Cell("plugins", mode, "", calls, repeats)


def _templates(sizes: Iterable[int]) -> Iterator[Cell]:
    yield Cell("templates", "profile", "nodes", 1)
    for n in sizes:
        for each in ("validate", "instantiate"):
            yield Cell("templates", each, "nodes", n)


def _elsewhere() -> Iterator[Cell]:
    for shape, n in ELSEWHERE_SIZES.items():
        for mode in ELSEWHERE:
            yield Cell("elsewhere", mode, shape, n)


def _of_every_size() -> Iterator[Cell]:
    """Threads on SQLite, where the bars ask for half of the floor."""
    for n, service in ((100, 99), (1000, 999), (10_000, 9999)):
        yield from _pairs("thread", ("sqlite-full", "sqlite-normal"), n, service)
        if n > 100:
            writes = [("writes", f"thread-{each}") for each in ("sqlite-full", "sqlite-normal")]
            yield from _on_all(writes, n, service)


def _processes() -> Iterator[Cell]:
    yield from _pairs("process", ("sqlite-full", "sqlite-normal"), 1000, 999)
    yield from _pairs("process", ("sqlite-normal",), 10_000, 9999)


def _postgresql() -> Iterator[Cell]:
    yield from _pairs("thread", ("pg",), 1000, 999)
    yield from _pairs("process", ("pg",), 1000, 999)
    yield from _on_all([("writes", "thread-pg")], 1000, 999)
    yield from _pairs("thread", ("pg",), 10_000, 9999)


def _against_peers() -> Iterator[Cell]:
    ours = [("aria", f"thread-{each}") for each in SETTINGS]
    dbos = [("dbos", each) for each in ("steps-sqlite", "steps-sqlitewal", "steps-pg")]
    others = [("dask", "threaded"), ("dask", "distributed-processes"), ("temporal", "local-file")]
    yield from _on(("service",), ours, SERVICE)
    yield from _on_all([*dbos, *others], 1000, SERVICE)
    yield from _on(("wide", "chain"), [("celery", "canvas")], 1000)
    yield Cell("celery", "canvas", "layered", 100)  # it takes minutes for a thousand
    yield Cell("celery", "canvas", "service", SERVICE)
    yield from _on_all([("taskflow", "threads-sqlite")], 100, 99)


def _sleeps(settings: Iterable[str]) -> Iterator[Cell]:
    for each in settings:
        for how in ("thread", "process"):
            yield Cell("floor", FLOOR_OF[how, each], "sleep", SLEEPS)
            yield Cell("aria", f"{how}-{each}", "sleep", SLEEPS)


def _growth() -> Iterator[Cell]:
    for each in GRAPHS:
        yield Cell("floor", FLOOR_OF["thread", "sqlite-normal"], each, 100_000)
        yield Cell("aria", "thread-sqlite-normal", each, 100_000, timeout=1200)


def _graphs(sizes: Iterable[int]) -> Iterator[Cell]:
    for n in sizes:
        for each in GRAPHS:
            for setting in ("sqlite-full", "pg"):
                yield Cell("aria", f"graph-{setting}", each, n)


def _kills(n: int, settings: Iterable[str]) -> Iterator[Cell]:
    for setting in settings:
        for how in ("thread", "process"):
            for shape in (*GRAPHS, "service"):
                yield Cell("kill9", f"{how}-{setting}", shape, n // 3 * 3 if shape == "service" else n)


def _pairs(how: str, settings: Iterable[str], n: int, service: int) -> Iterator[Cell]:
    """ARIA and its floors."""
    for each in settings:
        yield from _on_all([("floor", FLOOR_OF[how, each]), ("aria", f"{how}-{each}")], n, service)


def _on_all(who: Iterable[tuple[str, str]], n: int, service: int) -> Iterator[Cell]:
    who = list(who)
    yield from _on(GRAPHS, who, n)
    yield from _on(("service",), who, service)


def _on(shapes: Iterable[str], who: Iterable[tuple[str, str]], n: int) -> Iterator[Cell]:
    who = list(who)
    for shape in shapes:
        for peer, mode in who:
            yield Cell(peer, mode, shape, n)
