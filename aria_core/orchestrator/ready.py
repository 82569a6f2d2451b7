"""The tasks that may be sent, in order; never two lifecycle operations of one node at once."""

from __future__ import annotations

from collections import deque

from aria_core.orchestrator.progress import TaskProgress


class ReadyQueue:
    """A queue in which tasks of a busy node stand aside until it is free."""

    def __init__(self) -> None:
        self._tasks: deque[TaskProgress] = deque()
        self._aside: dict[int, deque[TaskProgress]] = {}
        self._busy: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def put(self, task: TaskProgress) -> None:
        """Add a task at the end."""
        self._tasks.append(task)

    def take(self) -> TaskProgress | None:
        """The next task whose node is free, which is busy from now on; None if there is none."""
        while self._tasks:
            task = self._tasks.popleft()
            node = task.lifecycle_node
            if node is None:
                return task
            if node not in self._busy:
                self._busy.add(node)
                return task
            self._aside.setdefault(node, deque()).append(task)
        return None

    def drain(self) -> list[TaskProgress]:
        """Take out all, also what stands aside."""
        taken = [*self._tasks, *(task for aside in self._aside.values() for task in aside)]
        self._tasks.clear()
        self._aside.clear()
        return taken

    def release(self, task: TaskProgress) -> None:
        """The task does not run any more: its node is free, and what stood aside comes first."""
        node = task.lifecycle_node
        if node is not None:
            self._busy.discard(node)
            self._tasks.extendleft(reversed(self._aside.pop(node, ())))
