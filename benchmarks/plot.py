"""The results as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cells import FLOOR_OF, GRAPHS
from benchmarks.medians import Medians

BARS = (
    ("floor", FLOOR_OF["thread", "sqlite-normal"], "floor: threads, NORMAL", "#b0b0b0"),
    ("aria", "thread-sqlite-normal", "ARIA: threads, NORMAL", "#1f77b4"),
    ("aria", "process-sqlite-normal", "ARIA: processes, NORMAL", "#6baed6"),
    ("aria", "thread-sqlite-full", "ARIA: threads, FULL", "#08519c"),
    ("aria", "thread-pg", "ARIA: threads, PostgreSQL", "#9ecae1"),
    ("dbos", "steps-sqlitewal", "DBOS: NORMAL", "#d62728"),
    ("dbos", "steps-pg", "DBOS: PostgreSQL", "#ff9896"),
    ("celery", "canvas", "Celery (broker; layered: 100)", "#2ca02c"),
    ("dask", "distributed-processes", "Dask distributed (not durable)", "#bcbd22"),
    ("taskflow", "threads-sqlite", "taskflow: SQLite (N = 100)", "#9467bd"))
SHAPES = (*GRAPHS, "service")


def draw(found: Medians, file: Path) -> None:
    """Draw tasks per second by shape, and the cost of a task as graphs grow."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, (rates, growth) = pyplot.subplots(1, 2, figsize=(15, 6.5), layout="constrained")
    _draw_rates(rates, found)
    _draw_growth(growth, found)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw_rates(axes: Any, found: Medians) -> None:
    shown = [each for each in BARS if any(_rate(found, each, shape) for shape in SHAPES)]
    width = 0.85 / max(1, len(shown))
    for number, each in enumerate(shown):
        values = [_rate(found, each, shape) or 0 for shape in SHAPES]
        axes.bar([place + number * width for place in range(len(SHAPES))], values, width,
                 label=each[2], color=each[3])
    axes.set_xticks([place + 0.425 - width / 2 for place in range(len(SHAPES))], SHAPES)
    axes.set_yscale("log")
    axes.set_ylabel("tasks per second")
    axes.set_title("No-op tasks per second, about 1,000 tasks (service: 300)")
    _legend(axes)


def _rate(found: Medians, bar: tuple[str, str, str, str], shape: str) -> float | None:
    """The size that is nearest to a thousand, or for the service to what all peers run."""
    peer, mode, *_ = bar
    wanted = 300 if shape == "service" else 1000
    sizes = {row["n"] for row in found.rows
             if (row["peer"], row["mode"], row["shape"]) == (peer, mode, shape)}
    nearest = min(sizes, key=lambda n: abs(n - wanted), default=None)
    return None if nearest is None else found.of(peer, mode, shape, nearest)


def _draw_growth(axes: Any, found: Medians) -> None:
    lines = (("aria", "thread-sqlite-normal", "-"), ("floor", FLOOR_OF["thread", "sqlite-normal"], ":"))
    for color, shape in zip(("#1f77b4", "#d62728", "#2ca02c"), GRAPHS, strict=True):
        for peer, mode, style in lines:
            sizes = sorted({row["n"] for row in found.rows if row.get("verified")
                            and (row["peer"], row["mode"], row["shape"]) == (peer, mode, shape)})
            costs = [found.of(peer, mode, shape, n, "us_per_task") for n in sizes]
            if sizes:
                name = "ARIA" if peer == "aria" else "floor"
                axes.plot(sizes, costs, style, marker="o", color=color, label=f"{name}, {shape}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("tasks")
    axes.set_ylabel("µs per task")
    axes.set_title("Cost of a task as graphs grow: threads, SQLite NORMAL")
    _legend(axes)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.1))
