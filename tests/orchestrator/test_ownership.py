"""Who owns an execution, when an owner counts as gone, and how a lease notices what happens to it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from aria_core.clock import SystemClock
from aria_core.exceptions import AriaError, FencedError, StorageUnavailableError
from aria_core.modeling.models import Service
from aria_core.orchestrator import ownership
from aria_core.orchestrator.ownership import Lease, pulse_if_left, wait_until_gone
from aria_core.storage.model import ModelStorage
from aria_core.storage.owners import is_gone, this_process
from aria_core.storage.records import Claim, NewExecution
from aria_core.worker.processes import started_at


class FakeClock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.reading = 1000.0

    def monotonic(self) -> float:
        return self.reading

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        self.reading += seconds


def test_this_process_is_not_gone() -> None:
    assert is_gone(this_process()) is False


def test_nobody_is_gone() -> None:
    assert is_gone(None) is True


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {**this_process(), "pid": child.pid, "started": started_at(child.pid)}
    assert is_gone(owner) is False
    child.communicate()
    assert is_gone(owner) is True


def test_another_process_under_the_same_number_is_not_the_owner() -> None:
    assert is_gone({**this_process(), "started": "1"}) is True


@pytest.mark.parametrize("other", [{"boot": "another"}, {"namespace": "pid:[1]"}])
def test_of_another_machine_nothing_can_be_told(other: dict[str, str]) -> None:
    assert is_gone({**this_process(), **other, "pid": 1}) is None


@pytest.fixture
def claim(model_storage: ModelStorage) -> Claim:
    service = model_storage.service.put(Service(name="s"))
    return model_storage.ledger.claim_new(NewExecution(service.id, "install", {}, this_process()))


def test_an_owner_whose_beat_stands_still_is_gone_after_fifteen_seconds(model_storage: ModelStorage,
                                                                       claim: Claim) -> None:
    clock, ledger = FakeClock(), model_storage.ledger
    seen = ledger.pulse(claim.execution)
    last = wait_until_gone(ledger, seen, clock)
    assert last is not None
    assert (last.epoch, last.batch, last.beat) == (seen.epoch, seen.batch, seen.beat)
    assert 15 <= clock.reading - 1000 < 16


def test_who_watched_in_its_sleep_looks_once_more(model_storage: ModelStorage, claim: Claim) -> None:
    ledger = model_storage.ledger

    class Drowsy(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(60)
            ledger.beat(claim)

    assert wait_until_gone(ledger, ledger.pulse(claim.execution), Drowsy()) is None


def test_a_living_process_that_does_not_beat_is_gone_after_fifteen_seconds(
        model_storage: ModelStorage, claim: Claim) -> None:
    clock, ledger = FakeClock(), model_storage.ledger
    ledger.create_graph(claim, [], [], datetime.now(UTC))
    assert pulse_if_left(ledger, ledger.pulse(claim.execution), clock) is not None
    assert 15 <= clock.reading - 1000 < 16


def test_a_living_process_that_has_not_begun_keeps_its_claim(model_storage: ModelStorage,
                                                             claim: Claim) -> None:
    clock, ledger = FakeClock(), model_storage.ledger
    assert pulse_if_left(ledger, ledger.pulse(claim.execution), clock) is None
    assert clock.reading == 1000.0


def test_a_process_that_ends_while_it_is_watched_is_gone_at_once(model_storage: ModelStorage) -> None:
    ledger, service = model_storage.ledger, model_storage.service.put(Service(name="s"))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {**this_process(), "pid": child.pid, "started": started_at(child.pid)}
    claim = ledger.claim_new(NewExecution(service.id, "install", {}, owner))

    class Ending(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            child.communicate()

    clock = Ending()
    assert wait_until_gone(ledger, ledger.pulse(claim.execution), clock) is not None
    assert clock.reading - 1000 < 1


def test_an_owner_that_beats_meanwhile_lives(model_storage: ModelStorage, claim: Claim) -> None:
    ledger = model_storage.ledger
    seen = ledger.pulse(claim.execution)

    class Beating(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            ledger.beat(claim)

    assert wait_until_gone(ledger, seen, Beating()) is None


@pytest.fixture
def lease(model_storage: ModelStorage, claim: Claim) -> Any:
    changes: queue.Queue[Any] = queue.Queue()
    lease = Lease(model_storage.ledger, claim, SystemClock(), changes.put)
    yield lease, changes
    lease.stop()


def test_a_lease_notices_a_cancel_within_a_second_and_tells_it_once(model_storage: ModelStorage, claim: Claim,
                                                                   lease: Any) -> None:
    started = model_storage.ledger.create_graph(claim, [], [], datetime.now(UTC))
    lease[0].start()
    model_storage.ledger.request_cancel(started.execution)
    assert lease[1].get(timeout=1) == "cancelling"
    with pytest.raises(queue.Empty):
        lease[1].get(timeout=3 * ownership.LOOKS_EVERY)


def test_a_lease_notices_that_another_runner_took_over(model_storage: ModelStorage, claim: Claim,
                                                       lease: Any) -> None:
    ledger = model_storage.ledger
    lease[0].start()
    deadline = SystemClock().monotonic() + 10
    while not ledger.pulse(claim.execution).beat:  # a beat in between would save the owner
        assert SystemClock().monotonic() < deadline
    ledger.claim_existing(ledger.pulse(claim.execution), this_process(), retry_failed=False)
    error = lease[1].get(timeout=5)
    assert isinstance(error, FencedError)
    assert str(os.getpid()) in str(error)


def test_a_lease_beats(model_storage: ModelStorage, claim: Claim, lease: Any,
                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "BEAT_EVERY", 0.01)
    lease[0].start()
    lease[1].queue.clear()
    before = model_storage.ledger.pulse(claim.execution).beat
    deadline = SystemClock().monotonic() + 10
    while model_storage.ledger.pulse(claim.execution).beat < before + 2:
        assert SystemClock().monotonic() < deadline


def test_an_owner_that_is_asked_shows_at_once_that_it_lives(model_storage: ModelStorage, claim: Claim,
                                                           lease: Any) -> None:
    ledger, clock = model_storage.ledger, SystemClock()
    lease[0].start()
    deadline = clock.monotonic() + 10
    while not ledger.pulse(claim.execution).beat:  # the first; the next one would come in five seconds
        assert clock.monotonic() < deadline
    begin = clock.monotonic()
    assert wait_until_gone(ledger, ledger.pulse(claim.execution), clock) is None
    assert clock.monotonic() - begin < 3


def test_asking_an_owner_changes_nothing_else(model_storage: ModelStorage, claim: Claim) -> None:
    ledger = model_storage.ledger
    seen = ledger.pulse(claim.execution)
    ledger.ask_to_beat(seen, "me")
    assert ledger.pulse(claim.execution) == replace(seen, owner={**(seen.owner or {}), "asked": "me"})
    ledger.claim_existing(seen, this_process(), retry_failed=False)
    ledger.ask_to_beat(seen, "me, too late")
    assert ledger.pulse(claim.execution).owner == this_process()


def test_nobody_can_be_asked_to_beat(model_storage: ModelStorage, claim: Claim) -> None:
    ledger = model_storage.ledger
    seen = ledger.pulse(claim.execution)
    ledger.release(claim)
    ledger.ask_to_beat(seen, "me")
    assert ledger.pulse(claim.execution).owner is None


class BrokenLedger:
    """Nothing can be read from it, for a reason nobody has thought of."""

    def pulse(self, execution: int) -> Any:
        raise ZeroDivisionError("a mistake")


def test_a_lease_that_breaks_ends_the_ownership_and_says_why(claim: Claim) -> None:
    changes: queue.Queue[Any] = queue.Queue()
    lease = Lease(BrokenLedger(), claim, SystemClock(), changes.put)  # type: ignore[arg-type]
    lease.start()
    error = changes.get(timeout=10)
    assert isinstance(error, AriaError)
    assert "ZeroDivisionError: a mistake" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    lease.stop()


def test_an_owner_gives_up_when_it_cannot_beat_for_long(model_storage: ModelStorage, claim: Claim, lease: Any,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "GIVES_UP_AFTER", 0.1)
    lease[0].start()
    model_storage.close()
    assert isinstance(lease[1].get(timeout=10), StorageUnavailableError)
