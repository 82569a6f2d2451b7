"""Calls of plugins run in the plugins' own environments, with wrappers around them, under every executor."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    Actor,
    Call,
    CallRef,
    Edit,
    Environment,
    Executor,
    Failed,
    FutureExecutor,
    Lost,
    Report,
    Started,
    Succeeded,
    find_marked,
    install_wheels,
    kill_marked,
    run_encoded,
)
from aria_core.testing.bench import is_alive
from aria_core.testing.inbox import RecordingInbox
from aria_core.testing.memory_channel import MemoryChannel
from aria_core.testing.wagons import make_wheel
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

OPERATIONS = '''\
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aria_core
from aria_core import TaskAbortException, TaskRetryException, ctx as current, operation


@operation
def look(ctx):
    return {"python": sys.executable, "pid": os.getpid(), "env": dict(os.environ), "path": sys.path,
            "sees": [name for name in ("pluggy", "sqlalchemy", "pytest") if importlib.util.find_spec(name)],
            "same": current.task.token == ctx.task.token, "names": dir(aria_core)}


@operation(toolbelt=True)
def belt(ctx, toolbelt, first, second=2):
    return [type(toolbelt).__name__, first, second]


def child_env(ctx):
    done = subprocess.run(["env"], capture_output=True, text=True)
    return done.stdout.splitlines()


@operation
def talk(ctx, fail=False):
    ctx.logger.info("first")
    ctx.task.heartbeat(0.5, "half")
    print("printed")
    ctx.node.attributes["seen"] = ctx.node.attributes["before"] + 1
    if fail:
        raise LookupError("nothing there")
    return "done"


def ends(ctx, how):
    if how == "retry":
        ctx.task.retry("later", retry_interval=1.5)
    if how == "abort":
        ctx.task.abort("never")
    if how == "exit":
        os._exit(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise LookupError("nothing there")


def imports(ctx, line):
    exec(line)


def stay(ctx, pids, ignore=False):
    """Start a daemon, say who is who, and never come back."""
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path(pids + ".new").write_text(f"{os.getpid()} {child.pid}")
    os.rename(pids + ".new", pids)
    while True:
        time.sleep(0.05)


def leaves(ctx, fail):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    if fail:
        raise LookupError(str(child.pid))
    return child.pid


def finishes_anyway(ctx, pids):
    Path(pids).write_text(str(os.getpid()))
    try:
        time.sleep(1000)
    except SystemExit:
        return "finished"
'''

WRAPPERS = '''\
import os
import signal
from contextlib import contextmanager
from pathlib import Path

from aria_core import PluginOperationError, TaskAbortException, TaskRetryException, ctx

NOTES = Path(__file__).parent / "notes"


def note(*words):
    with NOTES.open("a") as file:
        print(*words, file=file)


@contextmanager
def noting(call):
    note("before", call.function, ctx.task.token, os.getpid())
    try:
        yield
    except BaseException as error:
        kinds = [kind.__name__ for kind in (TaskRetryException, TaskAbortException, PluginOperationError)
                 if isinstance(error, kind)]
        note("raised", kinds, str(error).splitlines()[0][:60], getattr(error, "classes", ())[:1],
             getattr(error, "retry_interval", None), getattr(error, "is_lost", None))
        raise
    else:
        note("returned")
    finally:
        note("after")


@contextmanager
def editing(call):
    ctx.node.attributes["wrapped"] = ctx.node.attributes["before"]
    yield


def forking(ctx):
    if os.fork() == 0:
        os._exit(0)
    os.wait()


@contextmanager
def swallowing(call):
    try:
        yield
    except Exception:
        note("swallowed")


@contextmanager
def replacing(call):
    try:
        yield
    except Exception as error:
        raise KeyError("replaced") from error


@contextmanager
def refusing_afterwards(call):
    yield
    raise PermissionError("too late")


def refusing(call):
    raise PermissionError("not today")


@contextmanager
def hurrying(call):
    def late(number, frame):
        raise TimeoutError("too slow")
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
'''

NODE = 7


class OnThreads(FutureExecutor):
    slots = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def start(self, call: Call) -> Future[bytes]:
        return self._pool.submit(run_encoded, call.encode())

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class OnProcesses(OnThreads):
    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(  # type: ignore[assignment]
            2, multiprocessing.get_context("spawn"))


MAKERS: dict[str, Callable[[], Executor]] = {
    "process": lambda: ProcessExecutor(2), "thread": lambda: ThreadExecutor(2),
    "future-threads": OnThreads, "future-processes": OnProcesses}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    place = tmp_path_factory.mktemp("plugin")
    name, data = make_wheel("plugged", files={"plugged.py": OPERATIONS})
    (place / name).write_bytes(data)
    return install_wheels("plugged", [place / name], place)


class Place:
    """An opened executor, a plugin, a module of wrappers."""

    def __init__(self, executor: Executor, environment: Environment, directory: Path,
                 origin: str = "") -> None:
        self.executor = executor
        self.environment = environment
        self.directory = directory
        self.inbox = RecordingInbox(self._answer)
        self.calls: list[Call] = []
        self._numbers = itertools.count(1)
        self._origin = origin or secrets.token_hex(6)
        executor.open(self.inbox)

    def submit(self, function: str, *wrappers: str, **arguments: Any) -> Call:
        call = Call(CallRef(1, next(self._numbers), 1), f"plugged:{function}", arguments,
                    Actor("node", NODE, "n"), plugin=self.environment, origin=self._origin,
                    wrappers=tuple(f"wrappers_of_tests:{each}" for each in wrappers))
        self.calls.append(call)
        self.executor.submit(call)
        return call

    def run(self, function: str, *wrappers: str, **arguments: Any) -> Report:
        return self.inbox.wait_for(self.submit(function, *wrappers, **arguments).ref)

    def result(self, function: str, *wrappers: str, **arguments: Any) -> Any:
        report = self.run(function, *wrappers, **arguments)
        assert isinstance(report, Succeeded), report
        return report.result

    def notes(self) -> list[str]:
        file = self.directory / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def pids(self, name: str) -> list[int]:
        wait_until((self.directory / name).exists)
        return [int(each) for each in (self.directory / name).read_text().split()]

    def _answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return MemoryChannel(nodes={NODE: {"name": "n", "attributes": {"before": 1}}}).ask(request)


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def opened(name: str, environment: Environment, directory: Path) -> Iterator[Place]:
    place = Place(MAKERS[name](), environment, directory)
    yield place
    place.executor.close(1.0)
    for call in place.calls:
        kill_marked(call.mark, 0.0)


@pytest.fixture(params=sorted(MAKERS))
def place(request: pytest.FixtureRequest, environment: Environment, tmp_path: Path,
          monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    prepare(tmp_path, monkeypatch)
    yield from opened(request.param, environment, tmp_path)


@pytest.fixture(params=["process", "thread"])
def killing(request: pytest.FixtureRequest, environment: Environment, tmp_path: Path,
            monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Executors that can end a plugin's call."""
    prepare(tmp_path, monkeypatch)
    yield from opened(request.param, environment, tmp_path)


