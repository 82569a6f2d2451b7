"""How the owner of an execution shows that it lives, and how others see that it does not."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

from aria_core.clock import Clock
from aria_core.exceptions import AriaError, FencedError, StorageLostError, StorageUnavailableError
from aria_core.modeling.states import ExecutionState
from aria_core.storage.model import Ledger
from aria_core.storage.owners import LOOKS_EVERY, TAKES_OVER_AFTER, describe_owner, is_gone
from aria_core.storage.records import Claim, Pulse

BEAT_EVERY = 5.0
"""Seconds between two beats of an owner."""
GIVES_UP_AFTER = 10.0
"""Seconds without a successful beat after which an owner stops itself."""

_NOTHING = object()


def pulse_if_left(ledger: Ledger, seen: Pulse, clock: Clock) -> Pulse | None:
    """The last pulse of an execution whose owner is gone; None if it lives.

    Its process may live and its runner not: stopped, or given up while the storage was away. So a
    living process is no more than a reason to watch, except of one that has not begun to beat.
    """
    gone = is_gone(seen.owner)
    if gone:
        return seen
    return None if gone is False and _has_not_begun(seen) else wait_until_gone(ledger, seen, clock)


def _has_not_begun(seen: Pulse) -> bool:
    """Whether it was claimed and not executed yet: who executes it beats at once."""
    return seen.state == ExecutionState.PENDING and (seen.epoch, seen.beat) == (1, 0)


def wait_until_gone(ledger: Ledger, seen: Pulse, clock: Clock) -> Pulse | None:
    """Watch an owner; its last pulse if it is gone, None if it lives.

    "Gone" means: its process has ended, as far as that can be seen from here, or the same epoch, batch
    and beat for `TAKES_OVER_AFTER` seconds of our own clock. The owner is asked to beat, so that one
    that lives costs us less than a second.
    """
    deadline, has_asked = clock.monotonic() + TAKES_OVER_AFTER, False
    while True:
        waited_long_enough = clock.monotonic() >= deadline  # asked first: the look below is later than it
        now = ledger.pulse(seen.execution)
        if (now.epoch, now.batch, now.beat) != (seen.epoch, seen.batch, seen.beat):
            return None
        if waited_long_enough or is_gone(now.owner):
            return now
        if not has_asked:
            ledger.ask_to_beat(now, secrets.token_hex(8))
            has_asked = True
        clock.sleep(LOOKS_EVERY)


class Lease:
    """Keeps an execution ours: beats, and watches the row for a cancel, a question or another owner.

    `on_change` is called from the lease's thread with the state ``cancelling`` once, or with the
    error that ends the ownership, once.
    """

    def __init__(self, ledger: Ledger, claim: Claim, clock: Clock,
                 on_change: Callable[[str | AriaError], None]) -> None:
        self._ledger = ledger
        self._claim = claim
        self._clock = clock
        self._on_change = on_change
        self._stop = threading.Event()
        self._told_cancel = claim.state == ExecutionState.CANCELLING
        self._last_beat = clock.monotonic()
        self._answered: Any = _NOTHING  # so the first look beats: from now on the execution has begun
        self._thread = threading.Thread(
            target=self._run, name=f"aria-lease-{claim.execution}-{claim.epoch}", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOKS_EVERY):
            try:
                self._look()
            except StorageUnavailableError as error:
                is_lost = isinstance(error, StorageLostError)
                if is_lost or self._clock.monotonic() - self._last_beat > GIVES_UP_AFTER:
                    self._on_change(error)
                    return
            except AriaError as error:
                self._on_change(error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, a runner must not go on without lease
                self._on_change(_broken(self._claim, error))
                return

    def _look(self) -> None:
        pulse = self._ledger.pulse(self._claim.execution)
        if pulse.epoch != self._claim.epoch:
            raise FencedError(f"execution {pulse.execution} was taken over by {describe_owner(pulse.owner)}")
        asked = (pulse.owner or {}).get("asked")
        if asked != self._answered or self._clock.monotonic() - self._last_beat >= BEAT_EVERY:
            pulse = self._ledger.beat(self._claim)
            self._last_beat, self._answered = self._clock.monotonic(), asked
        self._look_for_cancel(pulse)

    def _look_for_cancel(self, pulse: Pulse) -> None:
        if pulse.state == ExecutionState.CANCELLING and not self._told_cancel:
            self._told_cancel = True
            self._on_change(ExecutionState.CANCELLING)


def _broken(claim: Claim, error: Exception) -> AriaError:
    broken = AriaError(f"execution {claim.execution} cannot be kept by this runner, which stops: "
                       f"{type(error).__name__}: {error}")
    broken.__cause__ = error
    return broken
