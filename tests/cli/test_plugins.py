"""``aria plugins``: what is installed, shown and removed from the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from aria_core.testing.wagons import make_wagon, make_wheel, write_wagon

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [aria-1.0]
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          operations:
            create: greeter > greeter.greet
  policies:
    - greeter: {type: aria.Plugin}
"""


def wagon(directory: Path, version: str = "1.0") -> Path:
    return write_wagon(directory / f"greeter-{version}.wgn", make_wagon(
        "greeter", version, wheels=[make_wheel("greeter", version)]))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return wagon(tmp_path)


def test_a_plugin_is_validated_installed_listed_shown_and_uninstalled(project: Any, archive: Path) -> None:
    assert project("plugins", "validate", archive).stdout == f"{archive} is a valid plugin\n"
    assert project.json("plugins", "list") == []
    assert project("plugins", "install", archive).stdout == "plugin greeter 1.0 was installed\n"
    (row,) = project.json("plugins", "list")
    assert (row["name"], row["package_version"]) == ("greeter", "1.0")
    shown = project.json("plugins", "show", "greeter")
    assert shown["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (shown["wheels"], shown["needed_by"]) == (["greeter-1.0-py3-none-any.whl"], [])
    assert Path(shown["directory"]) == project.directory / "plugins" / "greeter-1.0"
    assert project("plugins", "uninstall", "greeter").stdout == "plugin greeter 1.0 was uninstalled\n"
    assert project.json("plugins", "list") == []
    assert not Path(shown["directory"]).exists()


def test_a_second_install_of_the_same_version_is_refused(project: Any, archive: Path) -> None:
    project("plugins", "install", archive)
    assert "plugin greeter, version 1.0, is installed already" in project.error(
        "plugins", "install", archive, code=2)


def test_of_several_versions_one_must_be_said(project: Any, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        project("plugins", "install", wagon(tmp_path, version))
    for word in ("show", "uninstall"):
        assert "there are several plugins 'greeter': greeter==1.0, greeter==2.0; say which" in project.error(
            "plugins", word, "greeter", code=2)
    first, second = project.json("plugins", "list")
    assert project.json("plugins", "show", "greeter==2.0")["id"] == second["id"]
    project("plugins", "uninstall", first["id"])
    assert [each["id"] for each in project.json("plugins", "list")] == [second["id"]]
    assert "there is no plugin 'greeter==1.0'" in project.error("plugins", "show", "greeter==1.0", code=2)


def test_a_plugin_that_is_needed_stays_and_says_by_whom(project: Any, archive: Path) -> None:
    project.template.write_text(TEMPLATE)
    project("plugins", "install", archive)
    project("run", project.template, "--service", "mine")
    assert "needed by service 'mine'" in project.error("plugins", "uninstall", "greeter", code=2)
    assert project.json("plugins", "show", "greeter")["needed_by"] == ["service 'mine'"]
    project("services", "delete", "mine", "--force")
    project("plugins", "uninstall", "greeter")


def test_where_pins_are_required_an_archive_without_one_is_refused(project: Any, archive: Path) -> None:
    settings = Path("aria.toml")
    settings.write_text(settings.read_text().replace("[plugins]", "[plugins]\nrequire_pin = true"))
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    told = project.error("plugins", "install", archive, code=2)
    assert "'aria plugins install --sha256 HASH'" in told
    assert right not in told
    assert "is not the one that was asked for" in project.error(
        "plugins", "install", archive, "--sha256", "0" * 64, code=2)
    project("plugins", "install", archive, "--sha256", right)


PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "greeter"
version = "1.0"
dependencies = ["aria-core"]
"""


def test_a_plugin_is_made_of_a_project_and_its_hash_is_told(project: Any, tmp_path: Path) -> None:
    for name, text in (("pyproject.toml", PROJECT), ("greeter.py", "def greet(ctx): return 'hello'\n")):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(text)
    (tmp_path / "wheels").mkdir()
    told = project("plugins", "create", "source", "--output", "out", "--format", "zip", "--wheels", "wheels")
    (made,) = Path("out").iterdir()
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    assert told.output == f"{made} was made; its SHA-256 is {digest}\n"
    installed = project("plugins", "install", made, "--sha256", digest)
    assert installed.stdout == "plugin greeter 1.0 was installed\n"
    assert "is no Python project" in project.error("plugins", "create", "wheels", code=2)
    assert "nobody" in project.error("plugins", "create", "source", "--installer", "nobody", code=6)
