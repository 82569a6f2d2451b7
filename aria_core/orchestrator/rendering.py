"""Rendering of templates (Jinja2), which whoever wrote a service template may have written with malice.

A template sees plain data only, in an immutable sandbox, in a process of its own with limits on
memory, time and output: a sandbox alone does not stop ``{{ 'a' * 10**9 }}``. Starting that process
takes about 0.15 s, so a `Renderer` keeps it (then a rendering takes well under a millisecond) and
replaces it when a template has used it up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aria_core.exceptions import ConfigurationError, InvalidInputError
from aria_core.modeling.values import plain_json

MAX_TEMPLATE = 1 << 20
"""The largest template, in characters."""
MAX_OUTPUT = 10 << 20
"""The largest rendered text, in characters."""
MAX_MEMORY = 512 << 20
"""The address space of the rendering process, in bytes."""
MAX_SECONDS = 5
"""How long one rendering may compute, and nearly how long it may last."""

_CHILD = Path(__file__).with_name("render_child.py")


class Renderer:
    """Renders templates in one limited process, started when first needed. Safe to use from threads.

    To be closed at the end; using it again starts it again.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, text: str, variables: Mapping[str, Any], name: str = "template") -> str:
        """`text` with `variables` filled in; `name` is what messages call the template.

        Raises ``NotJsonError`` for variables that are not plain data and ``InvalidInputError``, with
        name and line, for a template that is wrong, refers to what does not exist, does what the
        sandbox forbids, or exceeds a limit.
        """
        if len(text) > MAX_TEMPLATE:
            raise InvalidInputError(f"{name} has {len(text)} characters; a template has at most "
                                    f"{MAX_TEMPLATE}")
        request = {"text": plain_json(text, name), "variables": plain_json(variables, "variables")}
        with self._turn:
            reply = self._ask(json.dumps(request).encode() + b"\n")
        if reply is None:
            raise InvalidInputError(f"{name} could not be rendered within {MAX_SECONDS} s and "
                                    f"{MAX_MEMORY >> 20} MiB of memory")
        if "error" in reply:
            line = f", line {reply['line']}" if reply["line"] else ""
            raise InvalidInputError(f"{name}{line}: {reply['error']}")
        return str(plain_json(reply["rendered"], f"the rendered {name}"))

    def _ask(self, request: bytes) -> dict[str, Any] | None:
        process = self._process = self._process or _start()
        # The watch covers what RLIMIT_CPU cannot: a child that waits instead of computing.
        watch = threading.Timer(MAX_SECONDS * 2 + 2, process.kill)
        watch.start()
        reply = None
        try:
            reply = _exchange(process, request)
        finally:
            watch.cancel()
            if reply is None:  # gone, or interrupted with an answer on its way: of no use any more
                self._stop()
        return reply

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # an unsent rest of a request
                    if pipe is not None:
                        pipe.close()
            process.wait()

    def close(self) -> None:
        """End the process. Idempotent."""
        with self._turn:
            self._stop()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def render(text: str, variables: Mapping[str, Any], name: str = "template") -> str:
    """Render once, in a process of its own; see `Renderer.render`."""
    with Renderer() as renderer:
        return renderer.render(text, variables, name)


def _start() -> subprocess.Popen[bytes]:
    # -I: neither the current directory nor the environment may put code into this process.
    arguments = [json.dumps(_library_paths()), str(MAX_MEMORY), str(MAX_SECONDS), str(MAX_OUTPUT)]
    return subprocess.Popen(  # nosec B603 # our own program, numbers as arguments, no environment
        [sys.executable, "-I", str(_CHILD), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env={}, cwd="/", start_new_session=True)


def _library_paths() -> list[str]:
    found = [find_spec(each) for each in ("jinja2", "markupsafe")]
    if not all(found):
        raise ConfigurationError("templates are rendered by Jinja2, which is not installed; "
                                 "pip install jinja2")
    return sorted({str(Path(each.origin).parent.parent) for each in found if each and each.origin})


def _exchange(process: subprocess.Popen[bytes], request: bytes) -> dict[str, Any] | None:
    if process.stdin is None or process.stdout is None:
        return None
    try:
        process.stdin.write(request)
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        return None
    return dict(json.loads(line)) if line.endswith(b"\n") else None
