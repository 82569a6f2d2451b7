"""Services whose scripts run over SSH: from templates, through every executor, with secrets that stay so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from aria_core import (
    ExecutionFailedError,
    Executor,
    InvalidInputError,
    LoadError,
    ModelStorage,
    ResourceStorage,
    Service,
    TemplateBuilder,
    WorkflowRunner,
    call,
    create_service,
    get_input,
    get_secret,
    script,
    store_template,
)
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import LOADERS
from aria_core.storage.sql import SqlModelStorage
from aria_plugins.cli.root import aria
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

TEMPLATE = """
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs:
    user: {{type: string}}
    port: {{type: integer}}
    key: {{type: secret}}
  node_templates:
    machine:
      type: tosca.nodes.Compute
      attributes: {{private_address: 127.0.0.1}}
    shop:
      type: tosca.nodes.SoftwareComponent
      requirements:
      - host:
          node: machine
          relationship:
            type: tosca.relationships.HostedOn
            interfaces:
              Configure:
                type: tosca.interfaces.relationship.Configure
                operations:
                  post_configure_target: {{implementation: {{primary: where.sh, dependencies: &ssh {ssh}}}}}
      interfaces:
        Standard:
          operations:
            create:
              implementation: {{primary: where.sh, dependencies: *ssh}}
              inputs: {{word: there}}
            configure: where.sh
            start:
              implementation:
                primary: aria_plugins.operations.ssh:run_commands_with_ssh
                dependencies: *ssh
              inputs:
                commands: ["echo command ${{SSH_CONNECTION:+over SSH}}"]
"""
SCRIPT = 'ctx logger info "$(ctx task operation-name)${SSH_CONNECTION:+ over SSH}${word:+ $word}"\n'


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}", synchronous="NORMAL") as storage:
        yield storage


@pytest.fixture(params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with ThreadExecutor(slots=2) if request.param == "thread" else ProcessExecutor(slots=2) as executor:
        yield executor


def load(directory: Path, dependencies: list[str]) -> Any:
    directory.mkdir(exist_ok=True)
    (directory / "where.sh").write_text(SCRIPT)
    (directory / "service.yaml").write_text(TEMPLATE.format(ssh=json.dumps(dependencies)))
    loader = Extensions(environ={}).driver(LOADERS, "tosca")()
    return loader.load(directory / "service.yaml", Path.read_bytes)


def run(storage: ModelStorage, resources: ResourceStorage, service: Service, executor: Executor,
        workflow: str = "install") -> str:
    runner = WorkflowRunner(storage, resources, None, service_id=service.id, workflow_name=workflow,
                            executor=executor, task_max_attempts=1, task_retry_interval=0)
    try:
        return str(runner.execute())
    except ExecutionFailedError:
        return "failed"


def logged(storage: ModelStorage) -> list[str]:
    return [each.message for each in storage.log.iter()]


def test_a_template_says_what_runs_over_ssh(
        storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor, server: Any,
        tmp_path: Path) -> None:
    loaded = load(tmp_path / "template", [
        "ssh.user > { get_input: user }", "ssh.port > { get_input: port }", "ssh.key > { get_input: key }",
        f"ssh.known_hosts > {server.known_hosts}"])
    template = store_template(storage, resource_storage, loaded)
    key = server.key_file.read_text()
    service = create_service(storage, template, "shop", {
        "user": server.user, "port": server.port, "key": key})
    assert run(storage, resource_storage, service, executor) == "succeeded", logged(storage)
    expected = {"create over SSH there", "configure", "post_configure_target over SSH", "command over SSH"}
    assert expected <= set(logged(storage))
    shown = [each.arguments for each in storage.task.iter()]
    secret = [each for each in shown if "ssh_secrets" in each]
    assert secret and all("key" not in each["ssh"] for each in secret)


def test_a_setting_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no setting `ssh.colour`") as caught:
        load(tmp_path / "template", ["ssh.colour > red"])
    assert "service.yaml:" in str(caught.value)
    with pytest.raises(LoadError, match=r"there is no input `usr`") as caught:
        load(tmp_path / "template", ["ssh.user > { get_input: usr }"])
    assert "service.yaml:23:" in str(caught.value)


@pytest.fixture
def builder(server: Any) -> tuple[TemplateBuilder, dict[str, Any]]:
    settings = server.settings
    return TemplateBuilder("shop"), settings


def start(storage: ModelStorage, resources: ResourceStorage, builder: TemplateBuilder, directory: Path,
          text: str, inputs: dict[str, Any] | None = None) -> Service:
    (directory / "code").mkdir()
    (directory / "code/run.sh").write_text(text)
    template = store_template(storage, resources, builder.load(directory / "code"))
    return create_service(storage, template, "shop", inputs or {})


def test_python_templates_say_the_same(
        storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor, server: Any,
        tmp_path: Path) -> None:
    builder = TemplateBuilder("shop")
    builder.input("user", "string")
    builder.node("one", operations={"create": script(
        "run.sh", ssh={**server.settings, "user": get_input("user")}, word="there")})
    service = start(storage, resource_storage, builder, tmp_path, SCRIPT, {"user": server.user})
    assert run(storage, resource_storage, service, executor) == "succeeded", logged(storage)
    assert [each for each in logged(storage) if each.endswith("over SSH there")]


def test_inputs_of_such_scripts_have_other_names_than_its_arguments() -> None:
    for name in ("ssh", "use_sudo"):
        builder = TemplateBuilder("shop")
        builder.node("one", operations={"create": script("run.sh", ssh={"user": "x"}, inputs={name: 1})})
        with pytest.raises(InvalidInputError, match=f"no input of it may be called {name}"):
            builder.build()


SECRETS = {"password": "swordfish-password", "sudo_password": "swordfish-sudo",
           "key_passphrase": "swordfish-passphrase"}


@pytest.mark.parametrize("source", ["literal", "input", "secret"])
def test_secrets_of_ssh_are_shown_nowhere(
        storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor, server: Any,
        tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that knows them tells them all; so does the failure of the next one."""
    builder = TemplateBuilder("shop")
    for name, value in SECRETS.items():
        builder.input(name, "secret", default=value)
        monkeypatch.setenv(f"ARIA_SECRET_{name}", value)
    makers: dict[str, Callable[[str], Any]] = {
        "literal": SECRETS.__getitem__, "input": get_input, "secret": get_secret}
    make = makers[source]
    ssh = {**server.settings, **{name: make(name) for name in SECRETS}}
    del ssh["key_file"]
    ssh["key"] = server.key_file.read_text()
    builder.node("one", operations={
        "create": script("run.sh", ssh=ssh),
        "start": call("aria_plugins.operations.ssh:run_commands_with_ssh", ssh=server.settings,
                      commands=["echo " + " ".join(SECRETS.values()) + " >&2; exit 1"])})
    telling = "\n".join(f"echo {each}; ctx logger info {each}" for each in SECRETS.values())
    service = start(storage, resource_storage, builder, tmp_path, telling)
    assert run(storage, resource_storage, service, executor) == "failed"
    told = "\n".join([*logged(storage), *[str(each.error) for each in storage.execution.iter()],
                      *[str(each.error) for each in storage.attempt.iter()]])
    assert "***" in told
    told += views(tmp_path, monkeypatch)
    secrets = [*SECRETS.values(), server.key_file.read_text().splitlines()[2]]
    assert [each for each in secrets if each in told] == []


