"""A PostgreSQL for a while, from a wheel, with the settings it is shipped with: each commit is an fsync.

``python -m benchmarks.postgresql <command>`` runs a command with ``PEER_PG``, the URL of a new database.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aria_core.testing.postgresql_server import make_reachable, start_server


class Server:
    """A running server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._made = 0

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database, as SQLAlchemy has it."""
        self._made += 1
        name = f"bench_{self._made}"
        self._run(f"CREATE DATABASE {name}")
        try:
            url: str = self._server.get_uri(database=name)
            yield url.replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def version(self) -> str:
        """Its version."""
        return str(self._run("SHOW server_version"))

    def _run(self, statement: str) -> Any:
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            found = cursor.fetchone() if cursor.description else None
        return found and found[0]


@contextmanager
def server() -> Iterator[Server]:
    """Start a server, and remove it at the end."""
    place = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    if os.geteuid() == 0:
        place.chmod(0o755)  # the server has a user of its own
    make_reachable(place / "program")
    started = start_server(place / "data")
    try:
        yield Server(started)
    finally:
        started.cleanup()
        shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    """Run a command beside a server."""
    with server() as running, running.database() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "PEER_PG": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
