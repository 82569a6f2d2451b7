"""One command: run what is asked for, keep every line, and make the table and the picture.

::

    python -m benchmarks --quick                  # a minute or two: ARIA and its floors
    python -m benchmarks --venvs DIR              # everything, with the peers that are installed in DIR
    python -m benchmarks --only-report            # make table and picture from what is there
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.bars import verdicts
from benchmarks.cells import OURS, SUITES, Cell
from benchmarks.drive import Driver, machines, note_machine, read
from benchmarks.medians import Medians
from benchmarks.tables import report

OUT = Path(".benchmarks")


def main() -> int:
    """Run and report; 1 if a run of ours failed or did wrong."""
    chosen = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PostgreSQL must not stay behind
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = chosen.out / "results.jsonl"
    if chosen.fresh:
        results.unlink(missing_ok=True)
    if not chosen.only_report:
        _run(chosen, results)
    found = Medians(read(results))
    page = report(found.rows, machines(results))
    (chosen.out / "RESULTS.md").write_text(page)
    print(page)
    if not chosen.no_plot:
        from benchmarks.plot import draw

        draw(found, chosen.out / "results.png")
    missed = [each.what for each in verdicts(found) if not each.passed]
    print(f"{len(missed)} bars were missed" if missed else "every bar that was measured holds")
    return int(any(row["peer"] in OURS for row in found.unverified))


def _run(chosen: argparse.Namespace, results: Path) -> None:
    cells = _cells(chosen)
    about = {"commit": machine.commit(), "phase": chosen.phase}
    note_machine(results, machine.described())
    driver = Driver(results, chosen.venvs, about)
    for peer in driver.missing(cells):
        print(f"{peer} is not installed: left out (benchmarks/peers/setup.sh)", file=sys.stderr)
    driver.run(cells)


def _cells(chosen: argparse.Namespace) -> list[Cell]:
    cells = [
        each for each in SUITES[chosen.suite]()
        if (not chosen.peers or each.peer in chosen.peers) and (not chosen.modes or each.mode in chosen.modes)
        and (not chosen.shapes or each.shape in chosen.shapes)
        and (not chosen.sizes or each.n in chosen.sizes) and each.n <= chosen.largest]
    return [replace(each, repeats=chosen.repeats) if chosen.repeats else each for each in cells]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    suite = parser.add_mutually_exclusive_group()
    suite.add_argument("--quick", dest="suite", action="store_const", const="quick",
                       help="one size, once: a minute or two")
    suite.add_argument("--smoke", dest="suite", action="store_const", const="smoke",
                       help="tiny sizes: whether everything works")
    parser.set_defaults(suite="full")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="only these, such as aria floor dbos")
    parser.add_argument("--modes", nargs="+", metavar="MODE", help="only these, such as thread-sqlite-full")
    parser.add_argument("--shapes", nargs="+", metavar="SHAPE", help="only these")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="only these numbers of tasks")
    parser.add_argument("--largest", type=int, default=10**9, metavar="N", help="no more tasks than that")
    parser.add_argument("--repeats", type=int, metavar="N", help="runs of each cell (5; large ones fewer)")
    parser.add_argument("--venvs", type=Path, metavar="DIR", help="where peers/setup.sh installed the peers")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR",
                        help="where results.jsonl, RESULTS.md and results.png go [.benchmarks]; lines that "
                             "are there count as done")
    parser.add_argument("--fresh", action="store_true", help="forget the lines that are there")
    parser.add_argument("--phase", default="shared", help="a word for every line, such as quiet")
    parser.add_argument("--only-report", action="store_true", help="run nothing")
    parser.add_argument("--no-plot", action="store_true", help="no picture: matplotlib is not needed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