@pytest.fixture
def processes(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    prepare(tmp_path, monkeypatch)
    yield from opened("process", environment, tmp_path)


def prepare(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "wrappers_of_tests.py").write_text(WRAPPERS)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("CANARY", "of the runner")
    sys.modules.pop("wrappers_of_tests", None)


WRAPPED = pytest.mark.parametrize("wrappers", [(), ("noting",)], ids=["plain", "wrapped"])

# --- where it runs


@WRAPPED
def test_it_runs_in_the_environment_of_its_plugin_and_sees_nothing_else(
        place: Place, wrappers: tuple[str, ...]) -> None:
    modules, path = set(sys.modules), list(sys.path)
    seen = place.result("look", *wrappers)
    assert seen["python"] == place.environment.python
    assert seen["pid"] != os.getpid()
    assert (seen["sees"], seen["same"]) == ([], True)
    assert not [each for each in seen["path"] if str(place.directory) in each]
    assert {"TaskAbortException", "TaskRetryException", "ctx", "operation"} <= set(seen["names"])
    assert place.result("look", *wrappers)["pid"] == seen["pid"]  # it is warm
    assert sys.path == path
    assert "plugged" not in set(sys.modules) - modules


@WRAPPED
def test_it_sees_only_the_variables_on_the_list(place: Place, wrappers: tuple[str, ...]) -> None:
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "ARIA_ATTEMPT",
               "ARIA_TASK_TOKEN"}
    seen = place.result("look", *wrappers)["env"]
    assert {name for name in seen if not name.startswith("LC_")} <= allowed
    assert seen["PATH"].split(os.pathsep)[0] == str(Path(place.environment.python or "").parent)
    children = {line.partition("=")[0] for line in place.result("child_env", *wrappers) if "=" in line}
    assert {name for name in children if not name.startswith("LC_")} <= allowed


