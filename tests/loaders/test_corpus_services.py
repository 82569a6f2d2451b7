"""Services of other people's templates: they can be made, and ``install`` knows what it would do.

See ``test_corpus`` for where they are. One in `EVERY` is taken, or all of them if ``LONG_TESTS`` is set.
Templates that leave open which node fulfils a requirement make no service; they are counted by themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    AriaError,
    LoadedTemplate,
    ModelStorage,
    ParameterSpec,
    ResourceStorage,
    SqlModelStorage,
    WorkflowRunner,
    create_service,
    store_template,
)
from aria_plugins.executors.dry import DryExecutor
from aria_plugins.loaders.tosca import ToscaLoader
from aria_plugins.storage.file import FileStorage

from .test_corpus import CORPUS, judged

EVERY = 1 if os.environ.get("LONG_TESTS") else 8
MADE = 0.95
VALUES: Mapping[str, Any] = {
    "string": "x", "integer": 3, "float": 1.5, "boolean": True, "list": [], "map": {}, "version": "1.0",
    "timestamp": "2026-01-31T12:00:00Z", "range": [1, 2], "scalar-unit.size": "1 GB",
    "scalar-unit.time": "1 s", "scalar-unit.frequency": "1 GHz", "scalar-unit.bitrate": "1 Mbps"}

pytestmark = pytest.mark.skipif(
    not (CORPUS / "index.tsv").exists(), reason=f"there is no corpus in {CORPUS}: ARIA_CORPUS may name one")


def generated(declared: Mapping[str, ParameterSpec]) -> dict[str, Any]:
    """A value for each input that needs one."""
    return {name: _value(each) for name, each in declared.items() if each.required and each.value is None}


def _value(declared: ParameterSpec) -> Any:
    for constraint in declared.constraints:
        for kind, bound in constraint.items():
            if kind in ("valid_values", "in_range") and bound:
                return bound[0]
            if kind in ("equal", "greater_or_equal", "less_or_equal"):
                return bound
    return VALUES.get(declared.type, {})


def planned(model: ModelStorage, resource: ResourceStorage, loaded: LoadedTemplate, number: int) -> str:
    """The state of a dry install of a service of it."""
    name = f"service-{number}"
    loaded.template.name, loaded.directory = name, None
    service = create_service(model, store_template(model, resource, loaded), name,
                             generated(loaded.template.inputs))
    runner = WorkflowRunner(model, resource, None, service_id=service.id, workflow_name="install",
                            executor=DryExecutor())
    return runner.execute()


def test_services_of_valid_templates_can_be_made_and_installed_dry(tmp_path: Path) -> None:
    valid = [each.row.file for each in judged() if each.row.is_valid and not each.problems]
    made, open_, failed = 0, 0, {}
    resource = FileStorage(tmp_path / "resources")
    resource.open()
    with SqlModelStorage(f"sqlite:///{tmp_path / 'aria.db'}") as model:
        for number, file in enumerate(valid[::EVERY]):
            loaded = ToscaLoader().load(CORPUS / file, Path.read_bytes)
            if loaded.template.unsatisfied:
                open_ += 1
                continue
            try:
                assert planned(model, resource, loaded, number) == "succeeded"
                made += 1
            except AriaError as error:
                failed[file] = str(error)
    told = "\n".join(f"  {file}: {error[:200]}" for file, error in failed.items())
    sys.stdout.write(f"\n{made} services made and planned, {len(failed)} not, {open_} left open\n{told}\n")
    assert made >= MADE * (made + len(failed)) > 0
