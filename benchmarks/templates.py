"""How long templates take: ``python -m benchmarks.templates nodes 1000 --mode instantiate``.

``profile`` is the first template of a process, which reads the normative types too, once the loader is
imported. ``validate`` reads a template of N nodes, of ten lines each, and checks it; ``instantiate`` stores
it and makes a service of it in SQLite: ``store_s`` is the storing, ``exec_s`` the making.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aria_core
from aria_core import LoadedTemplate, SqlModelStorage, check_template, create_service, store_template
from aria_plugins.loaders.tosca import ToscaLoader
from aria_plugins.storage.file import FileStorage
from benchmarks.cells import TEMPLATE_MODES
from benchmarks.peers import common

_HEAD = """\
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Web:
    derived_from: tosca.nodes.Root
    properties: {port: {type: integer}, name: {type: string}}
    capabilities: {endpoint: tosca.capabilities.Endpoint}
topology_template:
  node_templates:
    node_0:
      type: Web
      properties: {port: 1, name: first}
"""
_NODE = """\
    node_%d:
      type: Web
      properties:
        port: %d
        name: {concat: [node, "%d"]}
      capabilities:
        endpoint: {properties: {port: 80}}
      requirements:
      - dependency: node_%d
      interfaces: {Standard: {operations: {create: create.sh}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("n", type=int)
    parser.add_argument("--mode", choices=TEMPLATE_MODES)
    given = parser.parse_args()
    directory = Path(os.environ["PEER_DIR"])
    source = written(directory, given.n)
    row = _MEASURES[given.mode](directory, source, given.n)
    common.emit({"peer": "templates", "version": aria_core.__version__, "mode": given.mode,
                 "shape": given.shape, "n": given.n, **row, "rss_mb": common.peak_mb()})


def written(directory: Path, n: int) -> Path:
    """A template of `n` nodes, each of which requires the one before."""
    (directory / "create.sh").write_text("#!/bin/sh\n")
    source = directory / "service.yaml"
    source.write_text(_HEAD + "".join(_NODE % (each, each, each, each - 1) for each in range(1, n)))
    return source


def _validate(directory: Path, source: Path, n: int) -> dict[str, Any]:
    seconds, loaded = _loaded(source)
    return {"exec_s": round(seconds, 5), "verified": len(loaded.template.nodes) == n and not loaded.warnings}


def _loaded(source: Path) -> tuple[float, LoadedTemplate]:
    began = time.perf_counter()
    loaded = ToscaLoader().load(source, Path.read_bytes)
    check_template(loaded.template)
    return time.perf_counter() - began, loaded


def _instantiate(directory: Path, source: Path, n: int) -> dict[str, Any]:
    _, loaded = _loaded(source)
    with (SqlModelStorage(f"sqlite:///{directory / 'aria.db'}") as model,
          FileStorage(directory / "files") as files):
        began = time.perf_counter()
        template = store_template(model, files, loaded)
        stored = time.perf_counter()
        service = create_service(model, template, "measured")
        done = time.perf_counter()
        verified = len(model.service.get(service.id).nodes) == n
    return {"exec_s": round(done - stored, 5), "store_s": round(stored - began, 5), "verified": verified}


_MEASURES: Mapping[str, Callable[[Path, Path, int], dict[str, Any]]] = MappingProxyType({
    "profile": _validate, "validate": _validate, "instantiate": _instantiate})


if __name__ == "__main__":
    main()
