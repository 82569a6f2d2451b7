"""The whole benchmark, as small as can be: that it works and that its figures follow from its lines."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n"


def benchmark(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--out", str(out), *options]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def lines(out: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return [each for each in read if "peer" in each]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """The directory of a benchmark that has ended."""
    out = tmp_path_factory.mktemp("benchmark")
    ended = benchmark(out)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out


pytestmark = pytest.mark.timeout(600)


def test_every_cell_is_run_and_every_run_is_right(done):
    from benchmarks.cells import key_of, smoke

    rows = lines(done)
    assert [key_of(each) for each in rows] == [each.key for each in smoke()]
    assert [each for each in rows if not each["verified"]] == []


def test_lines_say_what_the_machine_was_doing(done):
    for row in lines(done):
        assert row["load1"] >= 0
        assert row["load_before"] >= 0
        assert {"at", "commit", "phase", "python", "sqlite"} <= row.keys()


def test_the_page_has_the_ratios_of_the_lines(done):
    def rate(peer: str, mode: str) -> float:
        return statistics.median(each["tasks_per_s"] for each in lines(done) if (
            each["peer"], each["mode"], each["shape"]) == (peer, mode, "layered"))

    page = (done / "RESULTS.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| thread-pg / dur-threads-group-pg |"))
    ratio = rate("aria", "thread-pg") / rate("floor", "dur-threads-group-pg")
    assert (f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}") in row
    for head in ("What must hold", "Tasks per second", "What kill -9 leaves", "Starting"):
        assert f"## {head}\n" in page
    assert "## Runs that failed" not in page


def test_the_page_names_no_machine_and_no_path(done):
    import platform

    written = (done / "RESULTS.md").read_text() + (done / "results.jsonl").read_text()
    assert platform.node() not in written
    assert str(ROOT) not in written
    assert str(done) not in written


def test_there_is_a_picture(done):
    assert (done / "results.png").read_bytes().startswith(PNG)


def test_what_is_done_is_not_done_again(done):
    before = lines(done)
    assert benchmark(done, "--no-plot").returncode == 0
    assert lines(done) == before


def test_a_run_without_a_result_is_kept_and_not_tried_again(tmp_path):
    from benchmarks.cells import Cell
    from benchmarks.drive import Driver, read

    results = tmp_path / "results.jsonl"
    Driver(results, None, {}).run([Cell("floor", "no-such-mode", "wide", 10, repeats=3)])
    Driver(results, None, {}).run([Cell("floor", "no-such-mode", "wide", 10, repeats=3)])
    row, = read(results)
    assert "without a result" in row["failed"]


def test_a_run_that_takes_too_long_is_given_up(tmp_path):
    from benchmarks.cells import Cell
    from benchmarks.drive import Driver, read

    results = tmp_path / "results.jsonl"
    Driver(results, None, {}).run([Cell("floor", "loop", "sleep", 1000, timeout=1.0)])
    row, = read(results)
    assert row["failed"] == "no result within 1 s"


def test_a_peer_that_is_not_installed_is_left_out(tmp_path):
    from benchmarks.cells import Cell
    from benchmarks.drive import Driver, read

    driver = Driver(tmp_path / "results.jsonl", tmp_path, {})
    cells = [Cell("dbos", "steps-sqlite", "wide", 10)]
    assert driver.missing(cells) == ["dbos"]
    driver.run(cells)
    assert read(tmp_path / "results.jsonl") == []
