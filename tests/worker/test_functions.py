"""Finding the function an operation names."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aria_core.worker.functions import FunctionImportError, import_function


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def test_a_function_of_an_installed_package_is_found_in_both_notations() -> None:
    assert import_function("posixpath:join") is os.path.join
    assert import_function("posixpath.join") is os.path.join


def test_the_templates_own_module_hides_an_installed_one(tmp_path: Path) -> None:
    write(tmp_path, {"colorsys.py": "def mine(): return 'own'"})
    assert import_function("colorsys:mine", tmp_path)() == "own"
    assert callable(import_function("colorsys:rgb_to_hsv"))


def test_a_module_that_comes_and_goes_is_seen_at_once(tmp_path: Path) -> None:
    assert callable(import_function("colorsys:rgb_to_hsv", tmp_path))
    write(tmp_path, {"colorsys.py": "def mine(): return 'own'"})
    assert import_function("colorsys:mine", tmp_path)() == "own"
    (tmp_path / "colorsys.py").unlink()
    assert callable(import_function("colorsys:rgb_to_hsv", tmp_path))


def test_a_folder_of_files_does_not_hide_an_installed_module(tmp_path: Path) -> None:
    write(tmp_path, {"json/data.txt": "", "operations.py": "import json\ndef f(): return json.dumps([])"})
    assert import_function("operations:f", tmp_path)() == "[]"


def test_modules_of_two_templates_with_the_same_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, {"operations.py": "import shared\ndef who(): return shared.NAME",
                                "shared.py": f"NAME = {name!r}"})
    functions = [import_function("operations:who", tmp_path / name) for name in ("one", "two", "one")]
    assert [each() for each in functions] == ["one", "two", "one"]


def test_siblings_are_imported_absolutely_relatively_and_late(tmp_path: Path) -> None:
    write(tmp_path, {
        "package/__init__.py": "",
        "package/operations.py": (
            "import sibling, package.inner\nfrom . import inner\nfrom package.deep.down import DEEP\n"
            "def now(): return sibling.NAME, inner.NAME, package.inner is inner, DEEP\n"
            "def late():\n    from later import LATER\n    from .inner import NAME\n"
            "    import package.deep.down as d\n"
            "    return LATER, NAME, d.DEEP\n"),
        "package/inner.py": "NAME = 'inner'", "package/deep/down.py": "DEEP = 'deep'",
        "sibling.py": "NAME = 'sibling'", "later.py": "LATER = 'later'"})
    assert import_function("package.operations:now", tmp_path)() == ("sibling", "inner", True, "deep")
    assert import_function("package.operations:late", tmp_path)() == ("later", "inner", "deep")


def test_nothing_of_a_template_stays_under_a_plain_name_or_on_the_path(tmp_path: Path) -> None:
    write(tmp_path, {"plain_name_of_a_template.py": "import its_sibling\ndef f(): return 1",
                     "its_sibling.py": ""})
    files = set(tmp_path.iterdir())
    before = list(sys.path)
    import_function("plain_name_of_a_template:f", tmp_path)
    assert sys.path == before
    assert not {"plain_name_of_a_template", "its_sibling"} & set(sys.modules)
    assert set(tmp_path.iterdir()) == files


def test_a_module_is_imported_once_until_one_of_its_files_changes(tmp_path: Path) -> None:
    write(tmp_path, {"operations.py": "import part\nSEEN = []\n"
                                      "def f():\n    SEEN.append(1)\n    return len(SEEN), part.N",
                     "part.py": "N = 1"})
    assert import_function("operations:f", tmp_path)() == (1, 1)
    assert import_function("operations:f", tmp_path)() == (2, 1)
    write(tmp_path, {"part.py": "N = 2"})
    os.utime(tmp_path / "part.py", ns=(1, 1))
    assert import_function("operations:f", tmp_path)() == (1, 2)


def test_a_class_of_a_template_works_as_a_dataclass(tmp_path: Path) -> None:
    write(tmp_path, {"operations.py": "from __future__ import annotations\n"
                                      "from dataclasses import dataclass\n"
                                      "@dataclass\nclass Box:\n    size: int\n"
                                      "def f(): return Box(3).size"})
    assert import_function("operations:f", tmp_path)() == 3


def test_many_threads_may_import_at_once(tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / str(number), {"operations.py": "import part\ndef f(): return part.N",
                                       "part.py": f"N = {number}"})
    barrier = threading.Barrier(8)

    def import_one(number: int) -> int:
        barrier.wait()
        found: int = import_function("operations:f", tmp_path / str(number))()
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(import_one, range(8))) == list(range(8))


@pytest.mark.parametrize(("name", "message"), [
    ("nothing_such:f", "there is no module nothing_such in .* or among the installed packages"),
    ("package.missing:f", "there is no module package.missing"),
    ("operations:missing", "the module operations has no 'missing'"),
    ("operations:NUMBER", "'operations:NUMBER' is a int; an operation needs a function"),
    ("operations", "'operations' names no function; write package.module:function"),
    ("operations:", "names no function"),
    ("../operations:f", "names no function"),
    ("broken:f", "importing broken for 'broken:f' failed: SyntaxError"),
    ("needy:f", "importing needy for 'needy:f' failed: ModuleNotFoundError: No module named 'dependency'"),
    ("leaver:f", "importing leaver for 'leaver:f' failed: SystemExit: 3"),
])
def test_what_cannot_be_imported_is_said_in_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path, {"operations.py": "NUMBER = 1", "broken.py": "def f(:", "needy.py": "import dependency",
                     "leaver.py": "raise SystemExit(3)", "package/__init__.py": ""})
    with pytest.raises(FunctionImportError, match=message):
        import_function(name, tmp_path)


def test_the_cause_of_a_failed_import_is_kept(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": "1 / 0"})
    with pytest.raises(FunctionImportError) as caught:
        import_function("broken:f", tmp_path)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