@WRAPPED
def test_it_sees_the_variables_that_its_executor_names(
        environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        wrappers: tuple[str, ...]) -> None:
    prepare(tmp_path, monkeypatch)
    place = Place(ProcessExecutor(1, environment=("CANARY",)), environment, tmp_path)
    assert place.result("look", *wrappers)["env"]["CANARY"] == "of the runner"
    place.executor.close(1.0)


@pytest.mark.parametrize("line", [
    "from aria_core import PluginManager", "import aria_core.storage.model", "aria_core.Application"])
def test_what_a_plugin_may_not_import_is_refused_in_one_sentence(processes: Place, line: str) -> None:
    report = processes.run("imports", line=line)
    assert isinstance(report, Failed)
    assert report.error.startswith("ImportError: a plugin cannot import aria_core.")
    assert "TaskAbortException, TaskRetryException, ctx, operation" in report.error
    assert "\n" not in report.error


def test_a_plugin_may_import_the_worker_itself(processes: Place) -> None:
    line = "import aria_core.worker.calls; from aria_core import worker; from aria_core.worker import context"
    assert processes.result("imports", line=line) is None


def test_the_decorator_is_the_one_of_the_core(processes: Place) -> None:
    assert processes.result("belt", first=1) == ["NodeToolBelt", 1, 2]
    report = processes.run("belt", third=3)
    assert isinstance(report, Failed)
    assert "the operation 'belt' misses first and does not know third" in report.error


@WRAPPED
def test_a_plugin_whose_interpreter_is_gone_is_named(place: Place, wrappers: tuple[str, ...]) -> None:
    place.environment = replace(place.environment, python=str(place.directory / "nowhere" / "python"))
    report = place.run("look", *wrappers)
    assert isinstance(report, Failed)
    assert "cannot start a worker for the plugin plugged" in report.error


@WRAPPED
def test_an_interpreter_that_does_not_run_is_told_with_its_last_words(
        place: Place, wrappers: tuple[str, ...]) -> None:
    python = place.directory / "python"
    python.write_text("#!/bin/sh\necho no such library >&2\nexit 3\n")
    python.chmod(0o755)
    place.environment = replace(place.environment, python=str(python))
    report = place.run("look", *wrappers)
    assert isinstance(report, Failed)
    assert "a worker for the plugin plugged ended before it was ready: no such library" in report.error


CANNOT_FORK = """
import os
from pathlib import Path

def refuse():
    with Path({tries!r}).open("a") as tries:
        tries.write("x")
    raise BlockingIOError(11, "Resource temporarily unavailable")

if Path({full!r}).exists():
    os.fork = refuse
"""


