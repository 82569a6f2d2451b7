"""Judges from outside whether promises were kept: rows by SQL, files that operations write, and ``/proc``.

Imports nothing else of ARIA than what triggers kept and operations left, so that no fault of ARIA's can
hide itself. What is promised is written down here and in `aria_core.testing.state_rules` once more, as the
design says it. The clocks of the database and of the operations must agree to `_CLOCK_GRAIN`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from aria_core.testing.evidence import OF_OPERATIONS, Case
from aria_core.testing.fault_points import ACKNOWLEDGED
from aria_core.testing.history import Change, keep_history, read_history
from aria_core.testing.state_rules import (
    ACTIVE,
    ENDED,
    MOST_LOST,
    acknowledged_is_there,
    budgets,
    dispatched_in_order,
    ended_is_ended,
    legal_moves,
    nodes_follow,
    nothing_sent_after_cancel,
    one_active,
    runners_take_turns,
)
from aria_core.testing.traces import Effect, marked_processes, read_acknowledged, read_effects

__all__ = ["ACTIVE", "CHECKS", "ENDED", "MOST_LOST", "Judge", "Violation", "read_effects"]

SECONDS_TO_DIE = 2.0
_CLOCK_GRAIN = 0.002
"""Seconds by which the database's clock may be behind that of the operations: it counts milliseconds."""
_LOG = re.compile(r"^effect (\d+)/(\d+)/(\d+)$")
_OURS = "aria_core.testing.effects:"
"""Operations that always say when they begin and end."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise of the design that was not kept, and how that shows."""

    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


