"""The calls of one execution that workers elsewhere run: the storage says how they are.

The row is the truth and a message only a hint, in both directions. What was sent and is claimed by nobody
is sent again; what was claimed is looked at when somebody says so, or else now and then.
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from aria_core.modeling.states import TaskState
from aria_core.orchestrator.bookkeeping import Books
from aria_core.orchestrator.executor import POLL_INTERVAL
from aria_core.orchestrator.inbox import Heartbeat, Message
from aria_core.orchestrator.patience import ride_out
from aria_core.orchestrator.progress import TaskProgress
from aria_core.orchestrator.sending import send
from aria_core.orchestrator.surroundings import Surroundings
from aria_core.orchestrator.watch import Watch
from aria_core.storage.owners import TAKES_OVER_AFTER
from aria_core.storage.records import Claim, ClaimedCallRow
from aria_core.worker.calls import CallRef, Failed, Lost, Succeeded

SENT_AGAIN_AFTER = 5.0
SENT_AGAIN_AT_LEAST_EVERY = 30.0
LOOKS_APART = 0.01
"""Seconds between two looks while no slot can run out of calls: each look tells of several then."""


@dataclass(slots=True)
class _Pulse:
    """What was last seen of a claimed call, and since which reading of the clock its beat is that."""

    beat: int
    since: float
    heard: int = 0


class RemoteCalls:
    """Those among the calls in flight that an executor which survives us has, or that we have adopted."""

    def __init__(self, around: Surroundings, execution: int, books: Books, watch: Watch,
                 in_flight: Mapping[CallRef, TaskProgress], *, adopted: Collection[CallRef]) -> None:
        self._around = around
        self._execution = execution
        self._books = books
        self._watch = watch
        self._in_flight = in_flight
        self._adopted = frozenset(adopted)
        self._survives = around.executor.survives_runner
        self._poll = around.executor.poll_interval if self._survives else POLL_INTERVAL
        self._next_look = self._looked_at = around.clock.monotonic()
        self._pulses: dict[CallRef, _Pulse] = {}
        self._sent: dict[CallRef, float] = {}
        self._unclaimed: list[tuple[float, CallRef, float]] = []
        """A heap of moments at which calls are sent again, and of the pauses before these moments."""

    def holds(self, ref: CallRef) -> bool:
        """Whether the call is, or was, one of ours."""
        return self._survives or ref in self._adopted

    def are_all(self) -> bool:
        """Whether nothing but calls elsewhere is in flight."""
        return all(map(self.holds, self._in_flight))

    def moment(self) -> float:
        """When to look, as far as one can tell now."""
        moments = [self._next_look, *(each[0] for each in self._unclaimed[:1])]
        if self._around.inbox.is_to_look:
            enough_waits = len(self._sent) >= (self._around.executor.slots or 1)
            moments.append(self._looked_at + (LOOKS_APART if enough_waits else 0.0))
        return min(moments)

    # --- what is heard of them

    def hear(self, messages: Iterable[Message]) -> list[Message]:
        """The messages with the news of ours among them.

        What anybody else reports of ours can only be that it was refused.
        """
        return [each for each in messages if not isinstance(each, Succeeded | Failed | Lost)
                or not self.holds(each.ref) or self._claim_for_us(each.ref)] + self._news()

    def _news(self) -> list[Message]:
        """What there is to know, if it is time to look; calls that nobody has claimed are sent again."""
        if self._around.clock.monotonic() < self.moment():
            return []
        self._around.inbox.begin_look()
        rows = ride_out(self._around.clock, lambda _: self._around.ledger.claimed_calls(self._execution))
        now = self._around.clock.monotonic()
        self._looked_at, self._next_look = now, now + self._poll
        news: list[Message] = [each for row in rows for each in self._of_row(row, now)]
        news += self._of_vanished({row.ref for row in rows})
        self._send_again(now)
        return news

    def _of_row(self, row: ClaimedCallRow, now: float) -> Iterable[Message]:
        task = self._in_flight.get(row.ref)
        if task is None:
            return
        if task.began is None:
            self._note_begin(task, row, now)
        pulse = self._pulses.setdefault(row.ref, _Pulse(row.beat, now))
        if row.heard != pulse.heard:
            pulse.heard = row.heard
            yield Heartbeat(row.ref, row.progress, row.message)
        if row.beat != pulse.beat:
            pulse.beat, pulse.since = row.beat, now
        if row.report is not None:
            yield self._around.inbox.masked(row.report)
        elif now - pulse.since >= TAKES_OVER_AFTER:
            yield Lost(row.ref, "unreachable", f"{row.where} has shown no sign of life for "
                                               f"{TAKES_OVER_AFTER:g} s")

    def _note_begin(self, task: TaskProgress, row: ClaimedCallRow, now: float) -> None:
        task.note_claimed()
        sent = self._sent.pop(row.ref, now)
        # Of one that has ended before we looked we only know that it took no longer than this.
        task.begin(row.where, now if row.report is None else sent, row.claimed_at)
        self._watch.begin(task, hears=False)
        if row.ref not in self._adopted:
            self._books.tell(task, "started")

    def _of_vanished(self, seen: Collection[CallRef]) -> list[Message]:
        """What becomes of claimed calls whose rows somebody has removed."""
        return [Lost(ref, "unreachable", "nothing is stored of it any more")
                for ref, task in self._in_flight.items()
                if task.state == TaskState.STARTED and self.holds(ref) and ref not in seen]

    def forget(self, ref: CallRef) -> None:
        """The call has ended: what is stored of it goes with the next commit."""
        self._books.draft.calls.append(ref)
        self._pulses.pop(ref, None)
        self._sent.pop(ref, None)

    # --- what is said of them

    def note_sent(self, tasks: Iterable[TaskProgress]) -> None:
        """These have left: they are sent again if nobody claims them."""
        if not self._survives:
            return
        now = self._around.clock.monotonic()
        for task in tasks:
            self._sent[task.ref] = now
            heapq.heappush(self._unclaimed, (now + SENT_AGAIN_AFTER, task.ref, SENT_AGAIN_AFTER))

    def _send_again(self, now: float) -> None:
        """A message may have been lost; not while nobody is there, whose messages would pile up."""
        again = []
        while self._unclaimed and self._unclaimed[0][0] <= now:
            _, ref, pause = heapq.heappop(self._unclaimed)
            task = self._in_flight.get(ref)
            if task is not None and task.state == TaskState.SENT:
                pause = min(2 * pause, SENT_AGAIN_AT_LEAST_EVERY)
                heapq.heappush(self._unclaimed, (now + pause, ref, pause))
                again.append(task)
        send(self._around, filter(self._is_served, again))

    def _is_served(self, task: TaskProgress) -> bool:
        executor = self._around.executor
        return (executor.slots if task.queue is None else executor.slots_of(task.queue)) != 0

    def _claim_for_us(self, ref: CallRef) -> bool:
        """Keep workers from a call that ends here, before any has begun it; whether none has."""
        task = self._in_flight.get(ref)
        if task is None or task.state != TaskState.SENT:
            return False
        clock, key = self._around.clock, secrets.token_hex(16)
        won = ride_out(clock, lambda _: self._around.ledger.claim_calls([ref], "", clock.now(), key))
        if won:
            task.note_claimed()
        return bool(won)

    def withdraw(self, claim: Claim, refs: Collection[CallRef], reason: str) -> frozenset[CallRef]:
        """Take back what nobody has claimed; their tasks are stored as pending then."""
        ours = [ref for ref in refs if self.holds(ref)]
        if not ours:
            return frozenset()
        if self._survives:
            self._around.executor.withdraw(ours)  # it may forget its messages; whether it does is no matter
        back = ride_out(self._around.clock,
                        lambda _: self._around.ledger.withdraw_calls(claim, ours, reason))
        self._next_look = self._around.clock.monotonic()  # the others have been claimed
        return back
