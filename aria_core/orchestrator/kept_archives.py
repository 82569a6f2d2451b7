"""The archives of installed plugins in the resource storage, from which other hosts install them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from aria_core.exceptions import NotFoundError
from aria_core.modeling.plugins import Plugin
from aria_core.orchestrator.exceptions import InvalidPluginError
from aria_core.orchestrator.plugin_archive import Archive
from aria_core.storage.resource import ResourceStorage


class KeptArchives:
    """Keeps archives as they were installed, each in the entry of its SHA-256.

    So an archive can be kept before there is a row that speaks of it, and no other takes its place.
    Without `resources` nothing is kept.
    """

    def __init__(self, resources: ResourceStorage | None) -> None:
        self._resources = resources

    @property
    def are_kept(self) -> bool:
        """Whether there is a place where archives are kept."""
        return self._resources is not None

    def keep(self, archive: Archive) -> None:
        """Store an archive, also over one that was changed."""
        if self._resources is not None:
            self._resources.plugin.upload(archive.sha256, archive.path)

    def lack(self, plugin: Plugin) -> bool:
        """Whether a plugin's archive should be here, but is not."""
        return self._resources is not None and not any(
            _is_of(plugin, data) for _name, data in self._files(plugin))

    def forget(self, plugin: Plugin) -> None:
        """Remove a plugin's archive."""
        if self._resources is not None and plugin.sha256:
            self._resources.plugin.delete(plugin.sha256)

    def fetch(self, plugin: Plugin, directory: Path) -> Archive:
        """Copy a plugin's archive into the new `directory`, which others cannot look into.

        ``NotFoundError`` if it is not kept, ``InvalidPluginError`` if it is not what was installed.
        """
        directory.mkdir(mode=0o700)
        called = f"{plugin.package_name} {plugin.package_version}"
        found = ""
        for name, data in self._files(plugin):
            if _is_of(plugin, data):
                (directory / name).write_bytes(data)
                return Archive(Path(f"{name} of plugin {called}"), directory / name, plugin.sha256)
            found = hashlib.sha256(data).hexdigest()
        if found:
            raise InvalidPluginError(
                f"the archive of plugin {called} in the resource storage was changed: its SHA-256 is "
                f"{found}, not {plugin.sha256}; nothing of it was used, install the plugin again from its "
                "archive, with 'aria plugins install'")
        raise NotFoundError(
            f"the archive of plugin {called} is not in the resource storage, because it was lost or was "
            "installed before archives were kept there; install it again, with 'aria plugins install'")

    def _files(self, plugin: Plugin) -> Iterator[tuple[str, bytes]]:
        """What is kept for a plugin: more than one if it was installed from files with several names."""
        if self._resources is None or not plugin.sha256:
            return
        for name in self._resources.plugin.list(plugin.sha256):
            if "/" not in name:
                yield name, self._resources.plugin.read(plugin.sha256, name)


def _is_of(plugin: Plugin, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == plugin.sha256
