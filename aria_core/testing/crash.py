"""The crash matrix: an executor and a storage, killed at every fault point, must keep the promises.

An extension author derives a class and says what is put to the test::

    class TestMyExecutorCrashes(CrashContract):
        @pytest.fixture
        def crash_configuration(self, tmp_path: Path) -> str:
            return '[executor]\\nuse = "mine"\\n[model_storage]\\nuse = "sql"\\nurl = "sqlite:///aria.db"\\n…'

        @pytest.fixture
        def crash_database(self, tmp_path: Path) -> str:
            return f"sqlite:///{tmp_path}/aria.db"
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aria_core.config import Config
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.crash_process import CrashProcess, Ended, be_a_runner, be_the_command, wait_until
from aria_core.testing.crash_runner import make_service
from aria_core.testing.effects import EFFECTS, SECONDS
from aria_core.testing.fault_points import (
    IN_COMMIT,
    PLACES,
    PLACES_ELSEWHERE,
    Fault,
    forget_fault,
    plan_fault,
    reached,
)
from aria_core.testing.few_processes import be_a_crowd
from aria_core.testing.judge import Judge
from aria_core.testing.traces import read_effects
from aria_core.testing.wrong_clock import CLOCK

KILLED = -9
SHORT = 0.03
_RESUMES = 10


class CrashSite:
    """A directory with a configuration, a prepared service, a judge, and runners to be killed."""

    def __init__(self, directory: Path, configuration: str, database: str) -> None:
        self.directory = directory
        self.judge = Judge(database, directory / EFFECTS)
        self._running: list[CrashProcess] = []
        (directory / "aria.toml").write_text(configuration)
        self.let_operations_last(SHORT)

    def prepare(self) -> None:
        """Make the tables and the service."""
        done = self.run("prepare")
        assert done.code == 0, done.complained
        self.judge.watch()

    def offer(self, template: LoadedTemplate, plugins: Iterable[Path] = ()) -> None:
        """Make the tables and a service of another template, which has the input ``directory``."""
        make_service(Config.load(directory=self.directory), self.directory, template, plugins)
        self.judge.watch()

    def let_operations_last(self, seconds: float) -> None:
        """From now on, also those that run."""
        self._write(SECONDS, seconds)

    def set_clock(self, seconds: float) -> None:
        """Set the date of runners wrong by so many seconds: those launched from now on, and those that
        were launched after the first time.
        """
        self._write(CLOCK, seconds)

    def _write(self, name: str, seconds: float) -> None:
        made = self.directory / f"{name}.new"
        made.write_text(str(seconds))
        made.replace(self.directory / name)

    def launch(self, *arguments: str) -> CrashProcess:
        """Begin ``crash_runner`` with these arguments."""
        return self._begin(be_a_runner, arguments)

    def launch_crowd(self, user: int, count: int) -> CrashProcess:
        """Begin `count` processes of a user, and wait until they are all there; they end together."""
        crowd = self._begin(be_a_crowd, (str(user), str(count)))
        wait_until(lambda: crowd.said() or not crowd.is_running(), "a crowd")
        assert crowd.is_running(), "the crowd did not come about"
        return crowd

    def launch_command(self, *words: str) -> CrashProcess:
        """Begin the command ``aria`` with these words."""
        return self._begin(be_the_command, words)

    def _begin(self, be: Callable[..., None], arguments: tuple[str, ...]) -> CrashProcess:
        process = CrashProcess(be, self.directory, arguments, len(self._running))
        self._running.append(process)
        return process

    def run(self, *arguments: str) -> Ended:
        """Run ``crash_runner`` with these arguments to its end."""
        return self.launch(*arguments).end()

    def resume(self) -> str:
        """Resume without faults until the execution has ended, or begin it if it is not there; its state."""
        forget_fault(self.directory)
        what = "resume"
        for _ in range(_RESUMES):
            done = self.run(what)
            assert "Traceback" not in done.complained, done.complained
            if done.code in (0, 1):
                return done.said or "failed"
            what = "start" if done.complained.startswith("NotFoundError") else "resume"
        raise AssertionError(f"not ended after {_RESUMES} resumes: {done.complained}")

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The rows of the latest execution's operations by the names of their nodes, read by SQL."""
        rows = self.judge.rows(
            "SELECT task.*, node.name AS node FROM task JOIN node ON node.id = task.node_id "
            "WHERE stub IS NULL AND execution_id = (SELECT max(id) FROM execution) ORDER BY position")
        return {row["node"]: row for row in rows}

    def count(self, what: str) -> int:
        """How many lines of the effects file say ``begin`` or ``end``."""
        return sum(1 for each in read_effects(self.directory / EFFECTS, still_written=True)
                   if each.what == what)

    def wait_until_reached(self, point: str) -> None:
        """Until somebody was at a fault point."""
        wait_until(lambda: reached(self.directory).get(point), point)

    def assert_promises_kept(self, besides: Collection[str] = (),
                             spare: Collection[tuple[int, int]] = ()) -> None:
        """Fail with every violation there is, now that no runner works; see `Judge.violations`."""
        violations = self.judge.violations(besides, spare)
        assert not violations, "\n".join(map(str, violations))

    def close(self) -> None:
        """End what is left."""
        for process in self._running:
            process.kill()
        self.judge.close()


