"""Running a script of the template on this host."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aria_core import (
    ContextServer,
    OperationContext,
    TaskAbortException,
    scratch_directory,
    shown_url,
)
from aria_plugins.operations.script.child import Child
from aria_plugins.operations.script.command import interpreter
from aria_plugins.operations.script.ending import conclude
from aria_plugins.operations.script.errors import ScriptSettingsError
from aria_plugins.operations.script.fetch import Script, fetch_script
from aria_plugins.operations.script.output import ScriptOutput
from aria_plugins.operations.script.settings import ProcessSettings, process_settings
from aria_plugins.operations.script.variables import entries, environment


def run_script_locally(ctx: OperationContext, script_path: str, process: Mapping[str, Any] | None = None,
                       **inputs: Any) -> None:
    """Run a script among the template's files, or at an http or https URL.

    A ``.py`` script is evaluated in the operation's own process with ``ctx`` and ``inputs``, unless
    `process` has ``eval_python: false`` or says anything about a process: ``cwd``, ``env``, ``args`` or
    ``command_prefix`` (instead of the interpreter). ``eval_python: true`` evaluates any script.

    All others are children in sessions of their own. `inputs` are their environment variables (text as
    it is, everything else as JSON), besides PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR of
    the worker, what the process setting ``env`` adds, ``ARIA_ATTEMPT`` and ``ARIA_TASK_TOKEN``. The
    ``ctx`` command is on their PATH. The interpreter is what the first line says; without such a line
    Python runs ``.py``, PowerShell ``.ps1`` and sh the rest. Standard output is logged as info, standard
    error as warning.

    Raises ``ProcessException`` if the script does not end with 0, ``TaskAbortException`` if it is missing
    or cannot be started, ``DownloadError`` if it cannot be downloaded now, and what the script says with
    ``ctx task retry`` or ``ctx task abort``. Then everything it started is killed; what a script that
    ends well left running stays.
    """
    directory = scratch_directory("script")
    try:
        settings = process_settings(process)
        script = fetch_script(ctx, script_path, directory / "script")
        if _is_evaluated(script, settings):
            _evaluate(ctx, script, settings, inputs)
        else:
            _run(ctx, script, settings, inputs, directory)
    except ScriptSettingsError as error:
        raise TaskAbortException(f"{shown_url(script_path)}: {error}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _is_evaluated(script: Script, settings: ProcessSettings) -> bool:
    if settings.eval_python is not None:
        return settings.eval_python
    return script.file.suffix == ".py" and not settings.of_a_process


def _evaluate(ctx: OperationContext, script: Script, settings: ProcessSettings,
              inputs: Mapping[str, Any]) -> None:
    if unused := settings.of_a_process:
        ctx.logger.warning("%s is evaluated in the process of its worker; what its settings say about %s has "
                           "no effect", script.name, ", ".join(unused))
    names = {"__name__": "__main__", "__file__": str(script.file), "ctx": ctx, "inputs": dict(inputs)}
    try:
        code = compile(script.file.read_bytes(), f"<{script.name}>", "exec")
        exec(code, names)  # noqa: S102  # nosec B102 # what eval_python asks for
    except SystemExit as error:
        if error.code not in (None, 0):
            raise


def _run(ctx: OperationContext, script: Script, settings: ProcessSettings, inputs: Mapping[str, Any],
         directory: Path) -> None:
    output = ScriptOutput(ctx.logger)
    commands = directory / "bin"
    with ContextServer(ctx, directory / "files") as server:
        server.put_command(commands)
        variables = environment(entries(inputs, settings), server.environment, str(commands))
        child = Child(_command(script, settings, variables["PATH"]), settings.cwd, variables)
        try:
            if ctx.task.cancelled:  # whoever asked while it was being started has found nothing to end
                raise InterruptedError(f"{script.name} was ended before it had begun")
            held = child.listen(output.stdout.take, output.stderr.take)
            conclude(script.name, child.exit_code, output, server)
        except BaseException:
            child.kill(server)
            raise
    if held:
        ctx.logger.warning("%s left a process running that holds its output; send its output elsewhere "
                           "(>file 2>&1), nobody reads it from now on", script.name)


def _command(script: Script, settings: ProcessSettings, path: str) -> list[str]:
    found = interpreter(script.file.name, script.start, settings, sys.executable)
    for program in found.programs:
        place = os.path.join(settings.cwd or "", program) if "/" in program else program  # noqa: PTH118 - `/` drops "./"
        if shutil.which(place, path=path):
            return found.command(program, str(script.file), settings)
    if found.programs:
        raise found.missing()
    return found.command(None, str(script.file), settings)
