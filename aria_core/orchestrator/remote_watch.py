"""What watches over the calls of a worker elsewhere: beats, reach of the storage, time, silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from aria_core.clock import Clock
from aria_core.exceptions import AriaError
from aria_core.orchestrator.ownership import BEAT_EVERY, GIVES_UP_AFTER
from aria_core.orchestrator.remote_call import Ending, RemoteCall
from aria_core.orchestrator.watch import Watch
from aria_core.storage.model import Ledger
from aria_core.worker.calls import CallRef

TELLS_WITHIN = 1.0
"""Seconds until what an operation says of its progress is stored."""
BEATS_AGAIN = 0.5
"""Seconds until a beat that failed is tried again."""
_LOOKS_EVERY = 1.0

_logger = logging.getLogger("aria.worker")

End = Callable[[RemoteCall, Ending], None]


class RemoteWatch:
    """The calls that run here, and two threads: one beats, one ends what must not run any longer.

    The second never touches the storage: it works while the first waits for one that does not answer.
    """

    def __init__(self, ledger: Ledger, clock: Clock, end: End, tidy: Callable[[], None]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._end = end
        self._tidy = tidy
        self._calls: dict[CallRef, RemoteCall] = {}
        self._watch = Watch()
        self._lock = threading.Lock()
        self._beat_soon = threading.Event()
        self._look_soon = threading.Event()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._beat, name="aria-beats", daemon=True),
                         threading.Thread(target=self._guard, name="aria-guard", daemon=True)]

    def open(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Watch no longer. Idempotent."""
        self._closed.set()
        for each in (self._beat_soon, self._look_soon):
            each.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(BEAT_EVERY)

    def add(self, call: RemoteCall) -> None:
        """From now on the storage is told that it runs."""
        with self._lock:
            self._calls[call.ref] = call
        if self._clock.monotonic() - call.in_touch_at > BEATS_AGAIN:  # it took long to be won
            self._beat_soon.set()

    def remove(self, call: RemoteCall) -> None:
        """It is over, and whatever is to be known of it is stored."""
        with self._lock:
            self._calls.pop(call.ref, None)

    def find(self, ref: CallRef) -> RemoteCall | None:
        """The call, if it runs here."""
        return self._calls.get(ref)

    def all(self) -> list[RemoteCall]:
        """What runs here now."""
        with self._lock:
            return list(self._calls.values())

    def note_begin(self, call: RemoteCall) -> None:
        """Its operation runs: its time counts."""
        row = call.task.row
        if row.timeout is None and row.heartbeat_timeout is None:
            return
        with self._lock:
            self._watch.begin(call.task)
        self._look_soon.set()

    def note_heartbeat(self) -> None:
        """Some operation has said something that others should see soon."""
        self._beat_soon.set()

    # --- the thread that beats

    def _beat(self) -> None:
        pause = BEAT_EVERY
        while not self._closed.is_set():
            if self._beat_soon.wait(pause):
                self._beat_soon.clear()
            calls = self.all()
            has_failed = bool(calls) and not self._has_beaten(calls)
            pause = BEATS_AGAIN if has_failed else BEAT_EVERY
            if not has_failed:
                self._tidy()
                self._closed.wait(TELLS_WITHIN if calls else 0.0)

    def _has_beaten(self, calls: list[RemoteCall]) -> bool:
        began = self._clock.monotonic()
        try:
            wanted = self._ledger.beat_calls([call.beat() for call in calls])
        except AriaError as error:
            _logger.debug("a beat failed: %s", error)
            return False
        except Exception:
            _logger.exception("a beat failed")
            return False
        for call in calls:
            call.in_touch_at = max(call.in_touch_at, began)
            if call.ref not in wanted and call.may_be_ended:
                self._end(call, "asked")
        return True

    # --- the thread that ends

    def _guard(self) -> None:
        while not self._closed.is_set():
            if self._look_soon.wait(self._patience()):
                self._look_soon.clear()
            for call, why in self._due():
                self._end(call, why)

    def _patience(self) -> float:
        now = self._clock.monotonic()
        with self._lock:
            moments = self._watch.moments() + [
                call.in_touch_at + GIVES_UP_AFTER for call in self._calls.values() if call.may_be_ended]
        return min([_LOOKS_EVERY, *(max(0.0, each - now) for each in moments)])

    def _due(self) -> list[tuple[RemoteCall, Ending]]:
        now = self._clock.monotonic()
        with self._lock:
            tasks = {ref: call.task for ref, call in self._calls.items()}
            due: list[tuple[CallRef, Ending]] = [(ref, "timeout") for ref in self._watch.timed_out(now)]
            due += [(ref, "heartbeat") for ref in self._watch.silent(now, tasks)]
            due += [(ref, "cut off") for ref, call in self._calls.items()
                    if call.in_touch_at + GIVES_UP_AFTER <= now]
            return [(self._calls[ref], why) for ref, why in due
                    if ref in self._calls and self._calls[ref].may_be_ended]
