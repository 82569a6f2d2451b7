"""Templates as text, loaded from a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from aria_core import LoadedTemplate, LoadError, OperationSpec
from aria_plugins.loaders.tosca import ToscaLoader

Load = Callable[..., LoadedTemplate]
Refuse = Callable[..., list[str]]
LoadOperation = Callable[[str], OperationSpec]

OPERATION = """
topology_template:
  node_templates:
    one:
      type: tosca.nodes.Root
      interfaces:
        Standard:
          create:
            implementation:
              primary: create.sh
              dependencies: {settings}
"""
"""Its settings stand in line 11 of the file."""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load `text` as service.yaml; other files by name as keywords or in `files`."""

    def loaded(text: str, version: str = "1_3", files: dict[str, str] | None = None) -> LoadedTemplate:
        head = f"tosca_definitions_version: tosca_simple_yaml_{version}\n" if version else ""
        for name, content in {"service.yaml": head + dedent(text).lstrip("\n"), **(files or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(content), encoding="utf-8")
        return ToscaLoader().load(tmp_path / "service.yaml", Path.read_bytes)

    return loaded


@pytest.fixture
def refuse(load: Load, tmp_path: Path) -> Refuse:
    """The problems of a template, with the folder left out of their places."""

    def problems(text: str, version: str = "1_3", files: dict[str, str] | None = None) -> list[str]:
        with pytest.raises(LoadError) as caught:
            load(text, version, files)
        return [each.replace(f"{tmp_path}/", "") for each in caught.value.problems]

    return problems


@pytest.fixture
def load_operation(load: Load) -> LoadOperation:
    """Load an operation with these settings."""
    def loaded(settings: str) -> OperationSpec:
        found = load(OPERATION.format(settings=settings), files={"create.sh": ""})
        return found.template.nodes["one"].interfaces["Standard"].operations["create"]

    return loaded
