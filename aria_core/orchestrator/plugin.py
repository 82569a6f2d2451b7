"""Plugin management."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aria_core.exceptions import InvalidInputError, NotFoundError
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import INSTALLERS
from aria_core.extensions.recognition import Recognisers
from aria_core.installer import Installer, PluginInfo
from aria_core.modeling.plugins import Plugin
from aria_core.orchestrator.exceptions import InvalidPluginError, PluginAlreadyExistsError
from aria_core.storage.model import ModelStorage
from aria_core.worker.calls import Environment

_UNFINISHED = ".installing-"
_WORK = "work"

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._!+-]*")
_LONGEST = {"package_name": 128, "package_version": 64}


class PluginManager:
    """Installs plugins (archives that hold operations) and says how to reach their code.

    `plugins_dir` is the root directory in which to install plugins; it is made when it is needed.
    """

    def __init__(self, model: ModelStorage, plugins_dir: str | Path) -> None:
        self._model = model
        self._directory = Path(plugins_dir).absolute()  # workers have working directories of their own
        self._installers: Iterable[Installer] | None = None

    def use_installers(self, installers: Iterable[Installer]) -> None:
        """Take these installers, in this order, instead of those that are found by entry points."""
        self._installers = installers

    def get_plugin_dir(self, plugin: Plugin) -> str:
        """Where a plugin is installed: ``<plugins_dir>/<package name>-<package version>``."""
        return str(self._directory / f"{plugin.package_name}-{plugin.package_version}")

    def install(self, source: str | Path) -> Plugin:
        """Install a wagon plugin; its row.

        Raises ``InvalidPluginError`` for an archive that is no plugin and ``PluginAlreadyExistsError``
        if this version is installed. Whatever goes wrong, neither files nor a row are left; what an
        install that was killed has left is removed by the next one.
        """
        path = Path(source)
        installer, info = _inspect(path, self._installers)
        plugin = _row(info, installer, path)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._directory):
            self._refuse_installed(plugin)
            for each in self._directory.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(each, ignore_errors=True)
            fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._directory))
            try:
                plugin.environment = _relative(installer.install(path, fresh), fresh)
                return self._publish(plugin, fresh)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    def _publish(self, plugin: Plugin, fresh: Path) -> Plugin:
        """Move the files into place, then store the row that makes them a plugin."""
        target = Path(self.get_plugin_dir(plugin))
        if target.exists():  # left by an install that died between these two steps: it has no row
            shutil.rmtree(target)
        fresh.rename(target)
        try:
            return self._model.plugin.put(plugin)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def _refuse_installed(self, plugin: Plugin) -> None:
        for other in self._model.plugin.iter():
            if self.get_plugin_dir(other) == self.get_plugin_dir(plugin):
                raise PluginAlreadyExistsError(
                    f"plugin {other.package_name}, version {other.package_version}, is installed already in "
                    f"{self.get_plugin_dir(other)}")

    def load_plugin(self, plugin: Plugin, env: MutableMapping[str, str] | None = None) -> None:
        """Load the plugin into an environment.

        Loading the plugin means the plugin's code and binaries paths will be appended to the
        environment's PATH and PYTHONPATH, thereby allowing usage of the plugin. With `env` None
        that is ``os.environ``; an empty one is used as it is.
        """
        target = os.environ if env is None else env
        environment = self.environment(plugin)
        for name, paths in (("PATH", environment.path), ("PYTHONPATH", environment.pythonpath)):
            present = target.get(name, "")
            target[name] = os.pathsep.join([*([present] if present else []), *paths])

    def environment(self, plugin: Plugin) -> Environment:
        """How the plugin's code is reached; ``NotFoundError`` if its files are gone."""
        root = Path(self.get_plugin_dir(plugin))
        if not root.is_dir():
            raise NotFoundError(f"the files of plugin {plugin.name} {plugin.package_version} are gone from "
                                f"{root}; install it again")
        stored: dict[str, Any] = plugin.environment or {}
        python = stored.get("python")
        return Environment(
            plugin=plugin.name, python=None if python is None else str(root / python),
            path=tuple(str(root / each) for each in stored.get("path", ())),
            pythonpath=tuple(str(root / each) for each in stored.get("pythonpath", ())))

    def workdir(self, service: int, plugin: Plugin) -> Path:
        """Where operations of the plugin may keep files of a service; made by the first that asks."""
        return self._directory / _WORK / str(service) / plugin.name

    @staticmethod
    def validate_plugin(source: str | Path) -> None:
        """Validate a plugin archive; ``InvalidPluginError`` says what is wrong with it.

        A valid plugin is a wagon in the zip format (suffix may also be .wgn), or whatever an installed
        installer recognises.
        """
        _inspect(Path(source), None)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One install at a time, also among processes."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _inspect(path: Path, installers: Iterable[Installer] | None) -> tuple[Installer, PluginInfo]:
    if not path.is_file():
        raise InvalidPluginError(f"there is no plugin archive {path}")
    installer = _recogniser(path, Extensions().recognisers(INSTALLERS) if installers is None else installers)
    if installer is None:
        raise InvalidPluginError(f"{path} is no plugin archive; a plugin is a wagon: a zip or tar.gz archive "
                                 "(.wgn) with one folder that holds package.json and wheels")
    return installer, installer.inspect(path)


def _recogniser(path: Path, installers: Iterable[Installer]) -> Installer | None:
    if not isinstance(installers, Recognisers):
        return next((each for each in installers if each.recognises(path)), None)
    try:
        found: Installer = installers.recognise(path)
    except InvalidInputError:
        return None  # what is wrong with an installer that cannot be used has been logged
    return found


def _row(info: PluginInfo, installer: Installer, path: Path) -> Plugin:
    for name, limit in _LONGEST.items():
        value = getattr(info, name)
        if not _SAFE.fullmatch(value) or len(value) > limit:
            raise InvalidPluginError(
                f"{path} has the {name} {value!r}, of which no directory can be made; it takes at most "
                f"{limit} of the characters A-Z a-z 0-9 . _ ! + - and begins with a letter or digit")
    values = {**asdict(info), "supported_py_versions": list(info.supported_py_versions),
              "wheels": list(info.wheels)}
    with path.open("rb") as archive:
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
    return Plugin(**values, sha256=digest, installer=type(installer).__name__)


def _relative(environment: Environment, root: Path) -> dict[str, Any]:
    """The environment with paths relative to the plugin's directory, which is renamed afterwards."""
    def inside(path: str) -> str:
        return os.path.relpath(path, root)

    return {"python": environment.python and inside(environment.python),
            "path": [inside(path) for path in environment.path],
            "pythonpath": [inside(path) for path in environment.pythonpath]}
