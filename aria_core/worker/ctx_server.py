"""Gives a script its ``ctx`` command: an executable, a private socket, and a key for this attempt."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from types import TracebackType

from aria_core.worker import ctx_command
from aria_core.worker.channel_server import ChannelServer
from aria_core.worker.context import OperationContext
from aria_core.worker.ctx_verbs import ONCE, ContextVerbs
from aria_core.worker.marking import ATTEMPT_VARIABLE, TOKEN_VARIABLE

KEY_VARIABLE = "ARIA_CTX_KEY"
SOCKET_VARIABLE = "ARIA_CTX_SOCKET"


class ContextServer:
    """Serves ``ctx`` commands while its block runs.

    `directory` is a private directory of the caller's, who removes it. A program finds the command if
    `bin` is on its PATH and `environment` is in its environment. `key`, under the name `key_variable`,
    marks what was started with this environment and nothing else.
    """

    key_variable = KEY_VARIABLE

    def __init__(self, ctx: OperationContext, directory: Path, python: str = sys.executable) -> None:
        self.bin = directory / "bin"
        _write_command(self.bin, python)
        self._verbs = ContextVerbs(ctx, directory)
        self._server = ChannelServer(lambda ref, request: self._verbs.answer(request))
        address = self._server.address_for(ctx.ref)
        self.key = address.key
        self.environment = {
            ATTEMPT_VARIABLE: ctx.mark, TOKEN_VARIABLE: ctx.task.token,
            SOCKET_VARIABLE: address.socket, KEY_VARIABLE: address.key}

    def raise_verdict(self) -> None:
        """Raise what the script decided with ``ctx task retry`` or ``abort``, if it did.

        Raises ``RuntimeError`` if it decided twice.
        """
        if self._verbs.twice:
            raise RuntimeError(ONCE)
        if self._verbs.verdict is not None:
            raise self._verbs.verdict

    def close(self) -> None:
        """Serve no more. Idempotent."""
        self._server.close()

    def __enter__(self) -> ContextServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _write_command(directory: Path, python: str) -> None:
    directory.mkdir(mode=0o700)
    words = " ".join(shlex.quote(each) for each in (python, "-IS", str(Path(ctx_command.__file__))))
    # Through sh: a first line has no room for long paths, nor for blanks in them.
    with os.fdopen(os.open(directory / "ctx", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w") as file:
        file.write(f'#!/bin/sh\nexec {words} "$@"\n')
