"""Cases 17 and 18: operations that print without end, print what is no text, and take all memory."""

from __future__ import annotations

import os
from typing import Any

import pytest

from aria_core.modeling.builder import call, script
from aria_core.modeling.expressions import get_input
from aria_core.modeling.specification import OperationSpec
from aria_core.testing.crash import CrashSite
from aria_core.testing.crash_process import CrashProcess, Ended, wait_until

DIRECTORY = {"directory": get_input("directory")}
MEBIBYTE = 1024 * 1024
LINE_LIMIT, ATTEMPT_LIMIT, SMALLEST_LINE = 64 * 1024, MEBIBYTE, 64
NOTES = 256
"""Characters that a cut line may say of itself."""

OUTPUTS = {
    "text": b"x" * 1023 + b"\n",
    "short": b"ab\n",
    "empty": b"\n",
    "endless": b"never a line's end ",
    "binary": bytes(range(256)),
    "invalid": b"caf\xe9 \xff\xfe \xc3( \xed\xa0\x80\n",
}
"""What is printed again and again."""
FIRST = {"text": "x" * 1023, "short": "ab", "empty": "", "endless": "never a line's end never",
         "binary": "\N{REPLACEMENT CHARACTER}\x01\x02", "invalid": "caf\N{REPLACEMENT CHARACTER} "}
"""What the first line of each must hold."""


@pytest.mark.fault(17, executors=["thread", "process"], databases=["sqlite", "postgresql"], small=1, long=2)
def test_what_prints_without_end_is_cut(cell: Any) -> None:
    megabytes = 1024 if os.environ.get("ARIA_FAULTS") == "long" else 64
    for trial in cell.trials():
        with trial.site(operations=shouting(cell, megabytes)) as site:
            ended, grown = watched(site, site.launch("start"))
            assert (ended.code, ended.complained) == (0, "")
            site.assert_promises_kept()
            printed = [rows_of(site, name) for name in shouting(cell, megabytes)]
            cell.note(f"{len(printed)} times {megabytes} MiB: at most {max(printed)} rows, +{grown:.1f} MiB")
            assert grown < 50


def shouting(cell: Any, megabytes: int) -> dict[str, OperationSpec]:
    """An operation for each output: a script, and a function where it has an output of its own."""
    made: dict[str, OperationSpec] = {}
    for name, pattern in OUTPUTS.items():
        made[f"script-{name}"] = script("shout.sh", inputs=DIRECTORY, megabytes=megabytes,
                                        pattern=" ".join(map(str, pattern)))
        if cell.executor == "process":
            made[f"function-{name}"] = call("harm:print_much", inputs=DIRECTORY, pieces=list(pattern),
                                            megabytes=megabytes)
    return made


def watched(site: CrashSite, runner: CrashProcess) -> tuple[Ended, float]:
    """Let operations go on that wait for it; the end, and the MiB by which the runner grew at most."""
    wait_until(lambda: site.count("begin") >= 2, "operations to begin")
    runner.forget_peak()
    before = most = runner.memory()[0]
    (site.directory / "watched").touch()

    def has_ended() -> bool:
        nonlocal most
        most = max(most, runner.memory()[1])
        return not runner.is_running()

    wait_until(has_ended, "the end of the runner", 3600)
    return runner.end(), (most - before) / MEBIBYTE


def rows_of(site: CrashSite, node: str) -> int:
    """How many rows the attempt of this node has logged; judges them."""
    task = site.tasks()[node]["id"]
    rows = site.judge.rows(f"SELECT message FROM log WHERE task_id = {task} ORDER BY id")
    messages = [row["message"] for row in rows]
    told = "cut)" if "endless" in node else "the rest is"
    assert sum(told in each for each in messages) == 1, messages[-1]
    assert max(map(len, messages)) <= LINE_LIMIT + NOTES
    assert sum(map(len, messages)) <= ATTEMPT_LIMIT + NOTES * (1 + ATTEMPT_LIMIT // LINE_LIMIT)
    assert len(messages) <= ATTEMPT_LIMIT // SMALLEST_LINE + 1
    assert not any("\0" in each for each in messages)
    assert FIRST[node.partition("-")[2]] in messages[0]
    return len(messages)


@pytest.mark.fault(17, executors=["thread", "process"], databases=["sqlite"], of="logger", small=1, long=5)
def test_what_logs_faster_than_can_be_stored_loses_its_oldest_lines(cell: Any) -> None:
    for trial in cell.trials():
        operations = {f"chatty-{number}": call("harm:log_much", inputs=DIRECTORY, lines=4000, length=60_000)
                      for number in range(2)}
        with trial.site(operations=operations) as site:
            ended, grown = watched(site, site.launch("start"))
            cell.note(f"2 times 229 MiB: +{grown:.1f} MiB, {ended.complained.strip()}")
            assert ended.code == 0
            site.assert_promises_kept()
            assert grown < 100  # lines that wait, and a batch that is on its way


# --- 18: memory

@pytest.mark.fault(18, executors=["process"], databases=["sqlite", "postgresql"], small=1, long=50)
def test_an_operation_that_takes_all_memory_fails_alone(cell: Any) -> None:
    for trial in cell.trials():
        chunk = trial.random.choice([MEBIBYTE, 100_000, 100])
        operations = {
            "hungry": call("harm:exhaust", inputs=DIRECTORY, chunk=chunk, max_attempts=2, retry_interval=0.0),
            "neighbour": call("aria_core.testing.effects:effect", inputs=DIRECTORY)}
        with trial.site(operations=operations) as site:
            ended, grown = watched(site, site.launch("start"))
            assert (ended.code, "Traceback" in ended.complained) == (1, False), ended.complained
            site.assert_promises_kept()
            tasks = site.tasks()
            assert (tasks["neighbour"]["state"], tasks["neighbour"]["attempts"]) == ("success", 1)
            assert (tasks["hungry"]["state"], tasks["hungry"]["attempts"]) == ("failed", 2)
            cell.note(f"+{grown:.1f} MiB, {tasks['hungry']['reason'][:60]}")
            assert grown < 20
