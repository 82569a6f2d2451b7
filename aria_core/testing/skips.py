"""A pytest plugin that tells tests which do not apply from tests that are skipped::

    [tool.pytest.ini_options]
    addopts = "-p aria_core.testing.skips"

A contract skips what an implementation declares not to promise (`can_terminate = False`); such tests are
counted as *not applicable*. With ``--no-skips`` every other skip is a failure.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

DECLARED = " declares "
"""What the reason of such a skip contains: ``ThreadExecutor declares can_terminate = False``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--no-skips``."""
    parser.addoption("--no-skips", action="store_true",
                     help="a skipped test fails, unless what it tests declares not to promise this")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skip a failure if it has to be one."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _counts(report, item.config):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
        collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that is skipped as a whole."""
    report = yield
    if report.skipped and _counts(report, collector.config):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report


def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
    """Count what does not apply under a name of its own."""
    if report.skipped and DECLARED in str(report.longrepr):
        return "not applicable", "-", "NOT APPLICABLE"
    return None


def _counts(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> bool:
    return bool(config.getoption("--no-skips")) and DECLARED not in str(report.longrepr)
