"""Gives a script its ``ctx`` command: an executable, a private socket, and a key for this attempt."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath
from types import TracebackType

from aria_core.worker import ctx_command
from aria_core.worker.channel_server import ChannelServer
from aria_core.worker.context import OperationContext
from aria_core.worker.ctx_verbs import ONCE, ContextVerbs
from aria_core.worker.marking import ATTEMPT_VARIABLE, TOKEN_VARIABLE

KEY_VARIABLE = "ARIA_CTX_KEY"
SOCKET_VARIABLE = "ARIA_CTX_SOCKET"


class ContextServer:
    """Serves ``ctx`` commands while its block runs, of a script on this host or behind a forwarded `socket`.

    `directory`, on the host of the script, takes downloads without a destination; its maker removes it.
    A program finds the command if a directory with `wrapper` as ``ctx`` is on its PATH and `environment`
    is in its environment. `key`, under the name `key_variable`, marks what was started with this
    environment and nothing else.
    """

    key_variable = KEY_VARIABLE
    socket_variable = SOCKET_VARIABLE
    program = Path(ctx_command.__file__)
    """The file that is the command: for any Python 3, needs nothing else."""

    def __init__(self, ctx: OperationContext, directory: str | PurePath) -> None:
        self._verbs = ContextVerbs(ctx, str(directory))
        self._server = ChannelServer(lambda ref, request: self._verbs.answer(request))
        address = self._server.address_for(ctx.ref)
        self.key = address.key
        self.socket = address.socket
        self.environment = {
            ATTEMPT_VARIABLE: ctx.mark, TOKEN_VARIABLE: ctx.task.token,
            SOCKET_VARIABLE: address.socket, KEY_VARIABLE: address.key}

    @staticmethod
    def wrapper(program: str, pythons: Sequence[str] = ("python3", "python")) -> str:
        """The text of the executable ``ctx`` elsewhere: runs `program` with the first of `pythons` there."""
        words = f'-IS {shlex.quote(program)} "$@"'
        names = " ".join(map(shlex.quote, pythons))
        is_new = '"$each" -c "import sys; sys.exit(sys.version_info < (3,))"'
        return (f'#!/bin/sh\nfor each in {names}; do\n'
                '    command -v "$each" >/dev/null 2>&1 || continue\n'
                f'    case $each in *python3*) ;; *) {is_new} 2>/dev/null || continue ;; esac\n'
                f'    exec "$each" {words}\ndone\n'
                f'echo "ctx: this host has none of {names}, which the ctx command needs" >&2\nexit 127\n')

    def put_command(self, directory: Path) -> None:
        """Write the executable ``ctx`` into a new private directory on this host.

        It goes through sh: a first line has no room for long paths, nor for blanks in them. And it imports
        the command, so that it need not be compiled each time.
        """
        directory.mkdir(mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(directory / "ctx", flags, 0o700), "w") as file:
            file.write(f'#!/bin/sh\nexec {_here()} "$@"\n')

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


def _here() -> str:
    program = ContextServer.program
    code = (f"import sys; sys.path.append({str(program.parent)!r}); "
            f"from {program.stem} import main; sys.exit(main(sys.argv[1:]))")
    return " ".join(map(shlex.quote, (sys.executable, "-IS", "-c", code)))
