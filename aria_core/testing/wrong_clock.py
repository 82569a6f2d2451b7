"""A machine whose date is wrong, as this process sees it, and may jump at any moment.

Only dates are wrong: the clock that decisions are made by is the machine's, as when somebody sets the time.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from aria_core import clock
from aria_core.modeling import base

CLOCK = "clock"
"""The name of the file in the directory of a test."""


def follow_clock(file: Path) -> None:
    """Have this process's date be wrong by the seconds that stand in `file`, at every moment."""
    class WrongDate(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=float(file.read_text()))

    for module in (clock, base):  # whoever asks for the date of something asks one of them
        vars(module)["datetime"] = WrongDate
