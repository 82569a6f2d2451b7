"""Judges from outside whether promises were kept: rows by SQL, an effects file, and ``/proc``.

Imports nothing else of ARIA than the history that triggers kept, so that no fault of ARIA's can hide
itself. What is promised is written down here once more, as the design says it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from aria_core.testing.history import Change, keep_history, read_history

EXECUTION_MOVES = {
    "": {"pending"},
    "pending": {"pending", "started", "cancelled", "failed"},
    "started": {"started", "succeeded", "failed", "cancelling", "cancelled"},
    "cancelling": {"cancelling", "cancelled", "succeeded", "failed"},
    "cancelled": {"started"},
    "failed": {"started"},
    "succeeded": set(),
}
"""From each state, the states that may follow; a takeover may leave a state as it is."""
TASK_MOVES = {
    "": {"pending"},
    "pending": {"sent", "success"},
    "sent": {"started", "success", "failed", "retrying", "pending"},
    "started": {"success", "failed", "retrying", "pending"},
    "retrying": {"sent", "pending"},
    "failed": {"pending"},
    "success": set(),
}
LIFECYCLE = {
    "create": ("creating", "created"), "configure": ("configuring", "configured"),
    "start": ("starting", "started"), "stop": ("stopping", "configured"), "delete": ("deleting", "deleted"),
}
ACTIVE, ENDED = {"pending", "started", "cancelling"}, {"succeeded", "failed", "cancelled"}
MOST_LOST = 3
SECONDS_TO_DIE = 2.0
_STANDARD = ("Standard", "tosca.interfaces.node.lifecycle.Standard")
_CLOCK_GRAIN = 0.002
"""Seconds by which the database's clock may be behind that of the operations: it counts milliseconds."""
_LOG = re.compile(r"^effect (\d+)/(\d+)/(\d+)$")


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise of the design that was not kept, and how that shows."""

    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the effects file."""

    execution: int
    task: int
    attempt: int
    origin: str
    what: str
    at: float


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

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What an SQL query finds."""
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(query))]

    def history(self) -> list[Change]:
        """Every change of a state, in order."""
        return read_history(self._engine)

    def violations(self) -> list[Violation]:
        """Everything that is not as promised, now that no runner is at work.

        What a dead runner has left has `SECONDS_TO_DIE` to end.
        """
        until = time.monotonic() + SECONDS_TO_DIE
        while True:
            case = Case(self._engine, read_effects(self._effects))
            found = [Violation(promise, what) for promise, check in CHECKS for what in check(case)]
            if time.monotonic() > until or "S6" not in {each.promise for each in found}:
                return found
            time.sleep(0.02)


class Case:
    """What there is to judge, read once."""

    def __init__(self, engine: Engine, effects: list[Effect]) -> None:
        self.engine = engine
        self.effects = effects
        self.history = read_history(engine)
        self.executions = {row["id"]: row for row in self._rows("execution")}
        self.tasks = {row["id"]: row for row in self._rows("task")}
        self.nodes = {row["id"]: row for row in self._rows("node")}
        self.attempts = self._rows("attempt")
        self.logs = self._rows("log")
        self.begun: dict[int, list[Effect]] = defaultdict(list)
        self.ended: dict[int, list[Effect]] = defaultdict(list)
        for each in effects:
            {"begin": self.begun, "end": self.ended}[each.what][each.task].append(each)
        self.moves: dict[int, list[Change]] = defaultdict(list)
        for change in self.of_kind("task"):
            self.moves[change.row].append(change)

    def of_kind(self, kind: str) -> list[Change]:
        """The changes of executions, tasks or nodes, in order."""
        return [change for change in self.history if change.kind == kind]

    def _rows(self, table: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(text(
                f"SELECT * FROM {table} ORDER BY id"))  # noqa: S608  # nosec B608 # a name of ours
            return [dict(row._mapping) for row in rows]

    def name(self, task: int) -> str:
        """A task for people."""
        row = self.tasks.get(task)
        return f"task {task}" + (f" ({row['name']})" if row else "")


def read_effects(path: Path) -> list[Effect]:
    """The lines of an effects file, in order; raises ``ValueError`` for a line that is torn."""
    effects = []
    for line in path.read_text().splitlines() if path.exists() else ():
        mark, what, _, at = line.split()
        numbers, _, origin = mark.partition("@")
        execution, task, attempt = map(int, numbers.split("/"))
        effects.append(Effect(execution, task, attempt, origin, what, float(at)))
    return effects


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
    """What is stored as done was done, by the attempt that is stored."""
    for task, row in case.tasks.items():
        if row["state"] != "success" or row["stub"] is not None:
            continue
        if row["attempts"] not in {each.attempt for each in case.ended[task]}:
            yield f"{case.name(task)} is stored as done by attempt {row['attempts']}, which never ended"


def in_order(case: Case) -> Iterator[str]:
    """No operation begins before all that it waits for has been done."""
    by_position = {(row["execution_id"], row["position"]): task for task, row in case.tasks.items()}
    for task, begun in case.begun.items():
        if task not in case.tasks:
            yield f"an operation ran for task {task}, which is not stored"
            continue
        for other in _waits_for(case, task, by_position):
            done = [each.at for each in case.ended[other]]
            if not case.tasks[other]["ignore_failure"] and (not done or min(begun, key=_at).at < min(done)):
                yield f"{case.name(task)} began before {case.name(other)} had ended"


def _waits_for(case: Case, task: int, by_position: dict[tuple[int, int], int]) -> set[int]:
    """The operations that a task waits for, directly or through stubs."""
    found: set[int] = set()
    waiting = [task]
    while waiting:
        row = case.tasks[waiting.pop()]
        for position in json.loads(row["waits_for"]):
            other = by_position[row["execution_id"], position]
            if case.tasks[other]["stub"] is not None:
                waiting.append(other)
            else:
                found.add(other)
    return found


def _at(effect: Effect) -> float:
    return effect.at


# --- transitions happen exactly once, and only those there are

def legal_moves(case: Case) -> Iterator[str]:
    """Every change of a state is one of the tables', attempts grow by one when a task is sent."""
    for change in case.history:
        moves = {"execution": EXECUTION_MOVES, "task": TASK_MOVES}.get(change.kind)
        if moves is not None and change.after not in moves[change.before]:
            yield f"{change.kind} {change.row} went from {change.before or 'nothing'} to {change.after}"
    for task, moves_of_task in case.moves.items():
        for earlier, later in pairwise(moves_of_task):
            if later.first - earlier.first != int(later.after == "sent"):
                yield (f"{case.name(task)} went from attempt {earlier.first} to {later.first} "
                       f"as it became {later.after}")


