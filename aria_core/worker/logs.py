"""The logger of one call: each record goes to the runner at once and to nobody else."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aria_core.worker.channel import Channel

MESSAGE_LIMIT = 64 * 1024 + 256  # a line of output at its own limit, and the note that it was cut


class ChannelHandler(logging.Handler):
    """Tells the channel each record. Line breaks stay as they are: who shows a log escapes them."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        message = message_of(record)
        details = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else None
        self._channel.tell({
            "tell": "log", "level": record.levelname, "message": storable(message),
            "traceback": details and storable(details), "created_at": record.created})


def message_of(record: logging.LogRecord) -> str:
    """The record's text; arguments that do not fit stand behind it and fail nobody."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - they may be anything, and so may what they raise
        return f"{record.msg!s} {record.args!r}"


def private_logger(name: str, channel: Channel) -> logging.Logger:
    """A logger that is in no registry, so that calls in one process do not share handlers."""
    logger = logging.Logger(name, logging.DEBUG)
    logger.addHandler(ChannelHandler(channel))
    return logger


@contextmanager
def with_handlers(logger: logging.Logger, handlers: Iterable[logging.Handler]) -> Iterator[logging.Logger]:
    """Let `handlers` take part while the block runs."""
    added = list(handlers)
    for handler in added:
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        for handler in added:
            logger.removeHandler(handler)


def storable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Text as a log can keep it: at most `limit` characters, no NUL, nothing that UTF-8 cannot carry."""
    if len(text) > limit:
        text = f"{text[:limit]} … ({len(text)} characters, cut)"
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
