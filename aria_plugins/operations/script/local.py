"""Running a script of the template on this host."""

from __future__ import annotations

import os
import posixpath
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aria_core import (
    ContextServer,
    NotFoundError,
    OperationContext,
    TaskAbortException,
    scratch_directory,
)
from aria_plugins.operations.script.child import Child
from aria_plugins.operations.script.command import FIRST_LINE, interpreter
from aria_plugins.operations.script.ending import conclude
from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.output import ScriptOutput
from aria_plugins.operations.script.settings import ProcessSettings, process_settings
from aria_plugins.operations.script.variables import entries, environment


def run_script_locally(ctx: OperationContext, script_path: str, process: Mapping[str, Any] | None = None,
                       **inputs: Any) -> None:
    """Run a script among the template's files, as a child in a session of its own.

    `inputs` are its environment variables (text as it is, everything else as JSON), besides PATH, HOME,
    USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR of the worker, what the process setting ``env`` adds,
    ``ARIA_ATTEMPT`` and ``ARIA_TASK_TOKEN``. The ``ctx`` command is on its PATH. Its interpreter is what
    its first line says; without such a line Python runs ``.py`` and sh the rest. Standard output is
    logged as info, standard error as warning.

    `process` may have ``cwd``, ``env``, ``args``, ``command_prefix`` (instead of the interpreter) and
    ``eval_python``: then a ``.py`` script is evaluated in the operation's own process with ``ctx`` and
    ``inputs``.

    Raises ``ProcessException`` if the script does not end with 0, ``TaskAbortException`` if it is missing or
    cannot be started, and what the script says with ``ctx task retry`` or ``ctx task abort``. Then
    everything it started is killed; what a script that ends well left running stays.
    """
    directory = scratch_directory("script")
    try:
        settings = process_settings(process)
        script = _download(ctx, script_path, directory)
        if settings.eval_python and script.suffix == ".py":
            _evaluate(ctx, script, inputs)
        else:
            _run(ctx, script, script_path, settings, inputs)
    except ScriptSettingsError as error:
        raise TaskAbortException(f"{script_path}: {error}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _download(ctx: OperationContext, script_path: str, directory: Path) -> Path:
    script = directory / (posixpath.basename(script_path) or "script")
    try:
        ctx.download_resource(script, script_path)
    except NotFoundError as error:
        raise TaskAbortException(f"there is no script {script_path!r} among the template's files") from error
    if not script.is_file():
        raise TaskAbortException(f"{script_path!r} is a folder, not a script")
    script.chmod(0o700)
    return script


def _evaluate(ctx: OperationContext, script: Path, inputs: Mapping[str, Any]) -> None:
    names = {"__name__": "__main__", "__file__": str(script), "ctx": ctx, "inputs": dict(inputs)}
    try:
        code = compile(script.read_bytes(), str(script), "exec")
        exec(code, names)  # noqa: S102  # nosec B102 # what eval_python asks for
    except SystemExit as error:
        if error.code not in (None, 0):
            raise


def _run(ctx: OperationContext, script: Path, script_path: str, settings: ProcessSettings,
         inputs: Mapping[str, Any]) -> None:
    output = ScriptOutput(ctx.logger)
    commands = script.parent / "bin"
    with ContextServer(ctx, script.parent / "files") as server:
        server.put_command(commands)
        variables = environment(entries(inputs, settings), server.environment, str(commands))
        child = Child(_command(script, settings, variables["PATH"]), settings.cwd, variables)
        try:
            if ctx.task.cancelled:  # whoever asked while it was being started has found nothing to end
                raise InterruptedError(f"{script_path} was ended before it had begun")
            held = child.listen(output.stdout.take, output.stderr.take)
            conclude(script_path, child.exit_code, output, server)
        except BaseException:
            child.kill(server)
            raise
    if held:
        ctx.logger.warning("%s left a process running that holds its output; send its output elsewhere "
                           "(>file 2>&1), nobody reads it from now on", script_path)


def _command(script: Path, settings: ProcessSettings, path: str) -> list[str]:
    with script.open("rb") as file:
        found = interpreter(script.name, file.read(FIRST_LINE), settings, sys.executable)
    for program in found.programs:
        place = os.path.join(settings.cwd or "", program) if "/" in program else program  # noqa: PTH118 - `/` drops "./"
        if shutil.which(place, path=path):
            return found.command(program, str(script), settings)
    if found.programs:
        raise found.missing()
    return found.command(None, str(script), settings)
