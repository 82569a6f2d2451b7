"""A warm worker: ``python -m aria_core.worker <line> <calls>``, two inherited sockets.

The *line* is a stream that carries JSON lines both ways, framed as `aria_core.worker.channel` says.
The runner begins with ``{"hello": 2, "key": …, "path": […] or null, "first": […], "inherit": […],
"plugin": … or null, "tidies": true}``: the whole import path, or what to put before it, the variables that
operations inherit, whose environment this is, and whether to end what failed attempts leave. The worker
answers
``{"hello": 2, "key": …, "pid": …, "host": …}`` and then sends, for each call, questions and messages of
the operation as the channel defines them, and the final report (``{"report": "succeeded", …}``), in which
``seconds`` tells how long the operation ran.

The *calls* are packets, one call each: ``{"call": …}``, or ``{"fetch": "<ref>"}`` if the call is too
big for one (it then comes over the line, after the worker has said the same there), or ``{"quit": true}``.
The kernel gives each packet to exactly one reader, so what the worker has not begun the runner can
take back by reading the same socket: that is how calls are sent ahead and yet withdrawn atomically.
It is also how the runner sees that a call has begun, namely when its packet is gone: the worker need not
say so, which would cost each call a message.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from aria_core.worker.calls import (
    LONGEST_WAIT,
    Call,
    Failed,
    FinalReport,
    Succeeded,
    call_from_json,
    report_to_json,
)
from aria_core.worker.channel import (
    Channel,
    ChannelError,
    decode_message,
    encode_message,
    open_reply,
    read_message,
)
from aria_core.worker.keeper import stay_behind
from aria_core.worker.marking import AttemptMark
from aria_core.worker.printing import Printing
from aria_core.worker.processes import kill_marked
from aria_core.worker.protocol import PACKET_LIMIT, WORKER_VERSION
from aria_core.worker.run import run_call, run_here

if TYPE_CHECKING:
    from aria_core.worker.plugin_workers import PluginWorkers

FAILED_ATTEMPT_GRACE = 1.0
"""Seconds that what a failed operation left running has between SIGTERM and SIGKILL."""


class Line:
    """The worker's end of the line: any thread may send, one question is open at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._last = 0
        self._abandoned = False
        self._writing = threading.Lock()
        self._asking = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; ``ChannelError`` if it cannot travel."""
        line = encode_message(message)
        with self._writing:
            if not self._abandoned:
                self._connection.sendall(line)

    def read(self) -> dict[str, Any]:
        """The next message of the runner; raises ``EOFError`` when it has hung up."""
        message = read_message(self._reader)
        if message is None:
            raise EOFError("the runner has hung up")
        return message

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The runner's answer; raises as `Channel.ask`."""
        if self._abandoned:
            raise ChannelError("a forked child of a worker cannot talk to the runner")
        with self._asking:
            self._last += 1
            self.send({**request, "number": self._last})
            reply = self.read()
            while reply.get("number") != self._last:  # an interrupt cut an earlier question off
                reply = self.read()
        return open_reply(reply)

    def abandon(self) -> None:
        """In a forked child: let go, so that the runner sees the end of the worker itself."""
        self._abandoned = True
        self._writing = threading.Lock()
        self._reader.close()
        self._connection.close()