class Judge:
    """Judges one database and one effects file, at a moment when no runner works."""

    def __init__(self, url: str, effects: Path) -> None:
        self._engine = create_engine(url, pool_pre_ping=True)  # a server may be restarted between two looks
        self._effects = effects

    def watch(self) -> None:
        """Have the database keep the history; call it once the tables are there and before anything runs."""
        keep_history(self._engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def case(self, spare: Collection[tuple[int, int]] = ()) -> Case:
        """What there is to judge, as it is now; see `violations`."""
        effects = [each for each in self.effects() if (each.task, each.attempt) not in spare]
        return Case(self._engine, effects, read_acknowledged(self._effects.with_name(ACKNOWLEDGED)))

    def effects(self) -> list[Effect]:
        """The lines of the effects file, as they are now."""
        return read_effects(self._effects)

    def history(self) -> list[Change]:
        """Every change of a state, in order."""
        return read_history(self._engine)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What an SQL query finds."""
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(query))]

    def violations(self, besides: Collection[str] = (), spare: Collection[tuple[int, int]] = ()
                   ) -> list[Violation]:
        """Everything that is not as promised, now that no runner is at work, but for the promises `besides`.

        What the attempts `spare`, each a task and a number, did is not looked at. What a dead runner has left
        has `SECONDS_TO_DIE` to end.
        """
        checks = [(promise, check) for promise, check in CHECKS if promise not in besides]
        until = time.monotonic() + SECONDS_TO_DIE
        while True:
            case = self.case(spare)
            found = [Violation(promise, what) for promise, check in checks for what in check(case)]
            if time.monotonic() > until or not any("S6" in each.promise for each in found):
                return found
            time.sleep(0.02)


# --- S1, S5: what runs, and how often

def written_ahead(case: Case) -> Iterator[str]:
    """No operation begins that was not stored as sent before, each attempt at most once."""
    for task, begun in case.begun.items():
        sent = {move.first: move.at for move in case.moves[task] if move.after == "sent"}
        seen = set()
        for each in begun:
            if each.attempt not in sent or each.at < sent[each.attempt] - _CLOCK_GRAIN:
                yield f"{case.name(task)} began attempt {each.attempt} before that was stored"
            if each.attempt in seen:
                yield f"{case.name(task)} began attempt {each.attempt} twice"
            seen.add(each.attempt)


def never_again(case: Case) -> Iterator[str]:
    """What succeeded does not begin again."""
    for task, begun in case.begun.items():
        done = [move for move in case.moves[task] if move.after == "success"]
        for each in begun:
            if done and (each.attempt > done[0].first or each.at > done[0].at + _CLOCK_GRAIN):
                yield f"{case.name(task)} began attempt {each.attempt} after its success was stored"


def success_happened(case: Case) -> Iterator[str]:
    """What is stored as done was done, by the attempt that is stored; in a dry execution nothing is."""
    for each in case.effects:
        if case.is_dry(each.execution):
            yield f"{case.name(each.task)} did something, and its execution {each.execution} is dry"
    for task, row in case.tasks.items():
        tells = task in case.begun or str(row["function"]).startswith(_OURS)
        if row["state"] != "success" or row["stub"] or not tells or case.is_dry(row["execution_id"]):
            continue
        if row["attempts"] not in {each.attempt for each in case.ended[task]}:
            yield f"{case.name(task)} is stored as done by attempt {row['attempts']}, which never ended"


def in_order(case: Case) -> Iterator[str]:
    """No operation begins before all that it waits for, directly or through stubs, has ended."""
    for task in case.begun.keys() - case.moves.keys():
        yield f"an operation ran for {case.name(task)}, which was never stored"
    for rows in case.of_execution.values():
        ready: dict[int, tuple[float, int]] = {}  # by position: the last line to wait for, and whose it is
        for row in sorted(rows, key=lambda each: int(each["position"])):
            task = row["id"]
            line, other = max((ready[each] for each in json.loads(row["waits_for"])), default=(-1.0, 0))
            begun = case.begun.get(task)
            if begun and begun[0].line < line:
                yield f"{case.name(task)} began before {case.name(other)} had ended"
            ready[row["position"]] = (line, other) if row["stub"] else _end(case, row)


def _end(case: Case, row: dict[str, Any]) -> tuple[float, int]:
    """The line at which an operation first ended; those that leave no lines have nothing to compare."""
    task = int(row["id"])
    if row["ignore_failure"] or task not in case.begun:
        return -1.0, task
    return min((float(each.line) for each in case.ended[task]), default=float("inf")), task


# --- what is left behind

def nothing_runs_after_the_end(case: Case) -> Iterator[str]:
    """When an execution has ended, none of its operations runs, until somebody resumes."""
    lines: dict[int, list[Effect]] = {}
    for each in case.effects:
        lines.setdefault(each.execution, []).append(each)
    epochs = case.epochs()
    for since, until in case.periods():
        end = float("inf") if until is None else until.at
        for each in lines.get(since.row, ()) if since.after in ENDED else ():
            late = since.at + _CLOCK_GRAIN < each.at < end
            if late and each.what in OF_OPERATIONS and _is_to_end(case, each, since, epochs):
                yield f"{case.name(each.task)} {each.what}s after execution {since.row} was {since.after}"


def _is_to_end(case: Case, line: Effect, end: Change, epochs: dict[tuple[int, int], int]) -> bool:
    """Who took over can end processes of the runner before it, and none of its threads."""
    sent = (move for move in case.moves[line.task] if move.after == "sent" and move.first == line.attempt)
    return bool(line.origin) or any(epochs.get((move.execution, move.batch)) == end.first for move in sent)


def attempts_take_turns(case: Case) -> Iterator[str]:
    """When an attempt begins, the processes of those before it have ended."""
    for task, lines in case.shown.items():
        newest = 0
        for each in lines:
            newest = max(newest, each.attempt)
            if each.attempt < newest and each.origin:
                yield f"attempt {each.attempt} of {case.name(task)} still ran when attempt {newest} had begun"


def no_orphans(case: Case) -> Iterator[str]:
    """No process is left of an attempt that did not end, whether or not it has written anything."""
    for pid, mark, has_ended in _left(case):
        if not has_ended:
            yield f"process {pid} is left of {mark}, which did not succeed"


def nothing_unstored_stays(case: Case) -> Iterator[str]:
    """No process is left of an attempt that ended, and whose success was not stored.

    Until the execution is resumed or cancelled nobody can tell: the runner died between the two.
    """
    for pid, mark, has_ended in _left(case):
        if has_ended:
            yield f"process {pid} is left of {mark}, whose success was not stored"


def _left(case: Case) -> Iterator[tuple[int, str, bool]]:
    """Each process of an attempt that is not stored as done, its mark, whether its operation had ended."""
    origins = case.origins | {each.origin for each in case.effects if each.origin}
    for pid, mark in marked_processes():
        numbers, _, origin = mark.partition("@")
        if origin not in origins:
            continue
        _, task, attempt = map(int, numbers.split("/"))
        last = case.moves[task][-1:]  # the row may have been deleted since
        if [(move.after, move.first) for move in last] != [("success", attempt)]:
            yield pid, mark, any(each.attempt == attempt for each in case.ended[task])


def servers_stay(case: Case) -> Iterator[str]:
    """What an operation has left running when its success was stored runs until another stops it."""
    serving: dict[int, Effect] = {}
    for each in case.effects:
        if each.what == "serve":
            serving[each.pid] = each
        elif each.what == "stop":
            serving.pop(each.pid, None)
    marks = dict(marked_processes())
    for pid, each in serving.items():
        row = case.tasks.get(each.task)
        belongs = row is not None and (row["state"], row["attempts"]) == ("success", each.attempt)
        if belongs and marks.get(pid) != each.mark:
            yield f"the server {pid} of {each.mark} is gone, and nobody has stopped it"


def logs_belong(case: Case) -> Iterator[str]:
    """A log line is of the execution, task and attempt that wrote it."""
    for row in case.logs:
        task = case.tasks.get(row["task_id"]) if row["task_id"] is not None else None
        if task is not None and task["execution_id"] != row["execution_id"]:
            yield f"log {row['id']} is of execution {row['execution_id']}, its task of {task['execution_id']}"
        wrote = _LOG.match(row["message"])
        if wrote and tuple(map(int, wrote.groups())) != (row["execution_id"], row["task_id"], row["attempt"]):
            yield f"log {row['id']} ({row['message']}) is kept for {row['task_id']}/{row['attempt']}"


def nothing_claimed_stays(case: Case) -> Iterator[str]:
    """What a worker elsewhere has claimed is forgotten when its execution has ended."""
    for row in case.claimed:
        execution = case.executions.get(row["execution_id"])
        if execution is None or execution["state"] in ENDED:
            ended = "is gone" if execution is None else execution["state"]
            call = f"{row['execution_id']}/{row['task_id']}/{row['attempt']}"
            yield f"the claimed call {call} is left, and its execution {ended}"


def database_is_whole(case: Case) -> Iterator[str]:
    """The database finds nothing wrong with itself."""
    if case.engine.dialect.name != "sqlite":
        return
    with case.engine.connect() as connection:
        for (line,) in connection.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield f"integrity_check says {line}"
        for row in connection.execute(text("PRAGMA foreign_key_check")):
            yield f"a row of {row[0]} refers to a row of {row[2]} that is not there"


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("S1", written_ahead), ("S5", never_again), ("S5", success_happened), ("order", in_order),
    ("order", dispatched_in_order), ("transitions", legal_moves), ("transitions", ended_is_ended),
    ("S2", runners_take_turns), ("S3", one_active), ("S7", budgets), ("S9", nothing_sent_after_cancel),
    ("S9", nothing_runs_after_the_end), ("S12", nodes_follow), ("S17", logs_belong),
    ("S6", attempts_take_turns), ("S6", no_orphans), ("S6 unstored", nothing_unstored_stays),
    ("S6 servers", servers_stay), ("S15", acknowledged_is_there), ("S15", database_is_whole),
    ("S20", nothing_claimed_stays),
)
"""Each promise and what tells whether it was kept."""
