"""The command line ``aria``: one module for each word, imported when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``aria`` with the arguments of this process; exits with the code that tells how it went."""
    if sys.platform == "win32":
        sys.exit("aria: Windows is not supported; ARIA runs on Linux, also inside WSL, and on macOS")
    import signal

    ours = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        ours.append(signal.SIGHUP)
    # without a handler an open transaction or a half-made directory would be left to others
    for each in ours:
        signal.signal(each, _terminated)
    try:
        from .root import aria

        aria(prog_name="aria")
    except KeyboardInterrupt:  # before or after `aria` itself, which tells it
        sys.exit(128 + signal.SIGINT)
    finally:
        for each in (*ours, signal.SIGINT):  # at the interpreter's end a handler would bring a traceback
            signal.signal(each, signal.SIG_DFL)


def _terminated(number: int, _: object) -> None:
    sys.exit(128 + number)
