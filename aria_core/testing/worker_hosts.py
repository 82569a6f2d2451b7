"""Workers for tests: ``aria worker`` in a directory and as a user of its own, without the runner's files."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aria_core.application import Application
from aria_core.config import Config
from aria_core.testing.link import Link
from aria_core.testing.other_user import NOBODY


@cache
def as_worker_user() -> tuple[str, ...]:
    """What a worker's command begins with, so that it is somebody else's if we are root.

    Where Python lies in root's home, that user may read whatever it likes: it could not even begin.
    """
    if os.geteuid() != 0:
        return ()
    other = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    needed = "import aria_core, amqp, celery, obstore, psycopg, redis.asyncio"
    for words in ((*other, "--inh-caps=-all"), (*other, *may_read)):
        tried = subprocess.run(  # nosec B603 # our own interpreter; no shell
            [*words, sys.executable, "-c", needed], cwd="/", check=False, capture_output=True)
        if tried.returncode == 0:
            return words
    raise AssertionError(f"user {NOBODY} cannot run {sys.executable}")


class Hosts:
    """A directory that all can reach, in which runners and workers have one each."""

    def __init__(self, database: str, resources: dict[str, Any], broker: str, queue: str,
                 **settings: Any) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="aria-hosts-"))
        self.shared = self.directory / "shared"
        self.shared.mkdir()
        for each in (self.directory, self.shared):
            each.chmod(0o777)
        self._config: dict[str, dict[str, Any]] = {
            "model_storage": {"use": "sql", "url": database},
            "resource_storage": {"use": "objects", **resources},
            "executor": {"use": "celery", "broker": broker, "queue": queue, **settings}}
        self.variables: dict[str, str] = {}
        """What runners and workers see of the environment, besides the usual."""
        self._workers: list[subprocess.Popen[bytes]] = []
        self.runner = self._host("runner")

    def worker(self, slots: int = 2, *words: str, database: str = "",
               **executor: Any) -> subprocess.Popen[bytes]:
        """Another ``aria worker``, which may not be ready yet; `database` is its own way to the rows."""
        command = [sys.executable, "-m", "aria_core", "worker", "--slots", str(slots), *words]
        return self._start(self._host(f"worker {len(self._workers)}", database, **executor), command)

    def app_worker(self, module: str, *words: str, **executor: Any) -> subprocess.Popen[bytes]:
        """Another worker of somebody's own Celery app, whose code is `module`; see `worker`."""
        place = self._host(f"worker {len(self._workers)}", **executor)
        (place / "theirs.py").write_text(module)
        return self._start(place, [sys.executable, "-m", "celery", "-A", "theirs", "worker", *words])

    def _start(self, place: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(  # nosec B603 # our own command; no shell
                [*as_worker_user(), *command], cwd=place, env=_environment(place) | self.variables,
                stdout=log, stderr=log, start_new_session=True)
        sys.stderr.write(f"{' '.join(command[2:])}: pid {process.pid} in {place}\n")
        self._workers.append(process)
        return process

    def logs(self) -> str:
        """What the workers have said so far."""
        return "\n".join(each.read_text() for each in sorted(self.directory.glob("worker*/log")))

    def aria(self, *words: str, host: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """``aria`` with these words where the runner lives."""
        place = host or self.runner
        return subprocess.Popen(  # nosec B603 # our own command; no shell
            [sys.executable, "-m", "aria_core", *words], cwd=place, text=True,
            env=_environment(place) | self.variables | variables,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def close(self) -> None:
        """End all workers."""
        for each in self._workers:
            if each.poll() is None:
                each.send_signal(signal.SIGTERM)
        for each in self._workers:
            try:
                each.wait(10.0)
            except subprocess.TimeoutExpired:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _host(self, name: str, database: str = "", **executor: Any) -> Path:
        place = self.directory / name
        place.mkdir()
        file = place / "aria.toml"
        file.touch(mode=0o600)
        rows = {**self._config["model_storage"], **({"url": database} if database else {})}
        file.write_text(_toml({**self._config, "model_storage": rows,
                               "executor": {**self._config["executor"], **executor},
                               "plugins": {"directory": str(place / "plugins")}}))
        if name != "runner" and os.geteuid() == 0:
            for each in (place, file):
                os.chown(each, NOBODY, NOBODY)
        return place


class Site(Hosts):
    """Hosts with a queue and a directory of files of their own, and an application where the runner lives."""

    def __init__(self, database: str, broker: str, **settings: Any) -> None:
        self.database = database
        """Where the server itself listens, which not every user can reach."""
        self._link = Link(database)  # PostgreSQL's own socket lies where other users may not go
        self.queue = f"aria-{secrets.token_hex(4)}"
        files = {"use": "file", "directory": "", "shared": True}
        super().__init__(self._link.through, files, broker, self.queue, **settings)
        self.application = Application(Config.load(directory=self.runner))

    def _host(self, name: str, database: str = "", **executor: Any) -> Path:
        self._config["resource_storage"]["directory"] = str(self.shared)
        return super()._host(name, database, **executor)

    def close(self) -> None:
        """End all workers, and what the runner has opened."""
        self.application.close()
        super().close()
        self._link.close()


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def _toml(config: dict[str, dict[str, Any]]) -> str:
    def value(each: Any) -> str:
        if isinstance(each, dict):
            return "{" + ", ".join(f'"{key}" = {value(inner)}' for key, inner in each.items()) + "}"
        return str(each).lower() if isinstance(each, (bool, int, float)) else f'"{each}"'

    return "\n".join(line for section, keys in config.items() for line in (
        f"[{section}]", *(f"{key} = {value(each)}" for key, each in keys.items())))
