"""``aria runner``: serve the queue of executions."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from . import options
from .printing import iso, one_line, show_json_line, tell
from .program import Program, pass_program
from .running import SIGNALS, is_unwanted, write

if TYPE_CHECKING:
    from aria_core import RunnerEvent, RunnerService


@click.command()
@click.option("--executions", type=click.IntRange(min=1), metavar="N",
              help="Run at most N executions at once.")
@click.option("--poll-interval", type=click.FloatRange(min=0.01), metavar="SECONDS",
              help="Look at the queue every so many seconds.")
@click.option("--grace", type=click.FloatRange(min=0), metavar="SECONDS",
              help="Give running operations so long to end when told to stop.")
@options.executor
@click.option("--name", default="", metavar="NAME",
              help="What others see this runner as, beside its process.")
@click.option("--until-empty", is_flag=True, help="End once there is nothing left to run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object to a line.")
@pass_program
def runner(  # noqa: PLR0917 - click hands one argument for each option
        program: Program, /, executions: int | None, poll_interval: float | None, grace: float | None,
        executor: str | None, name: str, until_empty: bool, as_json: bool) -> None:
    """Run the executions that were left to the queue with --queue, several at once, until told to stop.

    Any number of runners may serve one queue, on any host that reaches its storages. The first SIGTERM or
    SIGINT takes no more and hands over what runs: another runner goes on with it at once. The second ends
    running operations, the third gives up waiting.
    """
    service = program.application.runner_service(
        lambda event: _show(event, as_json), executor=executor, executions=executions,
        poll_interval=poll_interval, name=name)
    with _stopping(service, program.config.runner.grace if grace is None else grace):
        service.run(until_empty=until_empty)


def _show(event: RunnerEvent, as_json: bool) -> None:
    try:
        if as_json:
            show_json_line({"time": iso(datetime.now(UTC)), "event": event.kind,
                            "execution": event.execution or None, "service": event.service or None,
                            "workflow": event.workflow or None, "message": event.text})
        else:
            tell(one_line(event.text))
    except OSError:
        return  # nobody reads it; the executions go on all the same


@contextmanager
def _stopping(service: RunnerService, grace: float) -> Iterator[None]:
    """Have signals stop the service until the end of the block."""
    seen: list[int] = []

    def stop(number: int, _: object) -> None:
        seen.append(number)
        if len(seen) > 2:
            raise KeyboardInterrupt
        if len(seen) == 2:
            write("aria: ending what runs\n")
        service.stop(grace if len(seen) == 1 else 0.0)

    before = {each: signal.signal(each, stop) for each in SIGNALS if not is_unwanted(each)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
