"""Distributions as an installer leaves them: modules, and a ``.dist-info`` with metadata and entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from aria_core.extensions import Extensions

EXECUTOR = """
    from aria_core import Executor, hookimpl

    class {name}(Executor):
        def __init__(self, slots: int = 1) -> None:
            self.slots = slots
        def open(self, report): ...
        def submit(self, call): ...
        def close(self, grace): ...

    @hookimpl
    def aria_executor():
        return {name}
"""


class Site:
    """A directory on the path, into which a test installs distributions."""

    EXECUTOR = EXECUTOR

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def install(
        self,
        name: str,
        group: str,
        words: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        requires: Sequence[str] = (),
    ) -> None:
        """A distribution with entry points word -> value in one group, and modules by name."""
        for module, source in (modules or {}).items():
            (self.directory / f"{module}.py").write_text(dedent(source))
        info = self.directory / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines]) + "\n")
        points = "\n".join(f"{word} = {value}" for word, value in words.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")

    def executor(self, name: str, module: str, source: str = EXECUTOR, **more: object) -> None:
        """A distribution ``aria-<name>`` with one executor."""
        source = source.replace("{name}", "StrangeExecutor")
        self.install(f"aria-{name}", "aria.executors", {name: module}, {module: source}, **more)

    def hooks(self, name: str, module: str, source: str, **more: object) -> None:
        """A distribution ``aria-<name>`` with one hook extension."""
        self.install(f"aria-{name}", "aria.hooks", {name: module}, {module.partition(":")[0]: source}, **more)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    yield Site(directory)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(directory)):
            del sys.modules[name]


@pytest.fixture
def extensions() -> Extensions:
    return Extensions(environ={})
