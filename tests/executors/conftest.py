"""Hosts for tests of executors whose calls run elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from aria_core.testing.brokers import Broker
from aria_core.testing.worker_hosts import Site


@pytest.fixture
def make_site_on(request: pytest.FixtureRequest) -> Iterator[Callable[..., Site]]:
    """Call with a broker's fixture and keywords of the executor: hosts with a new database on that broker."""
    with ExitStack() as stack:
        def make(broker: str, **settings: Any) -> Site:
            databases = request.getfixturevalue("postgresql_databases")
            name = databases.create(request.getfixturevalue("postgresql_template"))
            stack.callback(databases.drop, name)
            site = Site(databases.url(name), request.getfixturevalue(broker).url, **settings)
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture(params=["valkey", "rabbitmq"])
def make_site(request: pytest.FixtureRequest, make_site_on: Callable[..., Site]) -> Callable[..., Site]:
    """`make_site_on` each of the brokers."""
    return partial(make_site_on, request.param)


@pytest.fixture
def site_broker(request: pytest.FixtureRequest) -> Broker:
    """The broker of `make_site`, for tests that kill it and start it again."""
    broker: Broker = request.getfixturevalue(request.node.callspec.params["make_site"])
    return broker
