"""Plugin management."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aria_core.exceptions import NotFoundError, StorageUnavailableError
from aria_core.installer import Installer, PluginInfo
from aria_core.modeling.plugins import Plugin
from aria_core.orchestrator.exceptions import InvalidPluginError, PluginAlreadyExistsError, PluginInUseError
from aria_core.orchestrator.kept_archives import KeptArchives
from aria_core.orchestrator.plugin_archive import Archive, checked_pin, inspected, recogniser, take_archive
from aria_core.orchestrator.plugin_record import PluginRecord, read_record
from aria_core.orchestrator.plugin_use import users_of
from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.worker.calls import Environment

_UNFINISHED = ".installing-"
_REMOVED = ".removing-"
_WORK = "work"

_log = logging.getLogger("aria.plugins")


class PluginManager:
    """Installs plugins (archives that hold operations) and says how to reach their code.

    `plugins_dir` is the root directory in which to install plugins; it is made when it is needed. With
    `require_pin` an archive is installed only if its SHA-256 is given, too. With `resources` archives are
    kept there, and a plugin that was installed on one host is installed on others when they need it.
    """

    def __init__(self, model: ModelStorage, plugins_dir: str | Path, require_pin: bool = False,
                 resources: ResourceStorage | None = None) -> None:
        self._model = model
        self._kept = KeptArchives(resources)
        self._directory = Path(plugins_dir).absolute()  # workers have working directories of their own
        self._require_pin = require_pin
        self._installers: Iterable[Installer] | None = None

    def use_installers(self, installers: Iterable[Installer]) -> None:
        """Take these installers, in this order, instead of those that are found by entry points."""
        self._installers = installers

    def get_plugin_dir(self, plugin: Plugin) -> str:
        """Where a plugin is installed: ``<plugins_dir>/<package name>-<package version>``."""
        return str(self._directory / f"{plugin.package_name}-{plugin.package_version}")

    def install(self, source: str | Path, sha256: str | None = None) -> Plugin:
        """Install a wagon plugin; its row.

        With `sha256` only if these are the archive's bytes. Raises ``InvalidPluginError`` for an archive
        that is no plugin, or not the one that was asked for, and ``PluginAlreadyExistsError`` if this
        version is installed. Whatever goes wrong, neither files nor a row are left; what an install that
        was killed has left is removed by the next one. A plugin whose files are gone is put back, and so
        is an archive that the resource storage lacks.
        """
        path, pin = Path(source), checked_pin(sha256)
        if pin is None and self._require_pin:
            raise InvalidPluginError(
                f"the plugin archive {path} is not installed without its SHA-256, because [plugins] "
                "require_pin is set; give the one that its publisher tells: "
                "'aria plugins install --sha256 HASH'")
        installer = recogniser(path, self._installers)
        with self._alone(), self._new_directory(_UNFINISHED) as place:
            archive, code = take_archive(path, place / "archive", pin), place / "code"
            with archive.named_as_given():
                plugin = _row(inspected(archive.path, installer), installer, archive)
                before = self._installed_before(plugin)
                if before is not None and self._here(before) is not None:
                    return self._kept_again(before, archive)
                plugin.environment = _unpack(archive, installer, code)
            self._kept.keep(archive)  # first: whoever sees the row may ask for it
            return self._publish(plugin, code, before)

    def uninstall(self, plugin: Plugin) -> None:
        """Forget a plugin and remove its files.

        Raises ``PluginInUseError`` if a service has operations that would run in it, or an execution with
        tasks in it runs or can be resumed; its message names them. Tasks that ran in it are kept.
        """
        with self._alone():
            if users := self.users(plugin):
                raise PluginInUseError(f"plugin {plugin.name}, version {plugin.package_version}, is needed "
                                       f"by {'; '.join(users)}")
            self._model.plugin.delete(plugin)  # it makes it a plugin: a kill from here on leaves files only
            self._remove(Path(self.get_plugin_dir(plugin)))
            if not len(self._model.plugin.list(filters={"sha256": plugin.sha256})):
                self._kept.forget(plugin)

    def users(self, plugin: Plugin) -> list[str]:
        """Who needs the plugin, in words: services, and executions that run or can be resumed."""
        with self._model.read_session() as session:
            return users_of(session, plugin)

    def _publish(self, plugin: Plugin, fresh: Path, before: Plugin | None) -> Plugin:
        """Move the files into place, then store the row that makes them a plugin."""
        target = Path(self.get_plugin_dir(plugin))
        self._remove(target)  # left by one who died before it had a row, or after it had none
        fresh.rename(target)
        if before is not None:
            return before
        try:
            return self._model.plugin.put(plugin)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def _installed_before(self, plugin: Plugin) -> Plugin | None:
        """The row of the same plugin; raises if that has another archive."""
        directory = self.get_plugin_dir(plugin)
        for other in self._model.plugin.iter():
            if self.get_plugin_dir(other) == directory:
                if other.sha256 != plugin.sha256:
                    gone = self._here(other) is None
                    raise self._exists_already(
                        other, " from another archive, and its files are gone" if gone else "")
                return other
        return None

    def _kept_again(self, plugin: Plugin, archive: Archive) -> Plugin:
        if not self._kept.lack(plugin):
            raise self._exists_already(plugin)
        self._kept.keep(archive)
        return plugin

    def _exists_already(self, plugin: Plugin, more: str = "") -> PluginAlreadyExistsError:
        return PluginAlreadyExistsError(
            f"plugin {plugin.package_name}, version {plugin.package_version}, is installed already in "
            f"{self.get_plugin_dir(plugin)}{more}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One install or uninstall at a time, also among processes; what killed ones left is removed."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._directory / ".lock").open("w")
        except OSError as error:
            raise StorageUnavailableError(
                f"the folder of plugins {self._directory} cannot be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for each in (*self._directory.glob(f"{_UNFINISHED}*"), *self._directory.glob(f"{_REMOVED}*")):
                shutil.rmtree(each, ignore_errors=True)
            yield

    @contextmanager
    def _new_directory(self, prefix: str) -> Iterator[Path]:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=self._directory))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _remove(self, directory: Path) -> None:
        """Remove a plugin's files: at once for whoever looks, and wholly in the end."""
        if directory.exists():
            with self._new_directory(_REMOVED) as place:
                directory.rename(place / "code")

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
        """How the plugin's code is reached.

        If its files are not on this host, its archive is fetched from the resource storage, checked
        against the row's SHA-256 and installed here first, once for all who ask. ``NotFoundError`` if the
        archive is not there, ``InvalidPluginError`` if it is another one.
        """
        root = Path(self.get_plugin_dir(plugin))
        stored = self._here(plugin)
        if stored is None:
            stored = self._install_here(plugin)
        python = stored.get("python")
        return Environment(
            plugin=plugin.name, archive=plugin.sha256, python=None if python is None else str(root / python),
            path=tuple(str(root / each) for each in stored.get("path", ())),
            pythonpath=tuple(str(root / each) for each in stored.get("pythonpath", ())))

    def _here(self, plugin: Plugin) -> dict[str, Any] | None:
        """The environment of a plugin whose files are here; None if they are not, or are another's."""
        root = Path(self.get_plugin_dir(plugin))
        record = read_record(root)
        if record is None:
            return (plugin.environment or {}) if root.is_dir() else None
        return record.environment if record.archive == plugin.sha256 else None

    def _install_here(self, plugin: Plugin) -> dict[str, Any]:
        root = Path(self.get_plugin_dir(plugin))
        if not self._kept.are_kept:
            raise NotFoundError(f"the files of plugin {plugin.name} {plugin.package_version} are gone from "
                                f"{root}; install it again")
        with self._alone(), self._new_directory(_UNFINISHED) as place:
            stored = self._here(plugin)
            if stored is not None:
                return stored  # others were quicker
            _log.info("plugin %s %s is being installed in %s", plugin.name, plugin.package_version, root)
            archive = self._kept.fetch(plugin, place / "archive")
            with archive.named_as_given():
                installer = recogniser(archive.path, self._installers)
                inspected(archive.path, installer)
                stored = _unpack(archive, installer, place / "code")
            self._remove(root)
            (place / "code").rename(root)
            return stored

    def workdir(self, service: int, plugin: Plugin) -> Path:
        """Where operations of the plugin may keep files of a service; made by the first that asks."""
        return self._directory / _WORK / str(service) / plugin.name

    @staticmethod
    def validate_plugin(source: str | Path) -> None:
        """Validate a plugin archive; ``InvalidPluginError`` says what is wrong with it.

        A valid plugin is a wagon in the zip format (suffix may also be .wgn), or whatever an installed
        installer recognises.
        """
        path = Path(source)
        inspected(path, recogniser(path, None))


def _row(info: PluginInfo, installer: Installer, archive: Archive) -> Plugin:
    values = {**asdict(info), "supported_py_versions": list(info.supported_py_versions),
              "wheels": list(info.wheels)}
    return Plugin(**values, sha256=archive.sha256, installer=type(installer).__name__)


def _unpack(archive: Archive, installer: Installer, code: Path) -> dict[str, Any]:
    """Install an archive in the new directory `code`; its environment, relative to that."""
    code.mkdir(mode=0o700)
    environment = _relative(installer.install(archive.path, code), code)
    PluginRecord(archive.sha256, environment).write(code)
    return environment


def _relative(environment: Environment, root: Path) -> dict[str, Any]:
    """The environment with paths relative to the plugin's directory, which is renamed afterwards."""
    def inside(path: str) -> str:
        return os.path.relpath(path, root)

    return {"python": environment.python and inside(environment.python),
            "path": [inside(path) for path in environment.path],
            "pythonpath": [inside(path) for path in environment.pythonpath]}
