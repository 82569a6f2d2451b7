"""What the rows and their history must look like, whatever died: no clock and no file is asked.

Each function yields what is not as promised. Two changes with one `batch` of one execution were committed
together, and a transaction with a greater one came later.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby, pairwise

from aria_core.testing.evidence import Case
from aria_core.testing.history import Change

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
GONE = "deleted"
MOST_LOST = 3
_STANDARD = ("Standard", "tosca.interfaces.node.lifecycle.Standard")


# --- transitions happen exactly once, and only those there are

def legal_moves(case: Case) -> Iterator[str]:
    """Every change of a state is one of the tables', attempts grow by one when a task is sent."""
    for change in case.history:
        moves = {"execution": EXECUTION_MOVES, "task": TASK_MOVES}.get(change.kind)
        if moves is not None and change.after != GONE and change.after not in moves[change.before]:
            yield f"{change.kind} {change.row} went from {change.before or 'nothing'} to {change.after}"
    for task, moves_of_task in case.moves.items():
        row = case.tasks.get(task)
        skipped = any((move.before, move.after) == ("pending", "success") for move in moves_of_task)
        if row is not None and row["stub"] is None and skipped:
            yield f"{case.name(task)} went from pending to success, and is no stub"
        for earlier, later in pairwise(moves_of_task):
            if later.first - earlier.first != int(later.after == "sent"):
                yield (f"{case.name(task)} went from attempt {earlier.first} to {later.first} "
                       f"as it became {later.after}")


def ended_is_ended(case: Case) -> Iterator[str]:
    """An execution that ended has nothing in flight, no owner, and a time; success means all of it."""
    for key, row in case.executions.items():
        if row["state"] not in ENDED:
            continue
        if row["ended_at"] is None or row["owner"] not in (None, "null"):
            yield f"execution {key} is {row['state']} and has no end or still an owner"
        for task in case.of_execution[key]:
            fine = task["state"] == "success" or (task["state"] == "failed" and task["ignore_failure"])
            if task["state"] in ("sent", "started") or (row["state"] == "succeeded" and not fine):
                yield f"execution {key} is {row['state']}, its {case.name(task['id'])} {task['state']}"


def dispatched_in_order(case: Case) -> Iterator[str]:
    """Nothing is sent, and no stub is settled, before all that it waits for is stored as done."""
    for execution, rows in case.of_execution.items():
        by_position = {row["position"]: row for row in rows}
        done = {row["position"]: _done(case, row) for row in rows}
        for row in rows:
            first = next((move for move in case.moves[row["id"]] if move.after in ("sent", "success")), None)
            for position in json.loads(row["waits_for"]) if first is not None else ():
                was_done = done[position]
                if first is not None and (was_done is None or was_done > first.batch):
                    yield (f"{case.name(row['id'])} of execution {execution} became {first.after} before "
                           f"{case.name(by_position[position]['id'])} was done")


def _done(case: Case, row: dict[str, object]) -> int | None:
    """The transaction from which on those who wait for a task may go on."""
    for move in case.moves[int(str(row["id"]))]:
        if move.after == "success" or (move.after == "failed" and row["ignore_failure"]):
            return move.batch
    return None


# --- owners

def runners_take_turns(case: Case) -> Iterator[str]:
    """Each takeover counts one, each transaction counts one: nobody writes beside the owner."""
    for execution, changes in case.changes.items():
        for earlier, later in pairwise(changes):
            if later.first - earlier.first not in (0, 1):
                yield f"execution {execution} went from epoch {earlier.first} to {later.first}"
            counts = later.second - earlier.second
            if counts != 1 and (counts, later.after) != (0, GONE) and not _asks_to_cancel(earlier, later):
                yield (f"execution {execution} went from transaction {earlier.second} to {later.second}: "
                       "two runners wrote")


def _asks_to_cancel(earlier: Change, later: Change) -> bool:
    """Anybody may, and counts nothing."""
    return later.second == earlier.second and (earlier.after, later.after) in (
        ("pending", "cancelled"), ("started", "cancelling"))