def views(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All that ``aria`` shows of the service, as text and as JSON."""
    (directory / "aria.toml").write_text(
        '[model_storage]\nuse = "sql"\nurl = "sqlite:///aria.db"\n'
        '[resource_storage]\nuse = "file"\ndirectory = "resources"\n')
    monkeypatch.chdir(directory)
    shown = []
    for words in ("services show shop", "nodes show one", "service-templates show shop", "executions show 1",
                  "executions tasks 1 --all", "logs list 1"):
        for form in ("", " --json"):
            result = CliRunner().invoke(aria, (words + form).split())
            assert result.exit_code == 0, result.output
            shown.append(result.output)
    return "\n".join(shown)


def test_what_runs_there_ends_when_it_is_cancelled(
        storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor, server: Any,
        tmp_path: Path, remote: Any) -> None:
    builder = TemplateBuilder("shop")
    ssh = {**server.settings, "directory": remote.settings["directory"]}
    builder.node("one", operations={"create": script("run.sh", ssh=ssh)})
    service = start(storage, resource_storage, builder, tmp_path,
                    f"setsid sleep 1000 & echo $! >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait")
    runner = WorkflowRunner(storage, resource_storage, None, service_id=service.id, workflow_name="install",
                            executor=executor, task_max_attempts=1)
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(runner.execute()))
    thread.start()
    remote.wait_until((tmp_path / "pid").exists, 30)
    runner.cancel()
    thread.join(60)
    assert states == ["cancelled"]
    remote.wait_until(lambda: remote.is_gone(int((tmp_path / "pid").read_text())))
    remote.wait_until(lambda: not remote.directories())


def test_what_runs_there_ends_when_its_worker_is_killed_and_it_is_tried_again(
        storage: ModelStorage, resource_storage: ResourceStorage, server: Any, tmp_path: Path,
        remote: Any) -> None:
    builder = TemplateBuilder("shop")
    ssh = {**server.settings, "directory": remote.settings["directory"]}
    builder.node("one", operations={"create": script("run.sh", ssh=ssh)})
    service = start(storage, resource_storage, builder, tmp_path, f"""
        [ -e {tmp_path}/pid ] && exit 0
        setsid sleep 1000 & echo $! >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait
    """)
    states: list[str] = []
    with ProcessExecutor(slots=1) as executor:
        thread = threading.Thread(
            target=lambda: states.append(run(storage, resource_storage, service, executor)))
        thread.start()
        remote.wait_until((tmp_path / "pid").exists, 30)
        for each in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "aria_core.worker" in " ".join(each.cmdline()):
                    each.kill()
        thread.join(60)
    assert states == ["succeeded"]
    remote.wait_until(lambda: remote.is_gone(int((tmp_path / "pid").read_text())))
    remote.wait_until(lambda: not remote.directories())


def test_what_runs_there_ends_when_its_time_is_over(
        storage: ModelStorage, resource_storage: ResourceStorage, executor: Executor, server: Any,
        tmp_path: Path, remote: Any) -> None:
    builder = TemplateBuilder("shop")
    ssh = {**server.settings, "directory": remote.settings["directory"]}
    builder.node("one", operations={"create": script("run.sh", ssh=ssh, timeout=4.0)})
    service = start(storage, resource_storage, builder, tmp_path,
                    f"setsid sleep 1000 & echo $! >{tmp_path}/pid; wait")
    assert run(storage, resource_storage, service, executor) == "failed"
    remote.wait_until(lambda: remote.is_gone(int((tmp_path / "pid").read_text())))
    remote.wait_until(lambda: not remote.directories())