@pytest.mark.parametrize("name", ["process", "future-threads"])
def test_a_shortage_of_processes_delays_a_call_and_loses_none(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    prepare(tmp_path, monkeypatch)
    full, tries = tmp_path / "full", tmp_path / "tries"
    full.touch()
    wheel, data = make_wheel("plugged", files={
        "plugged.py": OPERATIONS, "sitecustomize.py": CANNOT_FORK.format(tries=str(tries), full=str(full))})
    (tmp_path / wheel).write_bytes(data)
    place = Place(MAKERS[name](), install_wheels("plugged", [tmp_path / wheel], tmp_path), tmp_path)
    call = place.submit("talk", "noting")
    wait_until(lambda: tries.exists() and len(tries.read_text()) > 4)  # more often than a broken one is tried
    assert place.inbox.finals() == []
    full.unlink()
    assert isinstance(place.inbox.wait_for(call.ref), Succeeded)
    place.executor.close(1.0)


# --- what is said


@WRAPPED
@pytest.mark.parametrize("fail", [False, True])
def test_questions_logs_heartbeats_and_edits_arrive(
        place: Place, wrappers: tuple[str, ...], fail: bool) -> None:
    call = place.submit("talk", *wrappers, fail=fail)
    report = place.inbox.wait_for(call.ref)
    assert isinstance(report, Failed if fail else Succeeded)
    assert report.edits == (Edit("node", NODE, "seen", 2),)
    told = place.inbox.told_before_end(call.ref)
    assert [each["message"] for each in told if each["tell"] == "log"] == ["first", "printed"]
    assert [each["progress"] for each in told if each["tell"] == "heartbeat"] == [0.5]
    assert len([each for each in place.inbox.reports(call.ref) if isinstance(each, Started)]) <= 1


@WRAPPED
def test_a_failure_keeps_its_class_its_message_and_its_place(place: Place, wrappers: tuple[str, ...]) -> None:
    report = place.run("ends", *wrappers, how="fail")
    assert isinstance(report, Failed)
    assert (report.error, report.retry) == ("LookupError: nothing there", None)
    assert report.classes[0] == "LookupError"
    assert "plugged.py" in report.traceback
    assert "wrappers_of_tests" not in report.traceback


@WRAPPED
def test_verdicts_arrive(place: Place, wrappers: tuple[str, ...]) -> None:
    retry, abort = (place.run("ends", *wrappers, how=how) for how in ("retry", "abort"))
    assert isinstance(retry, Failed)
    assert isinstance(abort, Failed)
    assert (retry.error, retry.retry, retry.after) == ("TaskRetryException: later", True, 1.5)
    assert (abort.error, abort.retry, abort.after) == ("TaskAbortException: never", False, None)


@WRAPPED
@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_worker_that_vanishes_is_a_lost_attempt(place: Place, wrappers: tuple[str, ...], how: str) -> None:
    report = place.run("ends", *wrappers, how=how)
    assert isinstance(report, Lost)
    assert report.reason == ("exited" if how == "exit" else "killed")
    assert place.result("talk", *wrappers) == "done"


@WRAPPED
def test_a_worker_that_ended_while_it_was_idle_is_replaced(place: Place, wrappers: tuple[str, ...]) -> None:
    first = place.result("look", *wrappers)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))
    assert place.result("look", *wrappers)["pid"] != first


# --- wrappers


def test_wrappers_run_in_the_environment_of_the_core_around_the_exchange(place: Place) -> None:
    assert place.result("talk", "noting") == "done"
    before, *rest = place.notes()
    assert before.split()[:3] == ["before", "plugged:talk", "1/1"]
    assert rest == ["returned", "after"]


@pytest.mark.parametrize(("how", "seen"), [
    ("fail", "raised ['PluginOperationError'] LookupError: nothing there ('LookupError',) None False"),
    ("retry", "raised ['TaskRetryException', 'PluginOperationError'] TaskRetryException: later "
              "('aria_core.worker.outcomes.TaskRetryException',) 1.5 False"),
    ("abort", "raised ['TaskAbortException', 'PluginOperationError'] TaskAbortException: never "
              "('aria_core.worker.outcomes.TaskAbortException',) None False"),
    ("kill", "raised ['PluginOperationError'] its worker was killed by SIGKILL () None True")])
def test_a_wrapper_sees_how_the_operation_ended(place: Place, how: str, seen: str) -> None:
    place.run("ends", "noting", how=how)
    assert place.notes()[1] == seen


