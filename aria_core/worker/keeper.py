"""The keeper: a process behind each worker that lets nothing outlive the runner.

A worker cannot watch its runner by itself: an operation that never gives the interpreter back would
keep a watching thread from running, and the kernel's parent-death signal would end the worker but
not what its operation has started. So a worker forks before anything else. The child goes on as the
worker; the parent stays behind, tiny, and waits for one of two things: the worker ends (then it ends
in the same way), or the runner hangs up (then it kills the worker and everything that carries the
mark of the attempt it was working for).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from aria_core.worker.marking import ATTEMPT_VARIABLE
from aria_core.worker.processes import find_marked, kill_all

CANNOT_FORK = os.EX_TEMPFAIL
"""The exit code of a worker for which the system has no process or memory now: to be tried again."""

_PARENT_CHECK_MS = 1000
_PR_SET_PDEATHSIG = 1


def stay_behind(line: socket.socket) -> None:
    """Fork: returns in the child, the worker; the parent keeps it and never returns.

    `line` is the socket to the runner. To be called before the process has a second thread.
    """
    _leave_no_core()
    runner, keeper = os.getppid(), os.getpid()
    worker = _fork()
    if worker:
        _keep(worker, line, runner)
    _die_with_parent(keeper)


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.ENOMEM):
            raise
        raise SystemExit(CANNOT_FORK) from None


def _die_with_parent(keeper: int) -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)


def _keep(worker: int, line: socket.socket, runner: int) -> NoReturn:
    awake, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(worker, number))
    poll = select.poll()
    poll.register(awake, select.POLLIN)
    poll.register(line, 0)
    while True:
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            _end_like(status)
        hung_up = any(event[0] == line.fileno() for event in poll.poll(_PARENT_CHECK_MS))
        if hung_up or os.getppid() != runner:
            _end_all(worker, runner)
        _swallow(awake)


def _swallow(awake: socket.socket) -> None:
    try:
        awake.recv(4096, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return


def _end_all(worker: int, runner: int) -> NoReturn:
    """The worker must not begin another attempt while its mark is read, so it is stopped first.

    A runner that carries the mark, too, is itself a worker, whose attempt has a plugin: it sees to itself.
    """
    os.kill(worker, signal.SIGSTOP)
    mark = _mark_of(worker)
    os.kill(worker, signal.SIGKILL)
    if mark:
        kill_all(lambda: [pid for pid in find_marked(mark) if pid != runner], 0.0)
    os._exit(1)


def _mark_of(pid: int) -> str:
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    start = f"{ATTEMPT_VARIABLE}=".encode()
    marks = [entry[len(start):].decode().strip() for entry in block.split(b"\0") if entry.startswith(start)]
    return marks[0] if marks else ""


def _end_like(status: int) -> NoReturn:
    """End as the worker did, so that the runner sees its exit code or signal."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
    os._exit(128 - code)


def _leave_no_core() -> None:
    """Whoever crashes had secrets in its memory; an operation that wants a core file may raise the limit."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
