"""The points at which configuration chooses exactly one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from aria_core.extensions.scan import WORDS

if TYPE_CHECKING:
    from aria_core.installer import Installer
    from aria_core.loader import Loader
    from aria_core.orchestrator.executor import Executor
    from aria_core.storage.model import ModelStorage
    from aria_core.storage.resource import ResourceStorage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DriverKind(Generic[T]):
    """A point at which exactly one class is chosen.

    `base` is ``module:Class``, resolved when a driver is checked: nothing above is imported before.
    """

    group: str
    hook: str
    base: str

    @property
    def word(self) -> str:
        """What one of these is called."""
        return WORDS[self.group]


EXECUTORS: DriverKind[Executor] = DriverKind(
    "aria.executors", "aria_executor", "aria_core.orchestrator.executor:Executor")
MODEL_STORAGES: DriverKind[ModelStorage] = DriverKind(
    "aria.model_storages", "aria_model_storage", "aria_core.storage.model:ModelStorage")
RESOURCE_STORAGES: DriverKind[ResourceStorage] = DriverKind(
    "aria.resource_storages", "aria_resource_storage", "aria_core.storage.resource:ResourceStorage")
INSTALLERS: DriverKind[Installer] = DriverKind(
    "aria.installers", "aria_installer", "aria_core.installer:Installer")
LOADERS: DriverKind[Loader] = DriverKind("aria.loaders", "aria_loader", "aria_core.loader:Loader")
