"""Running an execution in this process: progress, interruptions, the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .printing import say, show_json, shown, tell
from .program import Program
from .progress import Progress, screen

if TYPE_CHECKING:
    from aria_core import Event, Executor, WorkflowRunner

GRACE = 30.0
"""Seconds that running operations have after the first signal."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def chosen_executor(program: Program, name: str | None, dry: bool) -> Executor:
    """The executor that options or the configuration name; raises what is wrong with it."""
    if dry and name not in (None, "dry"):
        raise click.UsageError(f"--dry and --executor {name} exclude each other")
    return program.application.executor("dry" if dry else name)


@dataclass(frozen=True, slots=True)
class Run:
    """An execution that this process is to run, and who watches it."""

    program: Program
    runner: WorkflowRunner
    progress: Progress
    interruption: Interruption
    as_json: bool

    def carry_out(self, retry_failed: bool = False) -> int:
        """Run to the end with progress and print the outputs; the exit code.

        The first signal lets running operations end, the second ends them, the third gives up waiting.
        Raises what `WorkflowRunner.execute` raises.
        """
        with self.interruption.handling(self.runner), closing(self.progress):
            state = _execute(self.runner, retry_failed)
        return _end(self, state)


def new_run(program: Program, as_json: bool = False, **arguments: Any) -> Run:
    """A new execution, or one to be resumed: `arguments` are those of `Application.runner`.

    Raises what that raises; then nothing was made.
    """
    progress = Progress(program.model, lambda: screen(program.options.quiet, as_json))
    interruption = Interruption()
    runner = program.application.runner(listeners=(interruption.see, progress), **arguments)
    return Run(program, runner, progress, interruption, as_json)


def leave_to_queue(program: Program, as_json: bool, executor: str | None, dry: bool,
                   retry_failed: bool = False, **arguments: Any) -> int:
    """Leave an execution to whoever serves the queue, and say so; `arguments` as for `new_run`."""
    chosen = chosen_executor(program, executor, dry) if executor or dry else None
    runner = program.application.runner(executor=chosen, queued=True, **arguments)
    state, number = runner.execute(retry_failed), runner.execution_id
    if as_json:
        show_json({"execution": number, "service": runner.service.name, "state": state, "queued": True})
    elif state == "succeeded":
        tell(f"execution {number} has succeeded; there is nothing to resume")
    else:
        tell(f"execution {number} is in the queue; an 'aria runner' runs it, 'aria executions show {number}' "
             "tells how far it is")
    return 0


def _execute(runner: WorkflowRunner, retry_failed: bool) -> str:
    from aria_core import AriaError, ExecutionFailedError, ExecutionState

    try:
        return runner.execute(retry_failed)
    except AriaError:
        raise
    except Exception as error:  # what a workflow function raises is a workflow that failed
        execution = runner.execution
        if execution.state != ExecutionState.FAILED:
            raise
        raise ExecutionFailedError(execution.error or str(error)) from error


def _end(run: Run, state: str) -> int:
    from aria_core import ExecutionState

    number = run.runner.execution_id
    if state == ExecutionState.SUCCEEDED:
        _show_outputs(run)
        return 0
    if state == ExecutionState.CANCELLED:
        say(f"execution {number} was cancelled; 'aria executions resume {number}' takes it up again")
        return 7
    goes_on = ("it is in the queue again, an 'aria runner' goes on with it" if run.runner.execution.queued
               else f"'aria executions resume {number}' goes on with it")
    say(f"execution {number} was stopped before its end; {goes_on}")
    return run.interruption.exit_code


def _show_outputs(run: Run) -> None:
    from .shown import shown_outputs

    service = run.runner.service
    values = shown_outputs(run.program, service)
    if run.as_json:
        show_json({"execution": run.runner.execution_id, "service": service.name, "state": "succeeded",
                   "outputs": values})
        return
    known = {name: value for name, value in values.items() if value is not None}
    if known:
        tell("outputs:")
        for name, value in known.items():
            tell(f"  {name}: {shown(value)}")


class Interruption:
    """What SIGINT, SIGTERM and SIGHUP do to a runner."""

    def __init__(self) -> None:
        self._runner: WorkflowRunner | None = None
        self._seen: list[int] = []

    @property
    def exit_code(self) -> int:
        """128 and the number of the first signal."""
        return 128 + (self._seen[0] if self._seen else signal.SIGINT)

    @contextmanager
    def handling(self, runner: WorkflowRunner) -> Iterator[None]:
        """Have the signals stop `runner` until the end of the block."""
        self._runner = runner
        before = {each: signal.signal(each, self._take) for each in SIGNALS if not is_unwanted(each)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def see(self, event: Event) -> None:
        """A signal that came before there was anything to stop is obeyed as soon as there is."""
        if self._seen and event.kind in ("started", "resumed") and not hasattr(event, "task"):
            self._stop()

    def _stop(self) -> None:
        if self._runner is not None:
            self._runner.stop(self._grace)

    @property
    def _grace(self) -> float:
        return GRACE if len(self._seen) == 1 else 0.0

    def _take(self, number: int, _: object) -> None:
        self._seen.append(number)
        if len(self._seen) > 2:
            raise KeyboardInterrupt
        self._stop()
        write(f"aria: stopping; running operations have {GRACE:g} s to end, a second signal ends them\n"
               if len(self._seen) == 1 else "aria: ending what runs\n")


def is_unwanted(number: int) -> bool:
    """Whether whoever started us wants us to outlive the terminal, as ``nohup`` does."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def write(sentence: str) -> None:
    """Print from a signal handler, where the streams may be in use."""
    try:
        os.write(2, sentence.encode())
    except OSError:
        return
