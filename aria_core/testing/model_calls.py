"""What the ledger of every model storage does for workers elsewhere: nobody runs what it has not won."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from aria_core.exceptions import FencedError
from aria_core.storage.model import ModelStorage
from aria_core.storage.records import Batch, CallBeat, Claim, ClaimedCallRow, TaskRow
from aria_core.testing.sample import (
    JSON_VALUES,
    MOMENT,
    add_service,
    at_once,
    elsewhere,
    end_execution,
    everything,
    moved,
    sent,
    start_service,
    take_over,
    tasks_of,
)
from aria_core.worker.calls import (
    CallRef,
    Edit,
    Failed,
    FinalReport,
    Lost,
    Started,
    Succeeded,
    report_to_json,
)

WHERE = "far away:42"
KEY = "1f"


def sent_calls(storage: ModelStorage, number: int = 3, name: str = "shop") -> tuple[Claim, list[CallRef]]:
    """An execution whose calls have left, and a last task that has not."""
    claim = start_service(storage, add_service(storage, name), number + 1)
    tasks = tasks_of(storage, claim)[:number]
    claim = storage.ledger.record_batch(claim, Batch([sent(task) for task in tasks]))
    return claim, [CallRef(claim.execution, task, 1) for task in tasks]


def claim_calls(storage: ModelStorage, refs: Sequence[CallRef], key: str = KEY) -> list[CallRef]:
    """What a worker wins of these calls."""
    return storage.ledger.claim_calls(refs, WHERE, MOMENT, key)


def states_of(storage: ModelStorage, claim: Claim) -> list[str]:
    """The states of an execution's tasks in order, as they are stored."""
    return [row.state for row in elsewhere(lambda: storage.ledger.load_graph(claim.execution))]


