"""The command line ``aria``: one module for each word, imported when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``aria`` with the arguments of this process; exits with the code that tells how it went."""
    if sys.platform == "win32":
        sys.exit("aria: Windows is not supported; ARIA runs on Linux, also inside WSL, and on macOS")
    import signal

    from .root import aria

    # without a handler an open transaction or a half-made directory would be left to others
    signal.signal(signal.SIGTERM, _terminated)
    aria(prog_name="aria")


def _terminated(number: int, _: object) -> None:
    sys.exit(128 + number)
