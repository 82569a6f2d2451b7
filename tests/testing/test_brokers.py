"""The brokers that tests stand on are real: they listen, keep secrets, die and come back."""

from __future__ import annotations

import subprocess

import pytest
from kombu import Connection

from aria_core.testing.brokers import Broker


def test_a_broker_serves_whoever_has_its_url(broker: Broker) -> None:
    with Connection(broker.url) as connection:
        connection.connect()
        assert connection.connected


def test_a_broker_refuses_whoever_has_no_password(broker: Broker) -> None:
    url = broker.url.replace(broker.password, "wrong")
    with Connection(url) as connection, pytest.raises(Exception, match=r"(?i)auth|refused|pass|access"):
        connection.connect()


def test_a_broker_that_was_killed_serves_again_where_it_was(broker: Broker) -> None:
    url, pid = broker.url, broker.pid
    broker.kill()
    with Connection(url) as connection, pytest.raises(connection.connection_errors):
        connection.connect()
    broker.start()
    assert (broker.url, broker.pid == pid) == (url, False)
    with Connection(url) as connection:
        connection.connect()


def test_its_password_is_neither_shown_nor_seen_among_processes(broker: Broker) -> None:
    assert broker.password not in str(broker)
    assert str(broker.pid) in str(broker)
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert broker.password not in shown