def test_what_a_wrapper_swallows_is_a_success_with_what_was_changed(place: Place) -> None:
    report = place.run("talk", "swallowing", fail=True)
    assert report == Succeeded(report.ref, None, (Edit("node", NODE, "seen", 2),))


@pytest.mark.parametrize("fail", [False, True])
def test_what_a_wrapper_changes_comes_with_what_the_operation_changed(place: Place, fail: bool) -> None:
    report = place.run("talk", "editing", fail=fail)
    assert isinstance(report, Failed if fail else Succeeded)
    assert report.edits == (Edit("node", NODE, "seen", 2), Edit("node", NODE, "wrapped", 1))


def test_what_a_wrapper_raises_instead_is_the_failure(place: Place) -> None:
    report = place.run("talk", "noting", "replacing", fail=True)
    assert isinstance(report, Failed)
    assert (report.error, report.classes[0]) == ("KeyError: 'replaced'", "KeyError")
    assert report.edits == (Edit("node", NODE, "seen", 2),)


def test_a_wrapper_that_raises_afterwards_fails_the_attempt(place: Place) -> None:
    report = place.run("talk", "refusing_afterwards")
    assert isinstance(report, Failed)
    assert report.error == "PermissionError: too late"
    assert report.edits == (Edit("node", NODE, "seen", 2),)


def test_a_wrapper_that_refuses_keeps_the_plugin_from_being_called(place: Place) -> None:
    report = place.run("stay", "refusing", pids=str(place.directory / "pids"))
    assert isinstance(report, Failed)
    assert report.error == "PermissionError: not today"
    assert not (place.directory / "pids").exists()


def test_an_attempt_that_is_lost_is_lost_whatever_a_wrapper_makes_of_it(place: Place) -> None:
    assert isinstance(place.run("ends", "swallowing", how="kill"), Lost)
    assert place.notes() == ["swallowed"]


def test_a_wrapper_that_interrupts_the_exchange_ends_the_operation(processes: Place) -> None:
    processes.result("talk", "noting")
    call = processes.submit("stay", "noting", "hurrying", pids=str(processes.directory / "pids"))
    report = processes.inbox.wait_for(call.ref)
    assert isinstance(report, Failed)
    assert report.error == "TimeoutError: too slow"
    wait_until(lambda: not any(map(is_alive, processes.pids("pids"))))
    assert processes.result("talk", "noting") == "done"
    cores = {line.split()[3] for line in processes.notes() if line.startswith("before")}
    assert len(cores) == 1  # the worker around it has survived


# --- ends


@WRAPPED
@pytest.mark.parametrize("ignore", [False, True], ids=["obeys", "ignores"])
def test_terminating_ends_the_worker_of_the_plugin_and_what_it_started(
        killing: Place, wrappers: tuple[str, ...], ignore: bool) -> None:
    call = killing.submit("stay", *wrappers, pids=str(killing.directory / "pids"), ignore=ignore)
    pids = killing.pids("pids")
    began = time.monotonic()
    assert killing.executor.terminate(call.ref, 0.5)
    report = killing.inbox.wait_for(call.ref)
    assert time.monotonic() - began < 5.0
    assert isinstance(report, Lost)
    assert report.reason == "terminated"
    assert find_marked(call.mark) == []
    assert not any(map(is_alive, pids))
    assert killing.result("talk", *wrappers) == "done"


def test_an_operation_that_succeeds_though_it_was_asked_to_end_has_succeeded(processes: Place) -> None:
    call = processes.submit("finishes_anyway", "noting", pids=str(processes.directory / "pids"))
    processes.pids("pids")
    processes.executor.terminate(call.ref, 10.0)
    assert processes.inbox.wait_for(call.ref) == Succeeded(call.ref, "finished")


def test_the_worker_of_a_plugin_dies_with_the_worker_around_it(processes: Place) -> None:
    call = processes.submit("stay", "noting", pids=str(processes.directory / "pids"))
    pids = processes.pids("pids")
    os.kill(int(processes.notes()[0].split()[3]), signal.SIGKILL)
    assert isinstance(processes.inbox.wait_for(call.ref), Lost)
    assert not any(map(is_alive, pids))


