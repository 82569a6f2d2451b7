"""The program's own log: one line for each record, whatever a message contains."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from aria_core.config import LoggingSettings
from aria_core.exceptions import ConfigurationError

# C0 and C1 controls, line and paragraph separators, and what reorders text on a terminal
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """`text` on one line: characters that end lines or command terminals are spelled out."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """``time level logger: message``; a traceback follows, each of its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        head = f"{_time(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        lines = [escaped(head), *(f"    {escaped(each)}" for each in _trace(self, record).splitlines())]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time``, ``level``, ``logger``, ``message``, ``process`` and ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        value = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        trace = _trace(self, record)
        return json.dumps(value | ({"traceback": trace} if trace else {}))


@contextmanager
def logging_as(settings: LoggingSettings) -> Iterator[None]:
    """Send the records of this process where ``[logging]`` says, until the end of the block.

    Raises ``ConfigurationError`` if the file cannot be written.
    """
    handler = _handler(settings)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


def _handler(settings: LoggingSettings) -> logging.Handler:
    if settings.file is None:
        return logging.StreamHandler(sys.stderr)
    from aria_core.log_file import LogFileHandler

    try:
        # made here because the handler would let everybody read it
        os.close(os.open(settings.file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
        return LogFileHandler(settings.file, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"[logging] file {settings.file} cannot be written: {error.strerror}") from error


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""
