"""How a running call talks to its runner: the verbs, and what a channel is.

A *request* is a JSON object with ``ask`` (answered) or ``tell`` (not answered):

=====================  ==========================================  =================================
request                fields                                      answer
=====================  ==========================================  =================================
``ask: node``          ``id``                                      id, name, type_name, types, state, host, host_address, template,
                                                                   properties, attributes, capabilities, artifacts
``ask: relationship``  ``id``                                      id, name, type_name, types, capability, source, target,
                                                                   properties, attributes
``ask: service``       –                                           id, name, description, template, inputs
``ask: template``      ``node`` (a node template's name) or –      the node template, or the service template, as an object
``ask: model``         ``table``, ``method``, ``arguments``        rows as objects (get, get_by_name, list)
``ask: resource``      ``path``, ``offset``                        ``data`` (base64, at most 4 MiB), ``size``, ``executable``
``ask: resources``     ``path``                                    the paths below it
``ask: render``        ``path``, ``variables``                     the rendered text
``ask: flush``         ``edits``                                   true; raises if the attempt is not current any more
``tell: log``          ``level``, ``message``, ``traceback``, ``created_at`` (seconds, UTC)
=====================  ==========================================  =================================

A *secret* argument or property arrives in clear: operations need it. It never enters a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Channel(Protocol):
    """The two ways to talk to the runner."""

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and wait for its answer; raises ``ChannelError`` with the runner's sentence."""

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send and go on; never raises."""


class ChannelError(RuntimeError):
    """The runner refused a request or cannot be reached."""