def epochs_grow(case: Case) -> Iterator[str]:
    """Each takeover counts one."""
    last: dict[int, int] = {}
    for change in case.of_kind("execution"):
        if change.first - last.get(change.row, change.first) not in (0, 1):
            yield f"execution {change.row} went from epoch {last[change.row]} to {change.first}"
        last[change.row] = change.first


def one_active(case: Case) -> Iterator[str]:
    """At every moment a service has at most one execution that has not ended."""
    active: dict[int, set[int]] = defaultdict(set)
    for change in case.of_kind("execution"):
        of_service = active[change.third]
        (of_service.add if change.after in ACTIVE else of_service.discard)(change.row)
        if len(of_service) > 1:
            yield f"service {change.third} had the active executions {sorted(of_service)} at once"


def ended_is_ended(case: Case) -> Iterator[str]:
    """An execution that ended has nothing in flight, no owner, and a time; success means all of it."""
    for key, row in case.executions.items():
        if row["state"] not in ENDED:
            continue
        if row["ended_at"] is None or row["owner"] not in (None, "null"):
            yield f"execution {key} is {row['state']} and has no end or still an owner"
        for task in (each for each in case.tasks.values() if each["execution_id"] == key):
            fine = task["state"] == "success" or (task["state"] == "failed" and task["ignore_failure"])
            if task["state"] in ("sent", "started") or (row["state"] == "succeeded" and not fine):
                yield f"execution {key} is {row['state']}, its {case.name(task['id'])} {task['state']}"


# --- budgets, cancel, nodes, logs

