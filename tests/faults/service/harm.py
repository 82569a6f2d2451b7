"""Operations that harm themselves and their host; each writes down when it begins and ends."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from aria_core.testing.effects import note
from aria_core.testing.fault_points import append_line
from aria_core.testing.operations import family

MEBIBYTE = 1024 * 1024


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"{path} did not appear")
        time.sleep(0.005)


def die(ctx, directory, how):
    """Ends its own process; the last time only after the file ``others`` is there."""
    note(ctx, directory, "begin")
    if ctx.task.attempt == 3:
        wait_for(Path(directory, "others"))
    append_line(Path(directory, "deaths"), str(time.time()))
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def outlive(ctx, directory):
    """Lasts until three others have died, and a little longer."""
    note(ctx, directory, "begin")
    deaths, until = Path(directory, "deaths"), time.monotonic() + 60
    while (deaths.read_text().count("\n") if deaths.exists() else 0) < 3 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.3)
    note(ctx, directory, "end")


def tell_of_family(ctx, directory):
    for pid in [os.getpid(), *family()]:
        append_line(Path(directory, "family"), f"{ctx.task.token}/{ctx.task.attempt} {pid}")


def hang(ctx, directory):
    """Starts children and daemons and never returns, whatever it is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell_of_family(ctx, directory)
    note(ctx, directory, "begin")
    while True:
        time.sleep(1e6)


def fail_at_first(ctx, directory):
    """Starts children and daemons; the first attempt fails, the second leaves a server and succeeds."""
    note(ctx, directory, "begin")
    tell_of_family(ctx, directory)
    if ctx.task.attempt == 1:
        raise ValueError("the first time it fails")
    note(ctx, directory, "end")


def last_for_ever(ctx, directory):
    """Starts children and daemons and lasts until it is told to end."""
    tell_of_family(ctx, directory)
    note(ctx, directory, "begin")
    while True:
        time.sleep(1)


def print_much(ctx, directory, pieces, megabytes):
    """Prints so much of each of these bytes, once somebody watches."""
    note(ctx, directory, "begin")
    wait_for(Path(directory, "watched"))
    piece = bytes(pieces) * (MEBIBYTE // len(pieces))
    for _ in range(megabytes):
        sys.stdout.buffer.write(piece)
    note(ctx, directory, "end")


def log_much(ctx, directory, lines, length):
    """Logs faster than any database stores, once somebody watches."""
    note(ctx, directory, "begin")
    wait_for(Path(directory, "watched"))
    for _ in range(lines):
        ctx.logger.info("x" * length)
    note(ctx, directory, "end")


def exhaust(ctx, directory, chunk):
    """Takes memory without end, of which there are 300 MiB."""
    note(ctx, directory, "begin")
    wait_for(Path(directory, "watched"))
    resource.setrlimit(resource.RLIMIT_AS, (300 * MEBIBYTE,) * 2)
    taken = []
    while True:
        taken.append(bytearray(chunk))
