"""``aria worker``: run the calls that runners anywhere send."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from . import options
from .program import Program, pass_program
from .running import GRACE

if TYPE_CHECKING:
    from aria_core import Station

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@click.command()
@click.option("--slots", type=click.IntRange(min=1), metavar="N",
              help="Run at most N operations at once; otherwise as many as there are processors.")
@click.option("--queue", "queues", multiple=True, metavar="NAME",
              help="Serve this queue instead of the usual one. May be repeated.")
@click.option("--name", metavar="NAME", help="What others see this worker as.")
@click.option("--grace", type=click.FloatRange(min=0), default=GRACE, show_default=True, metavar="SECONDS",
              help="Give running operations so long to end when told to stop.")
@options.executor
@pass_program
def worker(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, slots: int | None, queues: tuple[str, ...], name: str | None, grace: float,
        executor: str | None) -> None:
    """Run operations for runners on any host, until told to stop.

    The configured executor says how they arrive: it must be one whose calls survive the runner. Rows and
    files come from the configured storages, which runners and workers share; plugins are installed here when
    an operation needs them. The first SIGTERM or SIGINT takes no more and lets running operations end, the
    second ends them.
    """
    from aria_core import Station

    application = program.application
    station = Station(application.remote_worker, slots or os.cpu_count() or 1, queues, name, grace)
    with _stopping(station):
        application.executor(executor).serve(station)


@contextmanager
def _stopping(station: Station) -> Iterator[None]:
    """Have signals stop the worker until the end of the block, unless its executor takes them itself."""
    def stop(number: int, _: object) -> None:
        if station.stop.is_set():
            station.hurry.set()
        station.stop.set()

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