class CallsContract:
    """Claims of calls, their beats and reports, withdrawals and edits through ``storage.ledger``."""

    def test_a_claimed_call_is_started_and_has_a_row(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        won = claim_calls(storage, [refs[2], refs[0]])
        assert won == [refs[2], refs[0]]  # in the order in which they were asked for
        assert states_of(storage, claim) == ["started", "sent", "started", "pending"]
        assert storage.task.get(refs[0].task).started_at == MOMENT
        rows = elsewhere(lambda: storage.ledger.claimed_calls(claim.execution))
        assert rows == [ClaimedCallRow(ref, WHERE, 0, MOMENT) for ref in (refs[0], refs[2])]
        assert storage.ledger.pulse(claim.execution).batch == claim.batch  # that is the engine's to count

    def test_only_what_was_sent_and_is_still_wanted_is_won(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        other, _ = sent_calls(storage, name="another shop")
        before = everything(storage, claim)
        last = tasks_of(storage, claim)[3]
        strays = [replace(refs[0], attempt=2), replace(refs[0], attempt=0), CallRef(claim.execution, last, 1),
                  replace(refs[0], execution=other.execution), replace(refs[0], task=10**6),
                  replace(refs[0], task=2**70), replace(refs[0], attempt=-1)]
        assert claim_calls(storage, strays) == []
        assert everything(storage, claim) == before
        assert storage.ledger.request_cancel(claim.execution) == "cancelling"
        assert claim_calls(storage, refs) == []
        assert claim_calls(storage, []) == []
        assert storage.ledger.claimed_calls(claim.execution) == []
        assert storage.ledger.beat_calls([CallBeat(ref) for ref in strays]) == frozenset()
        storage.ledger.put_reports([Succeeded(ref) for ref in strays])
        assert not any(storage.ledger.record_call_edits(ref, ()) for ref in strays)

    def test_of_eight_workers_that_ask_for_the_same_calls_one_wins_each(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage, 40)
        asked = [refs[start:] + refs[:start] for start in range(0, 40, 5)]
        won = at_once(lambda worker: claim_calls(storage, asked[worker], f"{worker}"))
        assert all(isinstance(each, list) for each in won), won
        assert sorted(ref for each in won for ref in each) == refs
        keys = {(row.task_id, row.claim_key) for row in storage.claimed_call}
        assert keys == {(ref.task, f"{worker}") for worker, each in enumerate(won) for ref in each}
        assert states_of(storage, claim) == ["started"] * 40 + ["pending"]

    def test_a_claim_whose_commit_was_unknown_wins_the_same_again(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        assert claim_calls(storage, [refs[0], refs[1], refs[0]]) == refs[:2]  # each once
        assert claim_calls(storage, refs[:2]) == refs[:2]
        assert claim_calls(storage, refs[:2], "another") == []
        assert claim_calls(storage, refs, "another") == [refs[2]]
        assert claim_calls(storage, refs) == refs[:2]
        assert len(storage.ledger.claimed_calls(claim.execution)) == 3

    def test_beats_are_counted_and_say_how_far_a_call_is(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        claim_calls(storage, refs)
        beats = [CallBeat(refs[0], 2, 0.25, "a quarter \u2603\0\ud800"), CallBeat(refs[1])]
        assert storage.ledger.beat_calls(beats) == {refs[0], refs[1]}
        assert storage.ledger.beat_calls([CallBeat(refs[0], 3)]) == {refs[0]}
        rows = storage.ledger.claimed_calls(claim.execution)
        assert [(row.beat, row.heard, row.progress) for row in rows] == [
            (2, 3, 0.25), (1, 0, None), (0, 0, None)]
        assert (rows[0].message or "").startswith("a quarter \u2603")  # what is not told stays
        assert rows[1].message is None

    def test_a_beat_says_which_calls_are_still_wanted(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        claim_calls(storage, refs[:2])
        beats = [CallBeat(ref) for ref in refs]
        assert storage.ledger.beat_calls(beats) == {refs[0], refs[1]}  # nobody has claimed the last
        lost = [moved(refs[0].task, "started", "retrying", lost=1)]
        claim = storage.ledger.record_batch(claim, Batch(lost))
        assert storage.ledger.beat_calls(beats) == {refs[1]}
        take_over(storage, claim)
        assert storage.ledger.beat_calls(beats) == {refs[1]}
        storage.ledger.request_cancel(claim.execution)
        assert storage.ledger.beat_calls(beats) == frozenset()

    def test_reports_are_kept_as_they_are_until_a_batch_takes_them(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        node = storage.node.get_by_name("web").id
        claim_calls(storage, refs)
        edits = (Edit("node", node, "a", list(JSON_VALUES)), Edit("node", node, "b", deleted=True))
        reports: list[FinalReport] = [
            Succeeded(refs[0], list(JSON_VALUES), edits),
            Failed(refs[1], "OSError: \u2603", "1\n\t2", retry=False, after=1.5, classes=("OSError",)),
            Lost(refs[2], "killed", "by signal 9")]
        storage.ledger.put_reports(reports[1:])
        storage.ledger.put_reports([reports[0], Failed(refs[0], "too late")])
        storage.ledger.put_reports([Failed(ref, "another report") for ref in refs])
        rows = elsewhere(lambda: storage.ledger.claimed_calls(claim.execution))
        assert repr([row.report for row in rows]) == repr(reports)  # the first of each
        ends = [moved(ref.task, "started", "success", ended_at=MOMENT) for ref in refs[:2]]
        storage.ledger.record_batch(claim, Batch(ends, calls=refs[:2]))
        assert [row.ref for row in storage.ledger.claimed_calls(claim.execution)] == refs[2:]
        storage.ledger.put_reports([Failed(refs[0], "too late")])
        assert [row.ref for row in storage.ledger.claimed_calls(claim.execution)] == refs[2:]
        assert storage.ledger.beat_calls([CallBeat(ref) for ref in refs]) == {refs[2]}

    def test_reports_and_claims_are_exchanged_in_one_transaction(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        stored = {row.id: row for row in storage.ledger.load_graph(claim.execution)}

        def exchange(reports: Sequence[FinalReport], asked: Sequence[CallRef]) -> dict[CallRef, TaskRow]:
            return storage.ledger.exchange_calls(reports, asked, WHERE, MOMENT, KEY)

        won = exchange([Succeeded(refs[0], "before it was claimed: of no account")], refs[:1])
        assert won == {refs[0]: stored[refs[0].task]._replace(state="started")}
        won = exchange([Succeeded(refs[0], 7)], [refs[2], refs[0], refs[1]])
        assert list(won) == [refs[2], refs[0], refs[1]]
        assert [row.id for row in won.values()] == [ref.task for ref in won]
        assert exchange([], []) == exchange([Failed(refs[1], "no")], []) == {}
        rows = elsewhere(lambda: storage.ledger.claimed_calls(claim.execution))
        assert [row.ref for row in rows] == refs
        assert [row.report for row in rows] == [Succeeded(refs[0], 7), Failed(refs[1], "no"), None]

    def test_a_report_that_nobody_can_read_is_a_failure(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage, 5)
        claim_calls(storage, refs)
        storage.ledger.put_reports([Succeeded(ref) for ref in refs])
        good = storage.claimed_call.list(sort={"task_id": "asc"}).items
        started = json.dumps(report_to_json(Started(refs[3])))
        texts = ["{", "[]", '{"report": "mystery"}', started, good[0].report]
        for row, text in zip(good, texts, strict=True):
            row.report = text
            storage.claimed_call.update(row)
        reports = [row.report for row in elsewhere(lambda: storage.ledger.claimed_calls(claim.execution))]
        assert [each.ref for each in reports if isinstance(each, Failed)] == refs
        assert all("report" in each.error for each in reports if isinstance(each, Failed))

    def test_calls_that_nobody_has_claimed_are_taken_back(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage, 4)
        assert claim_calls(storage, refs[1:2]) == refs[1:2]
        claim = storage.ledger.record_batch(claim, Batch([moved(refs[3].task, "sent", "retrying")]))
        for _ in range(2):  # the first time its commit may have been unknown
            assert storage.ledger.withdraw_calls(claim, refs, "nobody came") == {refs[0], refs[2]}
        assert states_of(storage, claim) == ["pending", "started", "pending", "retrying", "pending"]
        row = storage.task.get(refs[0].task)
        assert (row.reason, row.attempts, row.interruptions, row.sent_at) == ("nobody came", 1, 0, None)
        assert claim_calls(storage, refs, "another") == []
        claim = storage.ledger.record_batch(claim, Batch([sent(refs[0].task, 1)]))
        assert storage.ledger.withdraw_calls(claim, refs[:1], "late") == frozenset()  # this one is another
        assert storage.ledger.withdraw_calls(claim, [], "none") == frozenset()

    def test_who_was_fenced_takes_nothing_back(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        new = take_over(storage, claim)
        new = storage.ledger.record_batch(new, Batch([sent(refs[0].task, 1)]))
        before = everything(storage, new)
        with pytest.raises(FencedError):
            storage.ledger.withdraw_calls(claim, [replace(refs[0], attempt=2)], "it is mine")
        with pytest.raises(FencedError):
            storage.ledger.withdraw_calls(replace(claim, execution=10**6), refs, "it is mine")
        assert everything(storage, new) == before

    def test_a_call_is_either_won_or_taken_back(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage, 60)

        def act(who: int) -> frozenset[CallRef]:
            got: set[CallRef] = set()
            for start in range(0, 60, 6):
                some = refs[start:start + 6] if who % 2 else refs[start:start + 6][::-1]
                got.update(storage.ledger.withdraw_calls(claim, some, "w") if who == 0
                           else claim_calls(storage, some, f"{who} {start}"))
            return frozenset(got)

        outcomes = at_once(act, 5)
        assert all(isinstance(each, frozenset) for each in outcomes), outcomes
        assert sum(map(len, outcomes)) == 60
        assert states_of(storage, claim)[:60] == [
            "pending" if ref in outcomes[0] else "started" for ref in refs]
        assert {row.ref for row in storage.ledger.claimed_calls(claim.execution)} == set(refs) - outcomes[0]

    def test_a_takeover_leaves_claimed_calls_alone(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage, 5)
        claim_calls(storage, refs[:3])
        storage.ledger.put_reports([Succeeded(refs[1], 7)])
        ended = [moved(refs[2].task, "started", "retrying", lost=1), moved(refs[3].task, "sent", "started")]
        claim = storage.ledger.record_batch(claim, Batch(ended))
        new = take_over(storage, claim)
        assert states_of(storage, new) == ["started", "started", "retrying", "pending", "pending", "pending"]
        rows = storage.ledger.load_graph(claim.execution)
        assert [row.interruptions for row in rows] == [0, 0, 0, 1, 1, 0]
        left = storage.ledger.claimed_calls(claim.execution)
        assert [(row.ref, row.report) for row in left] == [(refs[0], None), (refs[1], Succeeded(refs[1], 7))]
        assert storage.ledger.beat_calls([CallBeat(refs[0])]) == {refs[0]}
        end = moved(refs[1].task, "started", "success", ended_at=MOMENT)
        storage.ledger.record_batch(new, Batch([end], calls=[refs[1]]))

    def test_of_claims_during_a_takeover_none_is_forgotten(self, storage: ModelStorage) -> None:
        for round_ in range(3):
            claim, refs = sent_calls(storage, 40, f"shop {round_}")

            def act(who: int, refs: list[CallRef] = refs, claim: Claim = claim) -> list[CallRef]:
                if who == 0:
                    take_over(storage, claim)
                    return []
                return [ref for start in range(0, 40, 4)
                        for ref in claim_calls(storage, refs[start:start + 4], f"{who} {start}")]

            outcomes = at_once(act, 4)
            assert all(isinstance(each, list) for each in outcomes), outcomes
            won = {ref for each in outcomes for ref in each}
            assert {row.ref for row in storage.ledger.claimed_calls(claim.execution)} == won
            assert states_of(storage, claim)[:40] == [
                "started" if ref in won else "pending" for ref in refs]

    def test_only_a_call_that_runs_commits_edits_early(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        node = storage.node.get_by_name("web")

        def flush(ref: CallRef, value: int) -> bool:
            return storage.ledger.record_call_edits(ref, [Edit("node", node.id, "port", value)])

        claim_calls(storage, refs[:2])
        assert flush(refs[0], 1)
        assert not flush(refs[2], 2)
        assert not flush(replace(refs[0], attempt=2), 3)
        assert dict(storage.node.get(node.id).attributes) == {"port": 1}
        take_over(storage, claim)
        storage.ledger.request_cancel(claim.execution)
        assert flush(refs[1], 4)
        now = storage.ledger.pulse(claim.execution)
        claim = Claim(claim.execution, now.epoch, now.batch, now.state)
        claim = storage.ledger.record_batch(claim, Batch([moved(refs[1].task, "started", "pending")]))
        assert not flush(refs[1], 5)
        end_execution(storage, claim)
        assert not flush(refs[0], 6)
        assert dict(storage.node.get(node.id).attributes) == {"port": 4}

    def test_claimed_calls_go_with_their_execution(self, storage: ModelStorage) -> None:
        claim, refs = sent_calls(storage)
        claim_calls(storage, refs)
        end_execution(storage, claim)
        storage.execution.delete(storage.execution.get(claim.execution))
        assert storage.claimed_call.list().items == []