@dataclass(frozen=True, slots=True)
class Scenario:
    """What must go on for a fault point to be reached."""

    name: str
    seconds: float = SHORT
    """How long operations last until the fault has struck."""


INSTALL = Scenario("install")
CANCEL, STOP = Scenario("cancel", 30.0), Scenario("stop", 30.0)
SCENARIOS = {
    "failed": Scenario("fail"), "beat": Scenario("install", 0.75), "takeover": Scenario("resume"),
    "abandon": Scenario("restart"), "cancel-request": CANCEL, "terminate": CANCEL,
    "pending": STOP, "withdraw": STOP, "release": STOP, "call-beat": Scenario("last-long", 30.0),
}
"""By place; at all others an installation comes by."""


def _crashes(places: Iterable[str], everything: Iterable[str]) -> tuple[Fault, ...]:
    return (
        *(Fault(f"{side}-{place}") for place in places for side in ("before", "after")),
        Fault(IN_COMMIT, nth=5),
        *(Fault(f"{side}-effect", "runner", nth=3) for side in ("before", "after")),
        *(Fault(point, "everything", nth=3) for point in everything))


CRASHES = _crashes(PLACES, ("before-effect", "after-effect", "after-sent", "before-success"))
"""Whoever comes to a point is killed, at every point; around effects the runner, or all processes."""

_NOT_ELSEWHERE = ("started", "flush", "report", "pending")
"""What workers elsewhere do in the database themselves, or a transaction of its own."""
GOES_ON = ("S6", "S6 unstored")
"""What a judge may find while there is no runner, if calls survive it: what runs elsewhere goes on."""
CRASHES_ELSEWHERE = _crashes(
    [*(each for each in PLACES if each not in _NOT_ELSEWHERE), *PLACES_ELSEWHERE],
    ("before-effect", "after-effect", "after-sent", "before-success"))
"""The same for an executor whose calls survive its runner; its workers reach points, too."""


class CrashContract:
    """What must hold of an executor and a model storage whatever dies at whatever moment."""

    @pytest.fixture
    def crash_configuration(self, tmp_path: Path) -> str:
        """The text of an ``aria.toml`` that names the executor and the storages; override it."""
        raise NotImplementedError("a crash contract needs a fixture crash_configuration")

    @pytest.fixture
    def crash_database(self, tmp_path: Path) -> str:
        """The URL by which the judge reads the model storage's database; override it."""
        raise NotImplementedError("a crash contract needs a fixture crash_database")

    @pytest.fixture
    def site(self, tmp_path: Path, crash_configuration: str, crash_database: str) -> Iterator[CrashSite]:
        """The place of one crash."""
        site = CrashSite(tmp_path, crash_configuration, crash_database)
        yield site
        site.close()

    @pytest.mark.parametrize("fault", CRASHES, ids=lambda fault: f"{fault.point}-{fault.whom}")
    def test_promises_are_kept_whatever_dies(self, site: CrashSite, fault: Fault) -> None:
        check_crash(site, fault)


def check_crash(site: CrashSite, fault: Fault, meanwhile: Collection[str] = ()) -> None:
    """Let a fault strike where its scenario comes by, judge, resume, and judge again.

    `meanwhile` are promises that are not judged before the resume.
    """
    scenario = SCENARIOS.get(fault.point.partition("-")[2], INSTALL)
    site.prepare()
    site.let_operations_last(scenario.seconds)
    _SCENES[scenario.name](site, fault)
    assert not forget_fault(site.directory), f"nobody came to {fault.point}: {reached(site.directory)}"
    site.assert_promises_kept(meanwhile)
    site.let_operations_last(SHORT)
    assert site.resume() in _OUTCOMES.get(scenario.name, ("succeeded",))
    site.assert_promises_kept()


def _install(site: CrashSite, fault: Fault, what: str = "start") -> None:
    plan_fault(site.directory, fault)
    done = site.run(what)
    assert "Traceback" not in done.complained, done.complained


def _last_long(site: CrashSite, fault: Fault) -> None:
    plan_fault(site.directory, fault)
    runner = site.launch("start")
    site.wait_until_reached(fault.point)
    site.let_operations_last(SHORT)
    runner.end()


def _fail(site: CrashSite, fault: Fault) -> None:
    _install(site, fault, "fail")


def _resume(site: CrashSite, fault: Fault) -> None:
    plan_fault(site.directory, Fault("after-sent", nth=3))
    assert site.run("start").code == KILLED
    _install(site, fault, "resume")


def _restart(site: CrashSite, fault: Fault) -> None:
    plan_fault(site.directory, Fault("before-graph"))
    assert site.run("start").code == KILLED
    _install(site, fault)


def _cancel(site: CrashSite, fault: Fault) -> None:
    plan_fault(site.directory, fault)
    runner = site.launch("start")
    site.wait_until_reached("before-effect")
    if site.run("cancel").code == KILLED:
        site.run("cancel")
    runner.end()


def _stop(site: CrashSite, fault: Fault) -> None:
    plan_fault(site.directory, fault)
    runner = site.launch("start")
    site.wait_until_reached("before-effect")
    runner.send(signal.SIGTERM)
    runner.end()


_SCENES = {"install": _install, "fail": _fail, "resume": _resume, "restart": _restart, "cancel": _cancel,
           "stop": _stop, "last-long": _last_long}
_OUTCOMES = {"fail": ("failed",), "cancel": ("cancelled", "succeeded")}
