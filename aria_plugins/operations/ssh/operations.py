"""Running scripts and commands of a template on another host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from aria_core import (
    ConfigurationError,
    ContextServer,
    InvalidInputError,
    OperationContext,
    ProcessException,
    TaskAbortException,
    scratch_directory,
    shown_url,
)
from aria_plugins.operations.script.command import interpreter
from aria_plugins.operations.script.ending import conclude
from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.fetch import Script, fetch_script
from aria_plugins.operations.script.output import ScriptOutput
from aria_plugins.operations.script.settings import ProcessSettings, process_settings
from aria_plugins.operations.script.variables import entries
from aria_plugins.operations.ssh.remote import (
    MARK,
    SHELL_NAMES,
    helpless_program,
    safe_name,
    start_program,
)
from aria_plugins.operations.ssh.settings import RunSettings, checked, run_settings, ssh_settings

if TYPE_CHECKING:
    from aria_plugins.operations.ssh.attempt import RemoteAttempt
    from aria_plugins.operations.ssh.program import Program

_PYTHONS = ("python3", "python")


def run_script_with_ssh(  # noqa: PLR0917 - the original's arguments, in its order
        ctx: OperationContext, script_path: str, fabric_env: Mapping[str, Any] | None = None,
                        process: Mapping[str, Any] | None = None, use_sudo: bool = False,
                        hide_output: Any = None, ssh: Mapping[str, Any] | None = None,
                        ssh_secrets: Mapping[str, Any] | None = None, **inputs: Any) -> None:
    """Run a script among the template's files, or at an http or https URL, on the host of the node.

    `ssh` has the settings that docs/how-to/ssh.md lists, `ssh_secrets` those of them that nobody is to
    see, where the template says ``ssh.password`` and so on; `fabric_env` is how the original wrote
    some of them, and `use_sudo` and `hide_output` may stand there or here. For the rest it is as with
    ``run_script_locally``: `inputs` and the process setting ``env`` are in the script's environment,
    besides what the remote host gives every session; ``ctx`` is on its PATH; its interpreter is what
    its first line or name says, as found there.

    Raises ``ProcessException`` if the script does not end with 0, ``TaskAbortException`` if it is
    missing, cannot be started, or the host is not to be trusted, ``SshError`` if the host cannot be
    reached or goes away, and what the script says with ``ctx task retry`` or ``abort``. Then
    everything it started there is ended; what a script that ends well left running stays.
    """
    with _settled(shown_url(script_path)), _fetched(ctx, script_path) as script:
        found = checked(ssh, ssh_secrets, fabric_env, use_sudo=use_sudo, hide_output=hide_output)
        settings, run = process_settings(process), run_settings(found)
        if settings.eval_python:
            raise ScriptSettingsError("the process setting eval_python is for scripts of this host; over SSH "
                                      "the python3 of the remote host runs a Python script")
        variables = _variables(inputs, settings)
        with _attempt(ctx, found, run) as attempt:
            _RemoteScript(attempt, ctx, script, settings).run(variables, run)


def run_commands_with_ssh(  # noqa: PLR0917 - the original's arguments, in its order
        ctx: OperationContext, commands: Sequence[str], fabric_env: Mapping[str, Any] | None = None,
        use_sudo: bool = False, hide_output: Any = None, ssh: Mapping[str, Any] | None = None,
        ssh_secrets: Mapping[str, Any] | None = None, **_: Any) -> None:
    """Run commands on the host of the operation's node, each by ``sh``, one after the other.

    The first that does not end with 0 is the last: ``ProcessException`` names it. `ssh`, `fabric_env`,
    `use_sudo` and `hide_output` are as in `run_script_with_ssh`; other inputs are not looked at.
    """
    with _settled("commands"):
        if isinstance(commands, str) or not all(isinstance(each, str) for each in commands):
            raise ScriptSettingsError("the input commands takes a list of texts")
        found = checked(ssh, ssh_secrets, fabric_env, use_sudo=use_sudo, hide_output=hide_output)
        run = run_settings(found)
        with _attempt(ctx, found, run) as attempt:
            for command in commands:
                _run_command(ctx, attempt, command, run)
            attempt.keep()


@contextmanager
def _settled(what: str) -> Iterator[None]:
    """What another attempt would meet the same ends the task."""
    try:
        yield
    except InvalidInputError as error:
        raise TaskAbortException(f"{what}: {error}") from error


@contextmanager
def _attempt(ctx: OperationContext, found: Mapping[str, Any], run: RunSettings) -> Iterator[RemoteAttempt]:
    """The attempt on the remote host; what could not be started there is told as such."""
    attempt = _remote_attempt(ctx, found, run)
    try:
        with attempt:
            yield attempt
    except ProcessException as error:
        if attempt.refusal is None:
            raise
        raise ScriptSettingsError(attempt.refusal) from error


def _remote_attempt(ctx: OperationContext, found: Mapping[str, Any], run: RunSettings) -> RemoteAttempt:
    try:
        from aria_plugins.operations.ssh.attempt import RemoteAttempt
    except ModuleNotFoundError as error:
        if error.name != "asyncssh":
            raise
        raise ConfigurationError("operations over SSH need asyncssh: pip install 'aria-core[ssh]'") from error
    return RemoteAttempt(ctx, ssh_settings(found, ctx), run)


@contextmanager
def _fetched(ctx: OperationContext, script_path: str) -> Iterator[Script]:
    """The script, on this host while the block runs."""
    directory = scratch_directory("script")
    try:
        yield fetch_script(ctx, script_path, directory / "script")
    finally:
        rmtree(directory, ignore_errors=True)


def _variables(inputs: Mapping[str, Any], settings: ProcessSettings) -> dict[str, str]:
    found = entries(inputs, settings)
    refused = sorted(SHELL_NAMES & found.keys())
    if refused:
        raise ScriptSettingsError(f"{refused[0]} is a variable that shells keep for themselves; it cannot be "
                                  "passed over SSH")
    return found


class _RemoteScript:
    """One script, for one attempt on a remote host."""

    def __init__(self, attempt: RemoteAttempt, ctx: OperationContext, script: Script,
                 settings: ProcessSettings) -> None:
        self._attempt = attempt
        self._ctx = ctx
        self._script = script
        self._settings = settings
        self._place = f"script/{safe_name(script.file.name)}"

    def run(self, variables: Mapping[str, str], run: RunSettings) -> None:
        """Run it to its end; raises as `run_script_with_ssh`."""
        output = ScriptOutput(self._ctx.logger)
        directory = self._attempt.directory
        with ContextServer(self._ctx, f"{directory}/files") as server:
            trouble = self._attempt.forward(server.socket)
            own = {**server.environment, server.socket_variable: f"{directory}/s", MARK: directory}
            start = self._start(variables, own)
            program = self._attempt.launch(self._files(trouble), start)
            held = _listen(program, output, run)
            conclude(self._script.name, program.exit_code or 0, output, server)
        self._attempt.keep()
        if held:
            self._ctx.logger.warning("%s left a process running that holds its output; send its output "
                                     "elsewhere (>file 2>&1), nobody reads it from now on", self._script.name)

    def _files(self, trouble: str | None) -> dict[str, bytes]:
        content = self._script.file.read_bytes()
        if trouble is not None:
            return {self._place: content, "bin/ctx": helpless_program(f"ctx: {trouble}")}
        client = f"{self._attempt.directory}/bin/ctx.py"
        return {self._place: content, "bin/ctx.py": ContextServer.program.read_bytes(),
                "bin/ctx": ContextServer.wrapper(client, _PYTHONS).encode()}

    def _start(self, variables: Mapping[str, str], own: Mapping[str, str]) -> bytes:
        directory = self._attempt.directory
        script = f"{directory}/{self._place}"
        found = interpreter(self._script.file.name, self._script.start, self._settings)
        programs = found.programs or (None,)
        return start_program(
            [found.command(each, script, self._settings) for each in programs], str(found.missing()),
            cwd=self._settings.cwd, variables={**variables, **own}, path=f"{directory}/bin",
            directory=directory)


def _run_command(ctx: OperationContext, attempt: RemoteAttempt, command: str, run: RunSettings) -> None:
    directory = attempt.directory
    output = ScriptOutput(ctx.logger)
    start = start_program(
        [["/bin/sh", f"{directory}/script/command"]], "there is no /bin/sh there", cwd=None,
        variables={"ARIA_ATTEMPT": ctx.mark, "ARIA_TASK_TOKEN": ctx.task.token, MARK: directory},
        path=f"{directory}/bin", directory=directory)
    program = attempt.launch({"script/command": command.encode()}, start)
    _listen(program, output, run)
    output.finish()
    if program.exit_code:
        raise ProcessException(command, output.stderr.tail, output.stdout.tail, program.exit_code)


def _listen(program: Program, output: ScriptOutput, run: RunSettings) -> bool:
    stdout, stderr = (_ignore if name in run.hidden else stream.take for name, stream in (
        ("stdout", output.stdout), ("stderr", output.stderr)))
    try:
        return program.listen(stdout, stderr)
    finally:
        program.close()


def _ignore(data: bytes) -> None:
    """Output that is not to be seen."""
