"""The TOSCA loader keeps the contract of loaders."""

from __future__ import annotations

from pathlib import Path

import pytest

from aria_core.testing.loader import LoaderContract, LoaderSample
from aria_plugins.loaders.tosca import ToscaLoader

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_3\n"

SOURCE = HEAD + """
imports: [types/server.yaml]
topology_template:
  inputs:
    port: {type: integer, default: 8080}
  node_templates:
    db: {type: Server}
    web:
      type: Server
      properties: {port: {get_input: port}}
      requirements: [{dependency: db}]
      interfaces:
        Standard:
          operations: {start: scripts/start.sh}
"""

TYPES = HEAD + """
node_types:
  Server:
    derived_from: tosca.nodes.Root
    properties:
      port: {type: integer, default: 80}
"""

BROKEN = {
    "no version": "topology_template: {}\n",
    "unknown version": "tosca_definitions_version: tosca_simple_yaml_9_9\n",
    "no YAML": HEAD + "topology_template: [}\n",
    "no map": "- a list\n",
    "unknown keyname": HEAD + "topologie_template: {}\n",
    "unknown type": HEAD + "topology_template: {node_templates: {a: {type: Missing}}}\n",
    "missing import": HEAD + "imports: [absent.yaml]\n",
    "wrong value": HEAD + "topology_template: {inputs: {port: {type: integer, default: many}}}\n",
    "the same key twice": HEAD + "topology_template: {node_templates: {a: {type: A}, a: {type: A}}}\n",
}

FAULTY = HEAD + """
topology_template:
  node_templates:
    a: {type: Missing}
    b: {type: Absent}
"""

FOREIGN = {"other.yaml": "just: yaml\n", "text.txt": HEAD, "empty.yaml": "", "program.py": "print()\n"}


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def write_sample(directory: Path) -> LoaderSample:
    good = {"service.yaml": SOURCE, "types/server.yaml": TYPES, "scripts/start.sh": "#!/bin/sh\n"}
    write(directory / "good", **good)
    write(directory / "faulty", **{"faulty.yaml": FAULTY})
    write(directory / "foreign", **FOREIGN)
    broken = {}
    for number, (fault, text) in enumerate(BROKEN.items()):
        broken[fault] = write(directory / f"broken {number}", **{"broken.yaml": text}) / "broken.yaml"
    foreign = {name: directory / "foreign" / name for name in FOREIGN}
    return LoaderSample(directory / "good" / "service.yaml", {"db", "web"}, broken,
                        directory / "faulty" / "faulty.yaml", foreign)


class TestToscaLoader(LoaderContract):
    @pytest.fixture
    def loader(self) -> ToscaLoader:
        return ToscaLoader()

    @pytest.fixture
    def sample(self, tmp_path: Path) -> LoaderSample:
        return write_sample(tmp_path / "samples")
