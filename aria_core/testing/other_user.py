"""The command ``aria`` as a user for whom permissions hold, whoever runs the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from aria_core.testing.crash_process import PATIENCE, Ended

NOBODY = 65534


def give_away(directory: Path) -> None:
    """Make a directory with all that is in it that user's, if it can be another than we."""
    if os.geteuid() == 0:
        for each in (directory, *directory.rglob("*")):
            os.chown(each, NOBODY, NOBODY, follow_symlinks=False)


def run_as_other(directory: Path, rehearsal: Path, commands: Sequence[tuple[str, ...]]) -> list[Ended]:
    """Run ``aria`` with each of these words in `directory`: as another user if we are root, else as we are.

    They run in the directory `rehearsal` before, as who we are: what they import may lie where others
    cannot read, as in a home.
    """
    process = get_context("forkserver").Process(target=_be, args=(directory, rehearsal, commands))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0, f"aria did not end within {PATIENCE} s: {process.exitcode}"
    return [Ended(int((rehearsal / f"code-{number}").read_text()), (rehearsal / f"out-{number}").read_text(),
                  (rehearsal / f"err-{number}").read_text()) for number in range(len(commands))]


def _be(directory: Path, rehearsal: Path, commands: Sequence[tuple[str, ...]]) -> None:
    opened = [[os.open(rehearsal / f"{name}-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
               for name in ("out", "err", "code")] for number in range(len(commands))]
    for words in commands:
        _run(rehearsal, words, os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, os.O_WRONLY))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for words, (out, err, code) in zip(commands, opened, strict=True):
        os.write(code, str(_run(directory, words, out, err)).encode())
    os._exit(0)


def _run(directory: Path, words: tuple[str, ...], out: int, err: int) -> int:
    from aria_core.__main__ import main

    sys.argv = ["aria", *words]
    os.chdir(directory)
    os.dup2(out, 1)
    os.dup2(err, 2)
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0
