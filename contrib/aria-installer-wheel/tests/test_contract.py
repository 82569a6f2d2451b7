"""What ARIA promises of every installer holds for this one, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from aria_installer_wheel import WheelInstaller

from aria_core import PluginManager, SqlModelStorage
from aria_core.testing.installer import InstallerContract, InstallerSample
from aria_core.testing.wagons import make_wagon, make_wheel, make_zip, write_wagon


def broken() -> Mapping[str, tuple[str, bytes]]:
    """Fault -> a file's name, and what is in it."""
    name, good = make_wheel("greeter")
    return {
        "called otherwise": ("greeter.whl", good),
        "for another system": make_wheel("greeter", tag="py3-none-win32"),
        "for another Python": make_wheel("greeter", python="<3"),
        "damaged": (name, good.replace(b"hello", b"hollo")),
        "of another package": (name, make_wheel("other")[1]),
        "without METADATA": (name, make_zip({"greeter.py": ""})),
        "needs what it cannot bring": make_wheel("greeter", requires=["aria-core", "helper>=2"]),
        "leads out": make_wheel("greeter", files={"../evil.py": ""}),
    }


class TestWheelInstaller(InstallerContract):
    @pytest.fixture
    def installer(self) -> WheelInstaller:
        return WheelInstaller()

    @pytest.fixture
    def sample(self, tmp_path: Path) -> InstallerSample:
        directory = tmp_path / "samples"
        paths = {}
        for number, (fault, (name, data)) in enumerate({"": make_wheel("greeter"), **broken()}.items()):
            paths[fault] = directory / str(number) / name
            paths[fault].parent.mkdir(parents=True)
            paths[fault].write_bytes(data)
        wagon = write_wagon(directory / "greeter.wgn", make_wagon())
        return InstallerSample(paths.pop(""), "greeter", "1.0", "greeter:greet", "hello world", paths,
                               {"wagon": wagon})


def test_the_plugin_manager_finds_it_by_its_entry_point(tmp_path: Path) -> None:
    name, data = make_wheel("greeter")
    (tmp_path / name).write_bytes(data)
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as model:
        manager = PluginManager(model, tmp_path / "plugins")
        plugin = manager.install(tmp_path / name)
        assert (plugin.name, plugin.installer) == ("greeter", "WheelInstaller")
        assert Path(str(manager.environment(plugin).python)).exists()
