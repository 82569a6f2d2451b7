"""No cell of the fault matrix is missing."""

from __future__ import annotations

EXECUTORS, DATABASES = ("thread", "process"), ("sqlite", "postgresql")


def cells(executors: tuple[str, ...], databases: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(executor, database) for executor in executors for database in databases}


ALL = cells(EXECUTORS, DATABASES)
ON_PROCESSES = cells(("process",), DATABASES)
ON_SQLITE = cells(("process",), ("sqlite",))
ON_POSTGRESQL = cells(("process",), ("postgresql",))
ELSEWHERE = cells(("celery-valkey", "celery-rabbitmq"), ("postgresql",))
NO_EXECUTOR = cells(("none",), ("sqlite",))

MATRIX = {
    1: ALL, 2: ALL,  # kill -9 at any moment: the runner, its group
    3: ON_SQLITE,  # kill -9 at every write of SQLite
    4: ALL | ELSEWHERE,  # kill -9 at every named point
    5: ALL,  # a frozen runner
    6: ON_SQLITE,  # frozen with SQLite's write lock
    7: ON_PROCESSES, 8: ON_PROCESSES,  # eight resumes, eight starts
    9: ALL, 10: ALL,  # cancel against finish, kill -9 while cancelling
    # Operations that die or leave: a Python function on the thread executor takes its runner with it, which
    # is case 1. Those that hang or leave daemons: scripts, which are children on every executor.
    11: ON_PROCESSES, 12: ON_PROCESSES, 13: ALL, 14: ALL,
    15: ON_SQLITE, 16: ALL, 17: ON_SQLITE, 18: ON_SQLITE,  # plugins and outputs that harm
    19: ON_SQLITE, 20: ON_SQLITE, 21: ON_SQLITE,  # a busy database, a full disk, a failing one
    22: ON_SQLITE, 23: ON_SQLITE, 24: ON_SQLITE,  # read-only, replaced, corrupted
    25: ON_POSTGRESQL, 26: ON_POSTGRESQL, 27: ON_POSTGRESQL,  # a server that restarts, hangs up, falls silent
    28: ELSEWHERE, 29: ELSEWHERE,  # a broker, a worker or its child, a runner, a database that die
    30: ELSEWHERE, 31: ELSEWHERE,  # a worker without database, messages that come again
    32: ON_PROCESSES,  # clocks that jump
    33: ALL, 34: ON_SQLITE,  # signals, terminals
    35: ALL, 36: cells(("thread",), DATABASES), 37: cells(("thread",), DATABASES),  # graphs
    38: ALL,  # names
    39: cells(("thread",), DATABASES) | ON_SQLITE,  # leaks
    40: NO_EXECUTOR, 41: NO_EXECUTOR, 42: NO_EXECUTOR, 43: NO_EXECUTOR,  # archives of plugins
    44: NO_EXECUTOR, 45: NO_EXECUTOR | ON_SQLITE,  # torn files, order of syncs
    46: ON_PROCESSES,  # upgrades in flight
    47: ALL,  # executors and hook extensions that raise
    48: ON_SQLITE,  # no descriptors, no processes, no room for logs
}
"""By case: the executors and databases on which it must be tried."""


def test_no_cell_is_missing(cells_collected: set[tuple[int, str, str]]) -> None:
    wanted = {(case, *cell) for case, cells_of_case in MATRIX.items() for cell in cells_of_case}
    missing = sorted(wanted - cells_collected)
    assert not missing, "no test has the cells " + ", ".join(map(str, missing))
