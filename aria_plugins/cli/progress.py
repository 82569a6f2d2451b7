"""What is shown while a workflow runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from .printing import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aria_core import Event, ModelStorage, TaskEvent, WorkflowEvent

MAX_SHOWN = 10
"""How many running operations a terminal shows."""


class Screen(Protocol):
    """Where progress is shown. Called from one thread; nothing it does may raise ``OSError``."""

    def begin(self, total: int, done: int) -> None:
        """So many operations are to be run, so many of them are done."""

    def line(self, text: str, style: str) -> None:
        """Something worth a line happened."""

    def running(self, name: str, attempt: int) -> None:
        """An operation is at work."""

    def idle(self, name: str, done: int) -> None:
        """It is not any more; so many are done now."""

    def close(self) -> None:
        """Nothing more will come."""


class Progress:
    """Listens to one execution and shows how far it is."""

    def __init__(self, model: ModelStorage, make_screen: Callable[[], Screen]) -> None:
        self._model = model
        self._make_screen = make_screen
        self._total = 0
        self._done = 0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        from aria_core import TaskEvent

        if isinstance(event, TaskEvent):
            self._task(event)
        else:
            self._workflow(event)

    def close(self) -> None:
        """Give the terminal back."""
        if "_screen" in self.__dict__:
            self._screen.close()

    @cached_property
    def _screen(self) -> Screen:
        """Made when there is something to show: an execution that is refused leaves the terminal alone."""
        return self._make_screen()

    def _workflow(self, event: WorkflowEvent) -> None:
        if event.kind in ("started", "resumed"):
            self._count(event.execution)
            self._screen.begin(self._total, self._done)
            self._screen.line(f"{event.workflow}: execution {event.execution} {event.kind}, "
                              f"{self._total - self._done} of {self._total} operations to run", "bold")
        else:
            self._screen.line(f"{event.workflow}: execution {event.execution} {event.kind}",
                              _STYLES.get(event.kind, ""))

    def _count(self, execution: int) -> None:
        operations = {"execution_id": execution, "stub": None}
        done = {**operations, "state": ["success", "failed"]}
        self._total, self._done = (
            self._model.task.list(filters=each, pagination={"size": 0}).metadata["total"]
            for each in (operations, done))

    def _task(self, event: TaskEvent) -> None:
        name = one_line(event.name)
        if event.kind == "started":
            self._screen.running(name, event.attempt)
        if event.kind not in ("succeeded", "failed", "retrying"):
            return
        self._done += event.kind != "retrying"
        self._screen.idle(name, self._done)
        again = f"failed (attempt {event.attempt}), will be retried"
        what = again if event.kind == "retrying" else event.kind
        reason = f": {one_line(event.error)}" if event.error else ""
        self._screen.line(f"[{self._done}/{self._total}] {name} {what}{reason}", _STYLES.get(event.kind, ""))


_STYLES = {"succeeded": "green", "failed": "red", "retrying": "yellow", "cancelling": "yellow",
           "cancelled": "yellow"}


class Fading(io.TextIOBase):
    """Another stream, which falls silent when its reader goes away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._is_terminal = stream.isatty()
        self._encoding = stream.encoding

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed has a plain attribute, but it is none
        """That of the other stream."""
        return self._encoding

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return self._is_terminal

    def write(self, text: str, /) -> int:
        """Write, if anybody reads."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody reads."""
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            act(self._stream)
        except OSError:  # the workflow goes on all the same
            self._stream = None


class Lines:
    """Plain lines on a stream; when its reader goes away it falls silent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = Fading(stream)

    def begin(self, total: int, done: int) -> None:
        """Nothing to prepare."""

    def line(self, text: str, style: str) -> None:
        """Print the line at once."""
        print(one_line(text), file=self._stream, flush=True)

    def running(self, name: str, attempt: int) -> None:
        """Say which operation begins."""
        self.line(f"{name} started" + (f" (attempt {attempt})" if attempt > 1 else ""), "")

    def idle(self, name: str, done: int) -> None:
        """The line that follows says it."""

    def close(self) -> None:
        """Nothing to give back."""


class Terminal:
    """A bar with the running operations below it; what has happened scrolls above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._running: dict[str, tuple[str, float]] = {}
        # a thread of rich's own draws, too: nobody could catch what it meets on a terminal that was closed
        self._console = Console(highlight=False, file=cast("TextIO", Fading(sys.stdout)))
        self._bar = Bar(SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._all = self._bar.add_task("operations", total=None)
        self._live = Live(get_renderable=self._picture, console=self._console, transient=True)
        self._live.start()

    def begin(self, total: int, done: int) -> None:
        """Set the bar."""
        self._bar.update(self._all, total=total, completed=done)

    def line(self, text: str, style: str) -> None:
        """Print above the bar."""
        from rich.text import Text

        self._console.print(Text(one_line(text), style))

    def running(self, name: str, attempt: int) -> None:
        """Show the operation below the bar."""
        shown = name + (f" (attempt {attempt})" if attempt > 1 else "")
        self._running[name] = shown, time.monotonic()

    def idle(self, name: str, done: int) -> None:
        """Take it away and move the bar."""
        self._running.pop(name, None)
        self._bar.update(self._all, completed=done)

    def close(self) -> None:
        """Take the bar away."""
        self._live.stop()

    def _picture(self) -> RenderableType:
        """Drawn from a thread of its own, several times a second."""
        from rich.console import Group
        from rich.text import Text

        running = list(self._running.values())
        now = time.monotonic()
        lines = [f"  {name}  {now - since:.0f} s" for name, since in running[:MAX_SHOWN]]
        if len(running) > MAX_SHOWN:
            lines.append(f"  and {len(running) - MAX_SHOWN} more")
        return Group(self._bar, *(Text(each, "cyan", overflow="ellipsis", no_wrap=True) for each in lines))


class Silence:
    """Shows nothing: ``--quiet``."""

    def begin(self, total: int, done: int) -> None:
        """Show nothing."""

    def line(self, text: str, style: str) -> None:
        """Show nothing."""

    def running(self, name: str, attempt: int) -> None:
        """Show nothing."""

    def idle(self, name: str, done: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def screen(quiet: bool, as_json: bool) -> Screen:
    """Where progress goes: nowhere, to the terminal, or to standard output (error, if that is for JSON)."""
    if quiet:
        return Silence()
    if sys.stdout.isatty() and not as_json:
        return Terminal()
    return Lines(sys.stderr if as_json else sys.stdout)
