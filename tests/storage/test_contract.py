"""Every storage that ships keeps its contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aria_core.storage.model import ModelStorage
from aria_core.storage.resource import ResourceStorage
from aria_core.testing.model_storage import ModelStorageContract
from aria_core.testing.resource_storage import ResourceStorageContract
from aria_plugins.storage.file import FileStorage
from aria_plugins.storage.sql import SqlStorage


class TestSqlStorage(ModelStorageContract):
    @pytest.fixture
    def storage(self, model_storage_url: str) -> Iterator[ModelStorage]:
        with SqlStorage(model_storage_url) as storage:
            yield storage


class TestSqlStorageInMemory(ModelStorageContract):
    @pytest.fixture
    def storage(self) -> Iterator[ModelStorage]:
        with SqlStorage("sqlite://") as storage:
            yield storage


class TestFileStorage(ResourceStorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[ResourceStorage]:
        storage = FileStorage(tmp_path / "resources")
        storage.open()
        yield storage
        storage.close()


class TestSharedFileStorage(ResourceStorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[ResourceStorage]:
        with FileStorage(tmp_path / "resources", shared=True) as storage:
            yield storage


def test_the_reach_of_what_ships_is_what_executors_count_on(tmp_path: Path) -> None:
    urls = ("sqlite://", f"sqlite:///{tmp_path}/aria.db", "postgresql://host/name")
    assert [SqlStorage(url).reach for url in urls] == ["process", "host", "network"]
    assert [FileStorage(tmp_path, shared=each).reach for each in (False, True)] == ["host", "network"]
