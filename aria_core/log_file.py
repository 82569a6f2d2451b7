"""The file of the program's own log, which may be full."""

from __future__ import annotations

import contextlib
import logging
import sys
from logging.handlers import WatchedFileHandler


class LogFileHandler(WatchedFileHandler):
    """A file that is opened again when it was moved, and that says once that it cannot be written.

    Lines that find no room are lost; the program goes on, and so does the log when there is room again.
    """

    _is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; no ``OSError`` comes out of it."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is that of logging
        """Say what is wrong with the file, once, and let go of what could not be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        stream, self.stream = self.stream, None  # opened again by the next record
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
        if not self._is_told:
            self._is_told = True
            sys.stderr.write(f"aria: the log {self.baseFilename} cannot be written: {error.strerror}; "
                             "lines are lost until it can\n")
