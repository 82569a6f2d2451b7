"""Operations for tests, importable wherever aria_core is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SLEEPER = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)")


class OperationError(Exception):
    """What the operations here raise when they are to fail."""


@contextmanager
def writing_down(call: Any) -> Iterator[None]:
    """A wrapper: writes into the file that the call names when it begins and when it ends."""
    with Path(call.arguments["file"]).open("a") as file:
        print("before", file=file, flush=True)
        yield
        print("after", file=file)


def where(ctx: Any) -> dict[str, Any]:
    """Says where it runs."""
    return {"pid": os.getpid(), "thread": threading.get_ident()}


def attempt(ctx: Any) -> dict[str, Any]:
    """Says which attempt it is."""
    return {"attempt": ctx.task.attempt, "token": ctx.task.token}


def nothing(ctx: Any) -> None:
    """Does nothing."""


def echo(ctx: Any, **arguments: Any) -> dict[str, Any]:
    """Returns its arguments."""
    return arguments


def size(ctx: Any, text: str) -> int:
    """Returns how long its argument is."""
    return len(text)


def text(ctx: Any, length: int) -> str:
    """Returns a text of `length` characters."""
    return "ä€😀x" * (length // 4) + "-" * (length % 4)


def fail(ctx: Any, message: str = "it went wrong") -> None:
    """Raises."""
    raise OperationError(message)


def leave(ctx: Any, code: int = 3) -> None:
    """Raises ``SystemExit``."""
    sys.exit(code)


def retry(ctx: Any, message: str, after: float | None = None) -> None:
    """Asks for another attempt."""
    ctx.task.retry(message, after)


def abort(ctx: Any, message: str) -> None:
    """Gives up for good."""
    ctx.task.abort(message)


def ask(ctx: Any, path: str) -> str:
    """Returns the bytes of a resource as text."""
    data: bytes = ctx.get_resource(path)
    return data.decode()


def tell(ctx: Any, messages: Sequence[str]) -> None:
    """Logs."""
    for message in messages:
        ctx.logger.info(message)


def edit(ctx: Any, name: str, value: Any, message: str | None = None) -> None:
    """Changes an attribute of its node and, if there is a `message`, fails with it."""
    ctx.node.attributes[name] = value
    if message is not None:
        raise OperationError(message)


def edit_big(ctx: Any, name: str, size: int) -> None:
    """Sets an attribute to a text of this size."""
    ctx.node.attributes[name] = "x" * size


def note(ctx: Any, path: str, line: str) -> None:
    """Appends a line to a file, in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def note_when_released(ctx: Any, path: str, gate: str) -> None:
    """Waits until the file `gate` exists, then appends a line to the file `path`."""
    wait_for_file(ctx, gate)
    note(ctx, path, ctx.task.token)


def wait_for_file(ctx: Any, path: str, begun: str | None = None) -> dict[str, Any]:
    """Says that it has begun, waits until the file `path` exists, says where it ran."""
    if begun is not None:
        note(ctx, begun, f"{ctx.task.token} begun")
    while not Path(path).exists():
        time.sleep(0.005)
    if begun is not None:
        note(ctx, begun, f"{ctx.task.token} ended")
    return where(ctx)


def count_at_once(ctx: Any, directory: str, seconds: float) -> int:
    """How many operations with this directory ran at once, this one among them, at most."""
    mine = Path(directory) / ctx.task.token.replace("/", "-")
    mine.touch()
    most, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        most = max(most, len(os.listdir(directory)))  # noqa: PTH208 - only how many
        time.sleep(0.002)
    mine.unlink()
    return most


def end_process(ctx: Any, code: int | None = None) -> None:
    """Ends its process without a word: exits with `code`, or kills itself."""
    if code is not None:
        os._exit(code)
    os.kill(os.getpid(), signal.SIGKILL)


def end_process_with_child(ctx: Any, pids: str) -> None:
    """Starts a daemon, writes down its pid, and kills its own process."""
    _write_pids(pids, [_daemon()])
    os.kill(os.getpid(), signal.SIGKILL)


