"""What plugins cost: ``python -m benchmarks.plugins "" 1 --mode install-uv``.

``install-uv`` and ``install-pip`` install a small wagon of two wheels, row and check included;
``first-call`` is a call whose environment nobody has used yet, worker started and modules compiled. The
others make N calls one after the other through one warm worker: ``core-call`` in the core's environment,
``plugin-call`` in the plugin's, ``wrapped-call`` there with a wrapper around it; their ``exec_s`` is of one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aria_core
from aria_core import Call, CallRef, Environment, PluginManager, SqlModelStorage, Succeeded
from aria_core.orchestrator import plugin_environment
from aria_core.testing.inbox import RecordingInbox
from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.installers.wagon import WagonInstaller
from benchmarks.cells import PLUGINS
from benchmarks.peers import common

FUNCTION = "benchmarked:nothing"
_OPERATIONS = "from aria_core import operation\n\n\n@operation\ndef nothing(ctx):\n    return None\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("n", type=int)
    parser.add_argument("--mode", choices=PLUGINS)
    given = parser.parse_args()
    seconds = _MEASURES[given.mode](Path(os.environ["PEER_DIR"]), given.n)
    common.emit({"peer": "plugins", "version": aria_core.__version__, "mode": given.mode, "shape": "",
                 "n": given.n, "verified": True, "exec_s": round(seconds, 6)})


def _wagon(directory: Path) -> Path:
    wheels = [make_wheel("benchmarked", files={"benchmarked.py": _OPERATIONS}, requires=["helping"]),
              make_wheel("helping")]
    return write_wagon(directory / "benchmarked.wgn", make_wagon("benchmarked", wheels=wheels))


def _installed(directory: Path) -> tuple[float, Environment]:
    """Seconds that installing took, and what was installed."""
    path = _wagon(directory)
    with SqlModelStorage(f"sqlite:///{directory / 'aria.db'}") as model:
        manager = PluginManager(model, directory / "plugins")
        manager.use_installers([WagonInstaller()])
        assert not model.plugin.list().items  # the database is there
        began = time.perf_counter()
        plugin = manager.install(path)
        return time.perf_counter() - began, manager.environment(plugin)


def _with_uv(directory: Path, n: int) -> float:
    assert plugin_environment.find_uv() is not None, "uv is not here"
    return _installed(directory)[0]


def _with_pip(directory: Path, n: int) -> float:
    plugin_environment.find_uv = lambda: None
    return _installed(directory)[0]


def _first_call(directory: Path, n: int) -> float:
    with _Calls(_installed(directory)[1]) as calls:
        return calls.make()


def _core_call(directory: Path, n: int) -> float:
    with _Calls(None) as calls:
        return calls.warm(n)


def _plugin_call(directory: Path, n: int) -> float:
    with _Calls(_installed(directory)[1]) as calls:
        return calls.warm(n)


def _wrapped_call(directory: Path, n: int) -> float:
    with _Calls(_installed(directory)[1], (f"{__spec__.name}:around",)) as calls:
        return calls.warm(n)


@contextmanager
def around(call: Call) -> Any:
    """The wrapper that does nothing."""
    yield


class _Calls:
    """Calls that are made one after the other, each awaited."""

    def __init__(self, environment: Environment | None, wrappers: tuple[str, ...] = ()) -> None:
        self._environment = environment
        self._wrappers = wrappers
        self._function = FUNCTION if environment else "aria_core.testing.operations:nothing"
        self._executor = ProcessExecutor(slots=1)
        self._inbox = RecordingInbox()
        self._numbers = itertools.count(1)

    def __enter__(self) -> _Calls:
        self._executor.open(self._inbox)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close(1.0)

    def make(self) -> float:
        """Seconds from handing one over to its report."""
        ref = CallRef(1, next(self._numbers), 1)
        began = time.perf_counter()
        self._executor.submit(Call(ref, self._function, plugin=self._environment, wrappers=self._wrappers))
        report = self._inbox.wait_for(ref)
        seconds = time.perf_counter() - began
        assert isinstance(report, Succeeded), report
        return seconds

    def warm(self, n: int) -> float:
        """The median of `n` after some that do not count."""
        for _ in range(20):
            self.make()
        return statistics.median(self.make() for _ in range(n))


_MEASURES: dict[str, Callable[[Path, int], float]] = {
    "install-uv": _with_uv, "install-pip": _with_pip, "first-call": _first_call, "core-call": _core_call,
    "plugin-call": _plugin_call, "wrapped-call": _wrapped_call}


if __name__ == "__main__":
    main()
