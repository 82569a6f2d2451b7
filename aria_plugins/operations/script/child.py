"""The script as a process: started in a session of its own, listened to, waited for, and ended."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from aria_core import ContextServer, kill_marked, kill_session
from aria_plugins.operations.script.errors import ScriptSettingsError

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for what a failed script left running."""

_PIECE = 64 * 1024
_LAST_SECONDS = 0.3  # for what stands in the pipes of a script that has ended

# Another attempt would meet the same; anything else (no processes or descriptors left) passes.
_HOPELESS = frozenset({errno.ENOENT, errno.EACCES, errno.E2BIG, errno.ENOEXEC, errno.ENOTDIR})

Take = Callable[[bytes], None]


class Child:
    """A running script."""

    def __init__(self, words: Sequence[str], cwd: str | None, environment: Mapping[str, str]) -> None:
        if cwd is not None and not Path(cwd).is_dir():
            raise ScriptSettingsError(f"the process setting cwd is {cwd!r}, which is no directory")
        try:
            self._process = subprocess.Popen(  # nosec B603 # running scripts is the purpose; no shell
                words, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            if error.errno not in _HOPELESS:
                raise
            raise ScriptSettingsError(_refusal(error, words, environment)) from error

    def listen(self, take_stdout: Take, take_stderr: Take) -> bool:
        """Pass on what the script prints until it ends; True if something it left keeps its pipes open.

        Its end counts, not that of its pipes: a server it started in the background may hold them for ever.
        """
        ended, ending = socket.socketpair()
        threading.Thread(target=_wait, args=(self._process, ending), name="aria-script", daemon=True).start()
        with ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(stack.enter_context(ended), selectors.EVENT_READ)
            for stream, take in ((self._process.stdout, take_stdout), (self._process.stderr, take_stderr)):
                if stream is not None:
                    os.set_blocking(stack.enter_context(stream).fileno(), False)
                    selector.register(stream, selectors.EVENT_READ, take)
            while not _read_ready(selector):
                continue
            selector.unregister(ended)
            return _read_rest(selector)

    @property
    def exit_code(self) -> int:
        """How it ended; negative if a signal ended it."""
        return self._process.wait()

    def kill(self, server: ContextServer) -> None:
        """End it and everything it has started: what is in its session, and what has its environment."""
        kill_session(self._process.pid, GRACE)
        kill_marked(server.key, GRACE, server.key_variable)
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _refusal(error: OSError, words: Sequence[str], environment: Mapping[str, str]) -> str:
    if error.errno != errno.E2BIG:
        return f"{words[0]} cannot be started: {error.strerror}"
    texts = (*words, *(f"{name}={value}" for name, value in environment.items()))
    size = sum(len(os.fsencode(each)) + 1 for each in texts)
    return (f"its arguments and environment have {size} bytes, more than a program can be given here; "
            "pass files instead")


def _wait(process: subprocess.Popen[bytes], ending: socket.socket) -> None:
    with ending:
        process.wait()


def _read_ready(selector: selectors.BaseSelector, timeout: float | None = None) -> bool:
    """Read what is there; True if the process has ended."""
    ready = selector.select(timeout)
    for key, _ in ready:
        if key.data is not None and not _read(key.fd, key.data):
            selector.unregister(key.fileobj)
    return any(key.data is None for key, _ in ready)


def _read(descriptor: int, take: Take) -> bool:
    """Whether the stream goes on."""
    try:
        data = os.read(descriptor, _PIECE)
    except BlockingIOError:
        return True
    if data:
        take(data)
    return bool(data)


def _read_rest(selector: selectors.BaseSelector) -> bool:
    """Read what a process that has ended left in its pipes; whether one of them is still held open."""
    # Not at once: a server in the background may be about to send its output elsewhere.
    deadline = time.monotonic() + _LAST_SECONDS
    while selector.get_map() and (left := deadline - time.monotonic()) > 0:
        _read_ready(selector, left)
    return bool(selector.get_map())
