"""The short way to an executor: say how a call starts, get everything else."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError, Future, wait
from dataclasses import replace
from typing import Any

from aria_core.orchestrator.executor import Executor, Inbox
from aria_core.worker.calls import Call, CallRef, Lost, Report, Started, report_from_json
from aria_core.worker.channel_server import ChannelServer
from aria_core.worker.run import let_plugin_workers_go


class FutureExecutor(Executor):
    """An executor whose calls are futures. Implement `start`; set `slots` to what runs at once.

    ::

        class PoolExecutor(FutureExecutor):
            def __init__(self, slots: int = 2) -> None:
                self.slots = slots
                self._pool = ThreadPoolExecutor(slots)

            def start(self, call: Call) -> Future[bytes]:
                return self._pool.submit(run_encoded, call.encode())

            def stop(self) -> None:
                self._pool.shutdown(cancel_futures=True)

    A subclass need not call ``super().__init__()``. A future that raises is a lost attempt; one that
    can still be cancelled can be withdrawn. Calls reach the runner through a socket on this host.
    """

    @abstractmethod
    def start(self, call: Call) -> Future[bytes]:
        """Begin ``run_encoded(call.encode())`` anywhere on this host; the future is what it returns.

        Must not block. Raising means: surely not started. Called from one thread.
        """

    def stop(self) -> None:
        """Let go of what `start` uses. Called once, at the end of `close`."""

    def open(self, report: Inbox) -> None:
        """See `Executor.open`."""
        calls = getattr(self, "_calls", None)
        if calls is None:
            self._calls = _Calls(report)
        else:
            calls.inbox = report

    def submit(self, call: Call) -> None:
        """See `Executor.submit`."""
        self._calls.add(call.ref)
        try:
            future = self.start(replace(call, channel=self._calls.server.address_for(call.ref)))
        except BaseException:
            self._calls.drop(call.ref)
            raise
        self._calls.watch(call.ref, future)

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """See `Executor.withdraw`."""
        return frozenset(ref for ref in refs if self._calls.withdraw(ref))

    def running(self) -> frozenset[CallRef]:
        """The calls whose futures run: in this process, as far as we know."""
        calls = getattr(self, "_calls", None)
        return frozenset() if calls is None else calls.running()

    def close(self, grace: float) -> None:
        """See `Executor.close`; what still runs after `grace` seconds goes on without a report."""
        calls = getattr(self, "_calls", None)
        if calls is not None and calls.is_open:
            calls.close(grace)
            self.stop()
            let_plugin_workers_go()


class _Calls:
    """The calls that are out, their futures, and the channel they talk through."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._lock = threading.RLock()
        self._futures: dict[CallRef, Future[bytes] | None] = {}
        self._started: set[CallRef] = set()
        self._withdrawn: set[CallRef] = set()
        self.is_open = True
        self._is_silent = False
        self.server = ChannelServer(self._answer)

    def add(self, ref: CallRef) -> None:
        """Note a call before it starts; ``RuntimeError`` after `close`."""
        with self._lock:
            if not self.is_open:
                raise RuntimeError("the executor is closed, it takes no more calls")
            self._futures[ref] = None

    def drop(self, ref: CallRef) -> None:
        """Forget a call."""
        with self._lock:
            self._futures.pop(ref, None)
            self._started.discard(ref)
        self.server.forget(ref)

    def watch(self, ref: CallRef, future: Future[bytes]) -> None:
        """Report on the call when its future is done."""
        with self._lock:
            self._futures[ref] = future
        future.add_done_callback(lambda done: self._finish(ref, done))

    def withdraw(self, ref: CallRef) -> bool:
        """Whether the call has not begun and now never will."""
        with self._lock:
            future = self._futures.get(ref)
            if future is None or future.done():
                return False
            self._withdrawn.add(ref)
        if future.cancel():
            return True
        self._withdrawn.discard(ref)
        return False

    def running(self) -> frozenset[CallRef]:
        """What has begun and not ended."""
        with self._lock:
            return frozenset(ref for ref, future in self._futures.items()
                             if future is not None and future.running())

    def close(self, grace: float) -> None:
        """Cancel what waits, give what runs `grace` seconds."""
        with self._lock:
            self.is_open = False
            futures = [future for future in self._futures.values() if future is not None]
        for future in futures:
            future.cancel()
        wait(futures, grace)
        with self._lock:
            self._is_silent = True
        self.server.close()

    def _finish(self, ref: CallRef, future: Future[bytes]) -> None:
        report = _report_of(ref, future)
        with self._lock:
            was_withdrawn = ref in self._withdrawn and future.cancelled()
            self._withdrawn.discard(ref)
            if not self._is_silent and not was_withdrawn:
                self.inbox(report)
        self.drop(ref)

    def _answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        if request.get("ask") == "sync":
            return True
        if request.get("tell") != "started":
            return self.inbox.answer(ref, request)
        with self._lock:
            future = self._futures.get(ref)
            is_late = ref not in self._futures or (future is not None and future.done())
            if not self._is_silent and not is_late and ref not in self._started:
                self._started.add(ref)
                self.inbox(Started(ref, str(request.get("where", ""))))
        return None


def _report_of(ref: CallRef, future: Future[bytes]) -> Report:
    try:
        report = report_from_json(json.loads(future.result()))
    except CancelledError:
        return Lost(ref, "terminated", "it had not begun")
    except BaseException as error:  # noqa: BLE001 - whatever ended the future has lost the attempt
        return Lost(ref, "exited", f"{type(error).__name__}: {error}")
    if report.ref != ref:
        return Lost(ref, "exited", f"what ran it reported on {report.ref} instead")
    return report