def budgets(case: Case) -> Iterator[str]:
    """Nothing is sent whose failures or losses are used up; every one of them is told."""
    for task, row in case.tasks.items():
        told = [each["outcome"] for each in case.attempts if each["task_id"] == task]
        if told.count("failed") < row["failures"] or told.count("lost") < row["lost"]:
            yield f"{case.name(task)} counts attempts that are not told"
        for move in case.moves[task]:
            used_up = 0 < row["max_attempts"] <= move.second or move.third >= MOST_LOST
            if move.after == "sent" and used_up:
                yield f"{case.name(task)} was sent after {move.second} failures and {move.third} losses"


def nothing_after_cancel(case: Case) -> Iterator[str]:
    """From `cancelling` on nothing is sent, from `cancelled` on nothing begins, until somebody resumes."""
    sent = [move for move in case.of_kind("task") if move.after == "sent"]
    for since, until in _periods(case):
        if since.after not in ("cancelling", "cancelled"):
            continue
        end = (until.number, until.at) if until is not None else (float("inf"), float("inf"))
        for move in sent:
            if since.number < move.number < end[0] and _execution_of(case, move.row) == since.row:
                yield f"{case.name(move.row)} was sent while execution {since.row} was {since.after}"
        for each in case.effects if since.after == "cancelled" else ():
            begins = each.execution == since.row and each.what == "begin"
            if begins and since.at + _CLOCK_GRAIN < each.at < end[1]:
                yield f"{case.name(each.task)} began after execution {since.row} was cancelled"


def _execution_of(case: Case, task: int) -> int | None:
    row = case.tasks.get(task)
    return None if row is None else int(row["execution_id"])


def _periods(case: Case) -> Iterator[tuple[Change, Change | None]]:
    """Each state of an execution: the change that began it and the one that ended it."""
    of_execution: dict[int, list[Change]] = defaultdict(list)
    for change in case.of_kind("execution"):
        of_execution[change.row].append(change)
    for changes in of_execution.values():
        yield from zip(changes, [*changes[1:], None], strict=True)


def nodes_follow(case: Case) -> Iterator[str]:
    """A node is as the last lifecycle operation on it says."""
    expected: dict[int, str] = {}
    for move in case.of_kind("task"):
        row = case.tasks.get(move.row)
        if row is None or row["node_id"] is None or row["interface_name"] not in _STANDARD:
            continue
        during, after = LIFECYCLE.get(row["operation_name"], ("", ""))
        state = {"sent": during, "success": after, "failed": "error"}.get(move.after)
        if state:
            expected[row["node_id"]] = state
    for node, state in expected.items():
        if case.nodes[node]["state"] != state:
            row = case.nodes[node]
            yield f"node {row['name']} is {row['state']}, its operations say {state}"


def logs_belong(case: Case) -> Iterator[str]:
    """A log line is of the execution, task and attempt that wrote it."""
    for row in case.logs:
        task = case.tasks.get(row["task_id"]) if row["task_id"] is not None else None
        if task is not None and task["execution_id"] != row["execution_id"]:
            yield f"log {row['id']} is of execution {row['execution_id']}, its task of {task['execution_id']}"
        wrote = _LOG.match(row["message"])
        if wrote and tuple(map(int, wrote.groups())) != (row["execution_id"], row["task_id"], row["attempt"]):
            yield f"log {row['id']} ({row['message']}) is kept for {row['task_id']}/{row['attempt']}"


# --- what is left behind

def no_orphans(case: Case) -> Iterator[str]:
    """No process is left of an attempt that did not succeed."""
    marks = {f"{each.execution}/{each.task}/{each.attempt}@{each.origin}": each
             for each in case.effects if each.origin}
    for pid, mark in _marked_processes():
        each = marks.get(mark)
        row = case.tasks.get(each.task) if each is not None else None
        if each is not None and (row is None or (row["state"], row["attempts"]) != ("success", each.attempt)):
            yield f"process {pid} is left of {mark}, which did not succeed"


def _marked_processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is not ours
        for each in variables:
            if each.startswith(b"ARIA_ATTEMPT="):
                yield int(entry.name), each.partition(b"=")[2].decode().strip()


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
    ("transitions", legal_moves), ("S2", epochs_grow), ("S3", one_active), ("transitions", ended_is_ended),
    ("S7", budgets), ("S9", nothing_after_cancel), ("S12", nodes_follow), ("S17", logs_belong),
    ("S6", no_orphans), ("S15", database_is_whole),
)
"""Each promise and what tells whether it was kept."""
