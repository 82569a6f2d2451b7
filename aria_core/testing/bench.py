"""What the tests of an executor stand on: the opened executor, its inbox, a service and a directory."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from aria_core.orchestrator.executor import Executor
from aria_core.testing import operations
from aria_core.testing.inbox import PATIENCE, RecordingInbox
from aria_core.testing.memory_channel import MemoryChannel
from aria_core.worker.calls import Actor, Call, CallRef, Environment, FinalReport, Succeeded

OPERATIONS = "aria_core.testing.operations"
PLUGIN_OPERATIONS = "plugin_operations"
"""The same, where `with_operations` has put them."""
NODE = 7
SECOND = 1.0
_QUIET = 0.3


def with_operations(environment: Environment, libraries: Path) -> Environment:
    """Put `PLUGIN_OPERATIONS` among the libraries of a plugin, which sees nothing of ours."""
    libraries.mkdir(parents=True, exist_ok=True)
    shutil.copy(operations.__file__, libraries / f"{PLUGIN_OPERATIONS}.py")
    return environment


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return not Path("/proc/self").exists()
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


class Bench:
    """An opened executor under test; leaving the block closes it and ends what its calls left."""

    def __init__(self, executor: Executor, directory: Path, patience: float = PATIENCE) -> None:
        self.executor = executor
        self.directory = directory
        self.patience = patience
        self.resources: MutableMapping[str, bytes] = {}
        self.node = NODE
        """The id of the node that calls belong to."""
        self.questions = 0
        self.inbox = RecordingInbox(self._answer)
        self.origin = secrets.token_hex(6)
        self.pids_file = str(directory / "pids")
        self._answers_flow = threading.Event()
        self._answers_flow.set()
        self._releases: list[Callable[[], None]] = []
        self._count = 0

    def __enter__(self) -> Self:
        self.executor.open(self.inbox)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._answers_flow.set()
        for release in self._releases:
            release()
        self.executor.close(1.0)
        if Path(self.pids_file).exists():
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def needs(self, capability: str, at_least_slots: int = 0) -> int:
        """Skip the test unless the executor declares this; how many slots it has (None counts as 0)."""
        slots = self.executor.slots or 0
        if not getattr(self.executor, capability):
            pytest.skip(f"{type(self.executor).__name__} declares {capability} = False")
        if slots < at_least_slots:
            pytest.skip(f"{type(self.executor).__name__} declares slots = {self.executor.slots}")
        return slots

    def is_not_for(self, capability: str, why: str) -> None:
        """Skip the test if the executor declares this; `why` says what it has instead."""
        if getattr(self.executor, capability):
            pytest.skip(f"{type(self.executor).__name__} declares {capability} = True: {why}")

    def next_number(self) -> int:
        """A number no call has had yet."""
        self._count += 1
        return self._count

    def submit(self, operation: str, attempt: int = 1, **arguments: Any) -> CallRef:
        """Submit such a `call`."""
        call = self.call(operation, attempt, **arguments)
        self.executor.submit(call)
        return call.ref

    def call(self, operation: str, attempt: int = 1, **arguments: Any) -> Call:
        """A call of one of `aria_core.testing.operations`, on the node `node`."""
        return Call(CallRef(3, self.next_number(), attempt), f"{OPERATIONS}:{operation}", arguments,
                    Actor("node", self.node, "node"), name=f"Test:{operation}@node:node", service=1,
                    service_name="service", origin=self.origin)

    def of_plugin(self, call: Call) -> Call:
        """The same call, of a plugin that has the operations for tests and nothing else."""
        libraries = self.directory / "libraries"
        environment = with_operations(Environment("bench", None, (), (str(libraries),)), libraries)
        function = call.function.replace(OPERATIONS, PLUGIN_OPERATIONS)
        return replace(call, plugin=environment, function=function)

    def wrapped_call(self) -> tuple[Call, Path]:
        """A call with a wrapper, and the file into which that writes."""
        file = self.directory / "written down"
        return replace(self.call("echo", file=str(file)), wrappers=(f"{OPERATIONS}:writing_down",)), file

    def finish(self, ref: CallRef) -> FinalReport:
        """Wait for the final report."""
        return self.inbox.wait_for(ref, self.patience)

    def run(self, operation: str, **arguments: Any) -> FinalReport:
        """Submit a call and wait for its final report."""
        return self.finish(self.submit(operation, **arguments))

    def result(self, operation: str, **arguments: Any) -> Any:
        """Run a call that must succeed; its result."""
        report = self.run(operation, **arguments)
        assert isinstance(report, Succeeded), report
        return report.result

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        """Take back what has not begun."""
        return self.executor.withdraw(refs)

    def block(self) -> tuple[CallRef, Callable[[], None]]:
        """Submit a call that runs until the function that comes with it is called."""
        gate = self.directory / f"gate-{self._count}"
        self._releases.append(gate.touch)
        return self.submit("wait_for_file", path=str(gate)), gate.touch

    def folder(self, name: str) -> str:
        """A new folder."""
        folder = self.directory / name
        folder.mkdir()
        folder.chmod(self.directory.stat().st_mode)
        return str(folder)

    def pids(self) -> list[int]:
        """The pids an operation wrote to `pids_file`, once they are there."""
        self.wait_until(Path(self.pids_file).exists)
        return [int(each) for each in Path(self.pids_file).read_text().split()]

    def told_at_the_end(self, ref: CallRef) -> list[Mapping[str, Any]]:
        """What the call had told when its final report came."""
        return self.inbox.told_before_end(ref)

    @contextmanager
    def holding_answers(self) -> Iterator[None]:
        """No question is answered inside the block."""
        self._answers_flow.clear()
        try:
            yield
        finally:
            self._answers_flow.set()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until `condition` holds; ``TimeoutError`` after `patience` seconds."""
        until = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"waited {self.patience} s in vain; reports: {self.inbox.reports()}")
            time.sleep(0.005)

    def settle(self) -> None:
        """Wait until everything that was told so far has come to the inbox: it is told there at once."""

    def stays_true(self, condition: Callable[[], bool]) -> None:
        """Whether `condition` holds all through a short while, which is as much as a test can see."""
        until = time.monotonic() + _QUIET
        while time.monotonic() < until:
            assert condition(), f"reports: {self.inbox.reports()}"
            time.sleep(0.005)

    def _answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        self.questions += 1
        self._answers_flow.wait(4 * self.patience)
        service = MemoryChannel(nodes={self.node: {"name": "node"}}, resources=self.resources)
        return service.ask(request)
