"""What ``.importlinter`` cannot say about imports: here even those of type checkers count."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import aria_core

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "aria_core").rglob("*.py"))
WORKER = sorted((ROOT / "aria_core" / "worker").glob("*.py"))
PLUGINS = sorted((ROOT / "aria_plugins").rglob("*.py"))

IMPORT_WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from importlib import import_module
for name in sys.argv[2:]:
    import_module(f"aria_core.worker.{name}")
print(sorted({each.partition(".")[0] for each in sys.modules} - sys.stdlib_module_names - {"__main__"}))
"""


def imports(file: Path) -> Iterator[tuple[str, str | None]]:
    """Every import of a file, wherever it stands: (module, imported name or None)."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((each.name, None) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(file.relative_to(ROOT).parent.parts)
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield from ((module, each.name) for each in node.names)


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", PLUGINS, ids=shown)
def test_an_extension_imports_public_names_of_the_core(file):
    package = ".".join(file.relative_to(ROOT).parts[:2]).removesuffix(".py")
    for module, name in imports(file):
        if module == "aria_core":
            assert name in (*aria_core.__all__, "__version__"), f"aria_core publishes no {name}"
        else:
            assert module.partition(".")[0] != "aria_core", f"import {name} from aria_core, not from {module}"
        if module.partition(".")[0] == "aria_plugins":
            assert module.startswith(package), f"{module} belongs to another kind of extension"


@pytest.mark.parametrize("file", CORE, ids=shown)
def test_the_core_imports_no_extension(file):
    assert [module for module, _ in imports(file) if module.startswith("aria_plugins")] == []


@pytest.mark.parametrize("file", WORKER, ids=shown)
def test_the_worker_imports_the_standard_library_and_itself(file):
    ours = ("aria_core.worker", "aria_core.exceptions")
    strange = [module for module, _ in imports(file)
               if module.partition(".")[0] not in sys.stdlib_module_names and not module.startswith(ours)]
    assert strange == []


def test_the_worker_can_be_imported_where_nothing_is_installed():
    names = [file.stem for file in WORKER if not file.stem.startswith("__")]
    printed = subprocess.run([sys.executable, "-I", "-S", "-c", IMPORT_WORKER, ROOT, *names],
                             check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "['aria_core']"