def hang(ctx: Any, pids: str, stubborn: bool = False) -> None:
    """Starts a child, a grandchild and daemons, writes down all pids and never returns.

    `stubborn`: it and its child ignore SIGTERM.
    """
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _write_pids(pids, [os.getpid(), *family()])
    while True:
        time.sleep(1)


def hang_in_interpreter(ctx: Any, pids: str) -> None:
    """Starts a daemon, writes down pids and then keeps the interpreter from running anything else."""
    _write_pids(pids, [os.getpid(), _daemon()])
    sys.setswitchinterval(1000)
    while True:
        pass


def fail_with_family(ctx: Any, pids: str) -> None:
    """Starts a child, a grandchild and daemons, writes down their pids and fails."""
    _write_pids(pids, family())
    raise OperationError("but what it started is still there")


def leave_server(ctx: Any, pids: str) -> None:
    """Leaves a process running and succeeds."""
    _write_pids(pids, [_daemon()])


def family() -> list[int]:
    """Starts a child with a child of its own, one in its own session, and a forked daemon."""
    script = ("import subprocess, sys, time\n"
              "child = subprocess.Popen(sys.argv[1:])\n"
              "print(child.pid, flush=True)\n"
              "time.sleep(1000)\n")
    command = [sys.executable, "-I", "-S", "-c", script, *SLEEPER]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)  # nosec B603 # words of our own
    assert child.stdout is not None
    return [child.pid, int(child.stdout.readline()), _daemon(), _forked_daemon()]


def _daemon() -> int:
    """A process in a session of its own whose parent has ended."""
    command = ["/bin/sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", *SLEEPER]
    done = subprocess.run(command,  # nosec B603 # words of our own
                          stdout=subprocess.PIPE, start_new_session=True, check=True)
    return int(done.stdout)


def _forked_daemon() -> int:
    """What a double fork without ``exec`` leaves: it has its parent's memory and no other mark."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            while True:
                time.sleep(1)
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reader, 32))


def _write_pids(path: str, pids: Sequence[int]) -> None:
    draft = Path(f"{path}.draft")
    draft.write_text(" ".join(map(str, pids)))
    draft.rename(path)


def shout(ctx: Any, line: str = "x" * 1023, count: int = 1) -> None:
    """Prints `line` `count` times."""
    for _ in range(count):
        print(line)  # noqa: T201 - that is what it is for


def shout_bytes(ctx: Any, data: Sequence[int]) -> None:
    """Prints bytes that may be no UTF-8."""
    sys.stdout.buffer.write(bytes(data))
    sys.stdout.flush()


def crash(ctx: Any) -> None:
    """Reads where nothing is."""
    import ctypes

    ctypes.string_at(0)


def environment(ctx: Any) -> dict[str, str]:
    """Returns the environment variables it sees."""
    return dict(os.environ)


def fork_and_return(ctx: Any) -> int:
    """Forks; both return."""
    return os.fork()


def until_cancelled(ctx: Any) -> str:
    """Works until somebody wants it to end."""
    while not ctx.task.cancelled:
        time.sleep(0.005)
    return "tidied up"


def run_marked_child(ctx: Any, pids: str) -> None:
    """Runs a child process that carries the mark of the attempt, as a script does."""
    variables = {**os.environ, "ARIA_ATTEMPT": ctx.mark}
    with subprocess.Popen(SLEEPER, env=variables) as child:  # nosec B603 # words of our own
        _write_pids(pids, [child.pid])
        if child.wait():
            raise OperationError(f"the child ended with {child.returncode}")


def tidy_up(ctx: Any, pids: str, done: str) -> None:
    """Hangs, and when it is asked to end, says that it could tidy up."""
    _write_pids(pids, [os.getpid()])
    try:
        while True:
            time.sleep(1)
    finally:
        note(ctx, done, f"cancelled={ctx.task.cancelled}")


def say_to_stderr(ctx: Any, text: str) -> None:
    """Prints to stderr, without an end of line."""
    sys.stderr.write(text)


def import_from(ctx: Any, module: str) -> str:
    """Imports a module; says where it came from, or that there is none."""
    try:
        return str(__import__(module).__file__)
    except ModuleNotFoundError:
        return "not installed"