@WRAPPED
def test_what_a_failed_attempt_left_running_is_ended_and_what_a_success_left_lives(
        place: Place, wrappers: tuple[str, ...]) -> None:
    left = place.result("leaves", *wrappers, fail=False)
    report = place.run("leaves", *wrappers, fail=True)
    assert isinstance(report, Failed)
    failed = int(report.error.split()[-1])
    wait_until(lambda: not is_alive(failed))
    assert is_alive(left)


LIES = {
    "no JSON": b"not json\n", "no report": b'{"report": "succeeded", "ref": 1}\n',
    "of another": b'{"report": "succeeded", "ref": {"execution": 9, "task": 9, "attempt": 9}, "edits": []}\n',
    "lost": b'{"report": "lost", "ref": {"execution": 1, "task": 1, "attempt": 1}, "reason": "exited"}\n'}
LYING = """\
import gc, socket, time
for each in gc.get_objects():
    if isinstance(each, socket.socket) and each.type == socket.SOCK_STREAM and each.fileno() > 0:
        each.sendall({lie!r})
time.sleep(1000)
"""


@pytest.mark.parametrize("lie", LIES)
@WRAPPED
def test_a_plugin_that_lies_loses_its_call_and_nothing_else(
        processes: Place, wrappers: tuple[str, ...], lie: str) -> None:
    call = processes.submit("imports", *wrappers, line=LYING.format(lie=LIES[lie]))
    assert isinstance(processes.inbox.wait_for(call.ref), Lost)
    assert find_marked(call.mark) == []
    assert processes.result("talk", *wrappers) == "done"


def test_an_operation_of_the_core_that_forks_leaves_the_plugins_worker_alone(
        environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)
    place = Place(ProcessExecutor(1), environment, tmp_path)
    warm = place.result("look", "noting")["pid"]
    fork = Call(CallRef(1, 99, 1), "wrappers_of_tests:forking")
    place.executor.submit(fork)
    assert isinstance(place.inbox.wait_for(fork.ref), Succeeded)
    assert place.result("look", "noting")["pid"] == warm
    place.executor.close(1.0)


RUNNER = """
import sys
from pathlib import Path
here, directory, name, python, pids, origin, *wrappers = sys.argv[1:]
sys.path[:0] = here, directory
from aria_core import Environment
from test_plugin_calls import MAKERS, Place
place = Place(MAKERS[name](), Environment("plugged", python), Path(directory), origin)
call = place.submit("stay", *wrappers, pids=pids)
place.inbox.wait_for(call.ref, 1000)
"""


@WRAPPED
@pytest.mark.parametrize("name", ["process", "thread", "future-threads"])
def test_what_a_plugin_runs_dies_with_the_runner(environment: Environment, tmp_path: Path, name: str,
                                                 wrappers: tuple[str, ...]) -> None:
    (tmp_path / "wrappers_of_tests.py").write_text(WRAPPERS)
    pids, origin = tmp_path / "pids", secrets.token_hex(6)
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(Path(__file__).parent), str(tmp_path), name,
                               environment.python or "", str(pids), origin, *wrappers])
    try:
        wait_until(pids.exists)
        running = [int(each) for each in pids.read_text().split()]
        assert all(map(is_alive, running))
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: not any(map(is_alive, running)), 5.0)
    assert find_marked(f"1/1/1@{origin}") == []


def test_closing_leaves_no_worker_behind(place: Place) -> None:
    pids = [place.result("look")["pid"], place.result("look", "noting")["pid"]]
    place.executor.close(1.0)
    wait_until(lambda: not any(map(is_alive, pids)))


def test_nothing_of_ours_is_written_into_the_environment(environment: Environment) -> None:
    home = Path(environment.python or "").parents[1]
    assert [each for each in home.rglob("*") if "aria" in each.name] == []
    done = subprocess.run([environment.python or "", "-I", "-c", "import aria_core"], capture_output=True,
                          text=True, check=False)
    assert "No module named 'aria_core'" in done.stderr
