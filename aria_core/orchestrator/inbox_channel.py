"""The channel of a call that runs in the runner's own process."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aria_core.exceptions import NotFoundError
from aria_core.orchestrator.executor import Inbox
from aria_core.worker.calls import CallRef
from aria_core.worker.channel import ChannelError

_logger = logging.getLogger(__name__)


class InboxChannel:
    """A `Channel` that hands everything to an `Inbox` directly."""

    def __init__(self, inbox: Inbox, ref: CallRef) -> None:
        self._inbox = inbox
        self._ref = ref

    def ask(self, request: Mapping[str, Any]) -> Any:
        """See `Channel.ask`."""
        try:
            return self._inbox.answer(self._ref, request)
        except (NotFoundError, ChannelError):
            raise
        except Exception as error:
            raise ChannelError(str(error) or type(error).__name__, type(error).__name__) from error

    def tell(self, message: Mapping[str, Any]) -> None:
        """See `Channel.tell`."""
        try:
            self._inbox.answer(self._ref, message)
        except Exception:
            _logger.exception("what %s told could not be kept", self._ref)