class LineChannel:
    """The `Channel` of one call; closed when the call is over, whatever thread still has it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._open = True

    def ask(self, request: Mapping[str, Any]) -> Any:
        """See `Channel.ask`."""
        if not self._open:
            raise ChannelError("the operation is over; its runner does not answer any more")
        try:
            return self._line.ask(request)
        except (OSError, EOFError) as error:
            raise ChannelError(f"the runner cannot be reached: {error}") from error

    def tell(self, message: Mapping[str, Any]) -> None:
        """See `Channel.tell`."""
        if not self._open:
            return
        try:
            self._line.send(message)
        except (OSError, ChannelError):
            return  # telling promises nothing, and a runner that is gone ends this process anyway

    def close(self) -> None:
        """Let nothing through any more."""
        self._open = False


class Worker:
    """Runs one call after another, in the main thread."""

    def __init__(self, line: socket.socket, calls: socket.socket) -> None:
        self._line = Line(line)
        self._calls = calls
        self._mark = AttemptMark()
        self._printing = Printing()
        self._pid = os.getpid()
        self._cancelled = threading.Event()
        self._running = self._waiting = False
        self._hello: dict[str, Any] = {}
        self._plugin_workers: PluginWorkers | None = None

    def greet(self) -> None:
        """Answer the runner's hello and take over its import path; ``SystemExit`` if versions differ."""
        hello = self._line.read()
        if hello.get("hello") != WORKER_VERSION:
            raise SystemExit(f"the runner speaks version {hello.get('hello')!r} of the worker protocol, "
                             f"this worker speaks {WORKER_VERSION}")
        self._hello = hello
        sys.path[:] = hello.get("path") or [*hello.get("first", ()), *sys.path]
        signal.signal(signal.SIGTERM, self._on_sigterm)
        os.register_at_fork(after_in_child=self._let_go)
        self._printing.catch()
        self._line.send({"hello": WORKER_VERSION, "key": hello.get("key"), "pid": self._pid,
                         "host": socket.gethostname()})

    def serve(self) -> None:
        """Run calls until the runner says quit."""
        while (call := self._next()) is not None:
            self._run(call)

    def _next(self) -> Call | None:
        data = self._wait()
        if not data:
            raise EOFError("the runner has hung up")
        message = decode_message(data)
        if message.get("fetch"):
            self._line.send({"fetch": message["fetch"]})
            message = self._line.read()
        return call_from_json(message["call"]) if "call" in message else None

    def _wait(self) -> bytes:
        self._waiting = True
        try:
            if self._cancelled.is_set():
                raise SystemExit(128 + signal.SIGTERM)
            return self._calls.recv(PACKET_LIMIT)
        finally:
            self._waiting = False

    def _run(self, call: Call) -> None:
        self._mark.set(call)
        channel = LineChannel(self._line)
        self._printing.begin(channel.tell)
        began = time.monotonic()
        self._running = True
        report = self._report(call, channel)
        self._running = False
        seconds = min(time.monotonic() - began, LONGEST_WAIT)
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the operation forked has come back instead of ending
        self._printing.end()
        channel.close()
        self._finish(call, report, seconds)

    def _report(self, call: Call, channel: LineChannel) -> FinalReport:
        if self._hello.get("plugin") is not None:
            return run_here(call, channel, self._cancelled)
        return run_call(call, channel, self._cancelled, self._exchange)

    def _exchange(self, call: Call, channel: Channel) -> FinalReport:
        """Meanwhile SIGTERM is for the plugin's worker, whose operation may yet succeed."""
        from aria_core.worker.plugin_workers import PluginWorkers

        if self._plugin_workers is None:
            self._plugin_workers = PluginWorkers(self._hello.get("inherit", ()), tidies=False)
        self._running = False
        try:
            return self._plugin_workers.exchange(call, channel, self._cancelled)
        finally:
            self._running = True

    def _finish(self, call: Call, report: FinalReport, seconds: float) -> None:
        succeeded = isinstance(report, Succeeded)
        if self._cancelled.is_set() and not succeeded:
            raise SystemExit(128 + signal.SIGTERM)
        self._mark.clear()
        if not succeeded and self._hello.get("tidies", True):
            kill_marked(call.mark, FAILED_ATTEMPT_GRACE)
        try:
            self._line.send({**report_to_json(report), "seconds": seconds})
        except ChannelError as error:
            failure = Failed(call.ref, f"ChannelError: {error}")
            self._line.send({**report_to_json(failure), "seconds": seconds})

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Once, and only in an operation or while waiting: its ``finally`` blocks may use the grace."""
        first = not self._cancelled.is_set()
        self._cancelled.set()
        if first and (self._running or self._waiting):
            raise SystemExit(128 + number)

    def _let_go(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._line.abandon()
        self._calls.close()


def keep_crash_report() -> None:
    """What the interpreter says when it crashes goes where the runner reads, not to children's stderr."""
    faulthandler.enable(os.dup(2))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def main(arguments: list[str]) -> None:
    """Serve the runner at the other end of the two sockets whose numbers are in `arguments`."""
    line, calls = (socket.socket(fileno=int(each)) for each in arguments)
    for each in (line, calls):
        each.set_inheritable(False)
    stay_behind(line)
    worker = Worker(line, calls)
    worker.greet()
    keep_crash_report()
    try:
        worker.serve()
    except EOFError:
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1:])
