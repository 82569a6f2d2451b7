"""Who runs an execution, whether they still do, and how an owner shows that it lives."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aria_core.clock import Clock
from aria_core.exceptions import AriaError, FencedError, StorageUnavailableError
from aria_core.modeling.states import ExecutionState
from aria_core.storage.model import Claim, Ledger, Pulse
from aria_core.worker.processes import is_alive, started_at

BEAT_EVERY = 5.0
"""Seconds between two beats of an owner."""
GIVES_UP_AFTER = 10.0
"""Seconds without a successful beat after which an owner stops itself."""
TAKES_OVER_AFTER = 15.0
"""Seconds a challenger must see the same beat before it takes over."""
LOOKS_EVERY = 0.25
"""Seconds between two looks at the execution's row."""


def this_process() -> dict[str, Any]:
    """The identity of this process as an owner: boot, pid namespace, pid, start time, host."""
    pid = os.getpid()
    return {"boot": _boot(), "namespace": _namespace(), "pid": pid, "started": started_at(pid),
            "host": platform.node()}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def is_gone(owner: Mapping[str, Any] | None) -> bool | None:
    """Whether an owner's process is gone; None if that cannot be told from here."""
    if owner is None:
        return True
    if (owner.get("boot"), owner.get("namespace")) != (_boot(), _namespace()):
        return None
    return not is_alive(int(owner["pid"]), owner.get("started"))


def describe_owner(owner: Mapping[str, Any] | None) -> str:
    """An owner for people."""
    return "nobody" if owner is None else f"process {owner.get('pid')} on {owner.get('host')}"


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
        self._thread = threading.Thread(target=self._run, name="aria-lease", daemon=True)

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
                if self._clock.monotonic() - self._last_beat > GIVES_UP_AFTER:
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
