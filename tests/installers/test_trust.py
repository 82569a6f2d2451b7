"""Looking at a plugin and installing it run nothing of it; what was not asked for is not installed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aria_core import (
    ArchiveBudget,
    ArchiveError,
    InvalidPluginError,
    ModelStorage,
    PluginManager,
    SqlModelStorage,
    archive_members,
    install_wheels,
)
from aria_core.testing.wagons import make_tar, make_wagon, make_wheel, make_zip, write_wagon


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ModelStorage]:
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as storage:
        yield storage


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that every line of code in the plugin would make."""
    return tmp_path / "canary"


@pytest.fixture
def wheel(canary: Path) -> tuple[str, bytes]:
    sing = f"open({str(canary)!r}, 'w').close()\n"
    return make_wheel("greeter", files={
        "greeter/__init__.py": sing, "greeter/__main__.py": sing, "sitecustomize.py": sing, "setup.py": sing,
        "greeter.pth": f"import sys; {sing}", "greeter-1.0.data/scripts/greet": f"#!python\n{sing}",
        "greeter-1.0.dist-info/entry_points.txt": "[console_scripts]\ngreet-too = greeter:main\n"})


def with_sources(wheel: tuple[str, bytes], canary: Path) -> dict[str, bytes]:
    """A wagon with source packages beside its wheel, of which pip would run the ``setup.py``."""
    sing = f"open({str(canary)!r}, 'w').close()\n".encode()
    source = make_tar({"greeter-9/setup.py": sing, "greeter-9/PKG-INFO": b"Name: greeter\nVersion: 9\n"})
    return {**make_wagon(wheels=[wheel]), "greeter/wheels/greeter-9.tar.gz": source,
            "greeter/wheels/setup.py": sing, "greeter/setup.py": sing}


def test_no_code_of_a_plugin_runs_before_it_is_called(
        model: ModelStorage, wheel: tuple[str, bytes], canary: Path, tmp_path: Path) -> None:
    manager = PluginManager(model, tmp_path / "plugins")
    for name in ("a.wgn", "b.tar.wgn"):
        path = write_wagon(tmp_path / name, with_sources(wheel, canary))
        PluginManager.validate_plugin(path)
        plugin = manager.install(path)
        manager.environment(plugin)
        manager.load_plugin(plugin, {})
        manager.uninstall(plugin)
    assert not canary.exists()


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_neither_tool_runs_code_of_a_wheel(
        wheel: tuple[str, bytes], canary: Path, tmp_path: Path, tool: Literal["uv", "pip"]) -> None:
    path = tmp_path / wheel[0]
    path.write_bytes(wheel[1])
    install_wheels("greeter", [path], tmp_path / "fresh", tool)
    assert not canary.exists()


def test_a_wagon_of_sources_only_is_refused(
        model: ModelStorage, wheel: tuple[str, bytes], canary: Path, tmp_path: Path) -> None:
    entries = with_sources(wheel, canary)
    del entries["greeter/wheels/greeter-1.0-py3-none-any.whl"]
    path = write_wagon(tmp_path / "x.wgn", entries)
    with pytest.raises(InvalidPluginError, match="but has no such file in wheels"):
        PluginManager(model, tmp_path / "plugins").install(path)
    assert not canary.exists()


def test_an_archive_that_nobody_vouches_for_is_not_installed_where_that_is_asked_for(
        model: ModelStorage, tmp_path: Path) -> None:
    manager = PluginManager(model, tmp_path / "plugins", require_pin=True)
    path = write_wagon(tmp_path / "x.wgn")
    wrong = hashlib.sha256(path.read_bytes() + b"x").hexdigest()
    for pin, words in ((None, "is not installed without its SHA-256"), (wrong, "is not the one that was")):
        with pytest.raises(InvalidPluginError, match=words):
            manager.install(path, pin)
    assert len(model.plugin.list()) == 0
    assert not list((tmp_path / "plugins").rglob("*.py"))


@settings(max_examples=300, deadline=None)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.from_regex(
    r"(\.{1,2}|/|\\|[a-c]){1,12}", fullmatch=True), form=st.sampled_from(["zip", "tar"]))
def test_whatever_a_path_is_called_it_stays_inside(
        tmp_path_factory: pytest.TempPathFactory, name: str, form: str) -> None:
    entries = {f"top/{name}": b"x"}
    path = tmp_path_factory.mktemp("archive") / "x.wgn"
    path.write_bytes(make_zip(entries) if form == "zip" else make_tar(entries))
    with path.open("rb") as file:
        try:
            found = [each.name for each in archive_members(file, ArchiveBudget(100, 1 << 20))]
        except (ArchiveError, UnicodeDecodeError):
            return
    for each in found:
        inside = (Path("/base") / each).resolve()
        assert inside.is_relative_to("/base/top")
        assert inside != Path("/base/top")
