"""How the owner of an execution shows that it lives, and how others see that it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aria_core.clock import Clock
from aria_core.exceptions import AriaError, FencedError, StorageLostError, StorageUnavailableError
from aria_core.modeling.states import ExecutionState
from aria_core.storage.model import Ledger
from aria_core.storage.owners import LOOKS_EVERY, TAKES_OVER_AFTER, describe_owner, this_process
from aria_core.storage.records import Claim, Pulse

BEAT_EVERY = 5.0
"""Seconds between two beats of an owner."""
GIVES_UP_AFTER = 10.0
"""Seconds without a successful beat after which an owner stops itself."""


def wait_until_gone(ledger: Ledger, seen: Pulse, clock: Clock) -> Pulse | None:
    """Watch a runner that cannot be seen from here; its last pulse if it is gone, None if it lives.

    "Gone" means: the same epoch, batch and beat for `TAKES_OVER_AFTER` seconds of our own clock.
    """
    deadline = clock.monotonic() + TAKES_OVER_AFTER
    while clock.monotonic() < deadline:
        clock.sleep(LOOKS_EVERY)
        now = ledger.pulse(seen.execution)
        if (now.epoch, now.batch, now.beat) != (seen.epoch, seen.batch, seen.beat):
            return None
    return ledger.pulse(seen.execution)


def is_forgotten_here(seen: Pulse) -> bool:
    """Whether this process owns it and beats no more: its runner lost the storage and could not let go.

    Not yet begun is not forgotten. True is no more than a suspicion: a runner may be about to beat.
    """
    owner = seen.owner or {}
    if seen.state == ExecutionState.PENDING or this_process().items() - owner.items():
        return False
    return _lease_name(seen.execution, seen.epoch) not in {each.name for each in threading.enumerate()}


def _lease_name(execution: int, epoch: int) -> str:
    return f"aria-lease-{execution}-{epoch}"


class Lease:
    """Keeps an execution ours: beats, and watches the row for a cancel or another owner.

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
        self._thread = threading.Thread(
            target=self._run, name=_lease_name(claim.execution, claim.epoch), daemon=True)

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

    def _look(self) -> None:
        if self._clock.monotonic() - self._last_beat >= BEAT_EVERY:
            pulse = self._ledger.beat(self._claim)
            self._last_beat = self._clock.monotonic()
        else:
            pulse = self._ledger.pulse(self._claim.execution)
        if pulse.epoch != self._claim.epoch:
            raise FencedError(f"execution {pulse.execution} was taken over by {describe_owner(pulse.owner)}")
        self._look_for_cancel(pulse)

    def _look_for_cancel(self, pulse: Pulse) -> None:
        if pulse.state == ExecutionState.CANCELLING and not self._told_cancel:
            self._told_cancel = True
            self._on_change(ExecutionState.CANCELLING)
