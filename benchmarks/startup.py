"""How long commands take to start, and what memory: ``python -m benchmarks.startup "" 1 --mode help``.

``hello-world`` is the example of that name up to its first operation, from an empty directory of data. A
run measures one command; the driver goes through all of them in turn, so that ratios mean something.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

import aria_core
from benchmarks.cells import COMMANDS
from benchmarks.peers import common

ROOT = Path(__file__).parents[1]
SHORT: Mapping[str, Sequence[str]] = {
    "pass": ["-c", "pass"],
    "import": ["-c", "import aria_core"],
    "version": ["-m", "aria_core", "--version"],
    "help": ["-m", "aria_core", "--help"]}
PATIENCE = 60.0
_FIRST = "scripts/create-server.sh"
_NOTES = '#!/bin/sh\n: >"$TMPDIR/began"\nexec sleep 60\n'
"""What stands in the place of the first operation: it says that it has begun, and stays."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("n", type=int)
    parser.add_argument("--mode", choices=COMMANDS)
    mode = parser.parse_args().mode
    row = {"peer": "cli", "version": aria_core.__version__, "mode": mode, "shape": "", "n": 1,
           "verified": True}
    if mode == "hello-world":
        seconds, row["rss_mb"] = hello_world(Path(os.environ["PEER_DIR"]))
    else:
        seconds = min(short(SHORT[mode]) for _ in range(2))  # the first may find cold caches
    common.emit({**row, "exec_s": round(seconds, 5)})


def short(arguments: Sequence[str]) -> float:
    """Seconds that a command takes which ends by itself."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def hello_world(directory: Path) -> tuple[float, float]:
    """Seconds until the first operation runs, and the MB that all processes have taken by then."""
    example, began_file = directory / "hello-world", directory / "began"
    shutil.copytree(ROOT / "examples" / "hello-world", example)
    (example / _FIRST).write_text(_NOTES)
    environment = {**os.environ, "HOME": str(directory), "TMPDIR": str(directory),
                   "XDG_DATA_HOME": str(directory / "data"), "XDG_CONFIG_HOME": str(directory / "config")}
    began = time.perf_counter()
    aria = subprocess.Popen(
        [sys.executable, "-m", "aria_core", "run", str(example / "hello-world.yaml")], cwd=directory,
        env=environment, stdout=subprocess.DEVNULL)
    while not began_file.exists():
        assert aria.poll() is None, f"aria ended with {aria.returncode}"
        assert time.perf_counter() < began + PATIENCE, "no operation began"
        time.sleep(0.002)
    seconds = time.perf_counter() - began
    memory = common.peak_mb(with_own=False)
    _end(aria)
    return seconds, memory


def _end(aria: subprocess.Popen[bytes]) -> None:
    started = psutil.Process(aria.pid).children(recursive=True)
    aria.kill()
    aria.wait()
    for each in started:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