def one_active(case: Case) -> Iterator[str]:
    """At every moment a service has at most one execution that has not ended."""
    active: dict[int, set[int]] = defaultdict(set)
    for change in case.of_kind("execution"):
        of_service = active[change.third]
        already = len(of_service)
        (of_service.add if change.after in ACTIVE else of_service.discard)(change.row)
        if len(of_service) > max(already, 1):
            yield f"service {change.third} had the active executions {sorted(of_service)} at once"


def acknowledged_is_there(case: Case) -> Iterator[str]:
    """What a runner was told is committed is committed."""
    stored = {(change.row, change.first, change.second) for change in case.of_kind("execution")}
    for each in case.acknowledged:
        if (each.execution, each.epoch, each.batch) not in stored:
            yield f"transaction {each.batch} of execution {each.execution} was committed and is not there"


# --- budgets, cancel, nodes

def budgets(case: Case) -> Iterator[str]:
    """Nothing is sent whose failures or losses are used up; every one of them is told and counted."""
    for task, row in case.tasks.items():
        moves, resets = case.moves[task], _resets(case.moves[task])
        told = [each["number"] for each in case.told[task]]
        counted = sum(number > (resets[-1].first if resets else 0) for number in told)
        if counted != row["failures"] + row["lost"]:
            yield (f"{case.name(task)} counts {row['failures']} failures and {row['lost']} losses, "
                   f"told are {counted}")
        failed = [each["number"] for each in case.told[task] if each["outcome"] == "failed"]
        for move in (each for each in moves if each.after == "sent"):
            since = max((reset.first for reset in resets if reset.number < move.number), default=0)
            failures = max(move.second, sum(since < number < move.first for number in failed))
            if 0 < row["max_attempts"] <= failures or move.third >= MOST_LOST:
                yield f"{case.name(task)} was sent after {failures} failures and {move.third} losses"


def _resets(moves: list[Change]) -> list[Change]:
    """Where somebody resumed with retry-failed: the budgets begin anew."""
    return [move for move in moves if (move.before, move.after) == ("failed", "pending")]


def nothing_sent_after_cancel(case: Case) -> Iterator[str]:
    """From `cancelling` on nothing is sent, until somebody resumes."""
    sent: dict[int, list[Change]] = defaultdict(list)
    for move in case.of_kind("task"):
        if move.after == "sent":
            sent[move.execution].append(move)
    for since, until in case.periods():
        end = float("inf") if until is None else until.number
        for move in sent[since.row] if since.after in ("cancelling", "cancelled") else ():
            if since.number < move.number < end:
                yield f"{case.name(move.row)} was sent while execution {since.row} was {since.after}"


def nodes_follow(case: Case) -> Iterator[str]:
    """After each transaction a node is as the lifecycle operations in it say, and else as before."""
    states = {node: row["state"] for node, row in case.nodes.items()}
    for change in reversed(case.of_kind("node")):
        states[change.row] = change.before  # at last: as before the first change
    in_order = sorted((each for each in case.history if each.kind != "execution"),
                      key=lambda each: (each.execution, each.batch))
    for (execution, _), together in groupby(in_order, key=lambda each: (each.execution, each.batch)):
        said: dict[int, set[str]] = defaultdict(set)
        changed: dict[int, str] = {}
        for change in together:
            if change.kind == "node" and change.before:
                changed[change.row] = change.after
            elif change.kind == "task" and not case.is_dry(execution):
                _note_lifecycle(case, change, said)
        states.update(changed)
        for node in said.keys() | changed.keys():
            if node in case.nodes and states[node] not in said[node]:
                says = " or ".join(sorted(said[node])) or "nothing"
                yield f"node {case.nodes[node]['name']} is {states[node]}, its operations say {says}"


def _note_lifecycle(case: Case, move: Change, said: dict[int, set[str]]) -> None:
    row = case.tasks.get(move.row)
    if row is None or row["node_id"] is None or row["interface_name"] not in _STANDARD:
        return
    during, after = LIFECYCLE.get(row["operation_name"], ("", ""))
    state = during and {"sent": during, "success": after, "failed": "error"}.get(move.after)
    if state:
        said[row["node_id"]].add(state)
