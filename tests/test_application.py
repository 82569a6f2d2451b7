"""An application is what configuration chose, made when it is asked for and closed at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aria_core.application import Application
from aria_core.config import Config
from aria_core.exceptions import (
    ConfigurationError,
    ExtensionNotFoundError,
    ExtensionSettingsError,
    NotFoundError,
    StorageUnavailableError,
)
from aria_core.extensions import Extensions

LOOSE = """
from aria_core import Executor

class FarExecutor(Executor):
    needs_reach = "network"
    closed = 0
    def open(self, report): ...
    def submit(self, call): ...
    def close(self, grace):
        self.closed += 1

class NearExecutor(FarExecutor):
    needs_reach = "process"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose data directory does not exist yet, and a module of executors on the path."""
    for name in ("CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loose_executors.py").write_text(LOOSE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loose_executors", raising=False)
    return tmp_path


def test_with_no_configuration_at_all_everything_is_there(home):
    with Application(Config.load(environ={})) as application:
        assert application.model_storage.service.list().items == []
        application.resource_storage.put("plugin/1/a", b"x")
        assert application.plugin_manager.get_plugin_dir
        assert type(application.executor()).__name__ == "ProcessExecutor"
    assert sorted(each.name for each in (home / "data/aria").iterdir())[0].startswith("aria.db")


def test_the_data_directory_is_for_its_owner_only(home):
    with Application(Config.of()) as application:
        assert application.model_storage
    assert (home / "data/aria").stat().st_mode & 0o777 == 0o700


def test_nothing_is_made_before_it_is_asked_for(home):
    with Application(
        Config.of({"executor": {"use": "nonsense"}, "model_storage": {"use": "nonsense"}})
    ) as application:
        assert not (home / "data").exists()
        with pytest.raises(
            ExtensionNotFoundError, match="there is no model storage 'nonsense'; installed are sql"
        ):
            _ = application.model_storage


def test_a_part_is_made_once_and_closed_at_the_end(home):
    with Application(Config.of()) as application:
        storage = application.model_storage
        assert application.model_storage is storage
    with pytest.raises(StorageUnavailableError, match="is not open"):
        storage.service.list()
    application.close()


def test_what_was_handed_over_is_used_and_stays_open(home):
    with Application(Config.of({"model_storage": {"url": "sqlite:///own.db"}})) as first:
        given = first.model_storage
        with Application(Config.of(), model_storage=given) as second:
            assert second.model_storage is given
        assert given.service.list().items == []
    assert not (home / "data/aria/aria.db").exists()


def test_a_relative_sqlite_url_counts_from_the_file_that_has_it(home):
    (home / "project/below").mkdir(parents=True)
    (home / "project/aria.toml").write_text('[model_storage]\nurl = "sqlite:///rows.db"')
    with Application(Config.load(environ={}, directory=home / "project/below")) as application:
        assert application.model_storage
    assert (home / "project/rows.db").exists()


def test_each_executor_is_new_and_all_are_closed(home):
    with Application(Config.of({"executor": {"use": "loose_executors:NearExecutor"}})) as application:
        executors = [application.executor(), application.executor()]
    assert [each.closed for each in executors] == [1, 1]


def test_an_executor_keeps_the_word_it_was_chosen_by(home):
    with Application(Config.of({"executor": {"use": "dry"}})) as application:
        assert application.executor().name == "dry"
        assert application.executor("aria_plugins.executors.thread:ThreadExecutor").name == (
            "aria_plugins.executors.thread:ThreadExecutor")


def test_another_executor_does_not_get_the_keywords_of_the_configured_one(home):
    config = Config.of({"executor": {"use": "process", "nonsense": 1}})
    with Application(config) as application:
        assert application.executor("loose_executors:NearExecutor")
        with pytest.raises(ExtensionSettingsError, match=r"call: \[executor\] has no key 'nonsense'"):
            application.executor()


def test_an_executor_that_needs_more_reach_than_the_storages_have_is_refused(home):
    with Application(Config.of()) as application, pytest.raises(ConfigurationError) as caught:
        application.executor("loose_executors:FarExecutor")
    assert str(caught.value).startswith(
        "the executor 'loose_executors:FarExecutor' needs storages within reach of the network, "
        "but the model storage "
    )
    assert str(caught.value).endswith(" is within reach of the host only")


def test_a_data_directory_that_cannot_be_made_is_one_sentence(home):
    (home / "data").write_text("a file")
    with (
        Application(Config.of()) as application,
        pytest.raises(StorageUnavailableError, match=r"the data directory .* cannot be made"),
    ):
        _ = application.model_storage


def test_hook_extensions_get_their_sections(home):
    config = Config.of({"hooks": {"no-such": {"x": 1}}})
    with (
        Application(config, extensions=Extensions({})) as application,
        pytest.raises(ExtensionNotFoundError, match=r"\[hooks.no-such\]"),
    ):
        _ = application.hooks


def test_without_hook_extensions_there_are_no_problems():
    with Application(Config.of()) as application:
        assert application.problems() == []


def test_loaders_and_installers_are_at_hand():
    with Application(Config.of()) as application:
        with pytest.raises(ExtensionNotFoundError, match="there is no loader 'zzz'"):
            application.loaders.named("zzz")
        with pytest.raises(ExtensionNotFoundError, match="there is no installer 'zzz'"):
            application.installers.named("zzz")


def test_a_missing_resource_is_told_by_the_storage(home):
    with Application(Config.of()) as application, pytest.raises(NotFoundError):
        application.resource_storage.read("plugin/1/none")
