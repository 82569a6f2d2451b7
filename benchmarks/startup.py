"""How long starting takes, as a ratio to ``python -c pass`` on the same machine at the same time.

::

    python benchmarks/startup.py            # medians of 10 runs each
    python benchmarks/startup.py 30

The budget: ``aria --help`` takes at most 15 times as long as ``python -c pass`` on an idle machine.
Rounds go through all commands in turn, so that a busy moment slows each of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

BUDGET = {"aria --help": 15.0}

COMMANDS: Mapping[str, Sequence[str]] = {
    "python -c pass": ["-c", "pass"],
    "import aria_core": ["-c", "import aria_core"],
    "aria --version": ["-m", "aria_core", "--version"],
    "aria --help": ["-m", "aria_core", "--help"],
}


def seconds(arguments: Sequence[str]) -> float:
    """How long one run takes; ``CalledProcessError`` if it fails."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, float]:
    """The median of each command; a round before the first fills the caches."""
    taken = [{name: seconds(each) for name, each in COMMANDS.items()} for _ in range(rounds + 1)]
    return {name: statistics.median(each[name] for each in taken[1:]) for name in COMMANDS}


def main() -> int:
    """Print the table; 1 if something is over its budget."""
    medians = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    plain = medians["python -c pass"]
    print(f"{'command':<18} {'median':>8} {'ratio':>6}  budget")
    for name, median in medians.items():
        print(f"{name:<18} {median * 1000:>5.0f} ms {median / plain:>6.1f}  {BUDGET.get(name, '')}")
    return int(any(medians[name] > plain * ratio for name, ratio in BUDGET.items()))


if __name__ == "__main__":
    sys.exit(main())
