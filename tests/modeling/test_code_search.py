"""Functions are found where a worker would import them from, without importing anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aria_core.modeling.code_search import CodeSearch, own_folder, search_path
from aria_core.modeling.signatures import Signature
from aria_core.worker.functions import FunctionImportError, import_function

F = "def f(ctx, {}): ...\n"


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.py".replace("/init", "/__init__")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return tmp_path / "installed"


@pytest.fixture
def search(own: Path, installed: Path) -> CodeSearch:
    for each in (own, installed):
        each.mkdir()
    return CodeSearch(own_folder(own), search_path([str(installed)]))


def found(search: CodeSearch, function: str) -> tuple[str, list[str]]:
    signature = search.look_up(function)
    assert isinstance(signature, Signature), signature
    return signature.place, list(signature.arguments)


def test_the_templates_own_modules_go_before_installed_ones(search, own, installed):
    write(own, ops=F.format("mine"))
    write(installed, ops=F.format("theirs"), other=F.format("theirs"))
    assert found(search, "ops:f") == ("ops.py:1", ["mine"])
    assert found(search, "ops.f") == ("ops.py:1", ["mine"])
    assert found(search, "other:f") == (f"{installed}/other.py:1", ["theirs"])


def test_packages_and_folders_without_an_init_are_looked_into(search, own):
    write(own, pack__init="", pack__ops=F.format("a"), parts__deep__ops=F.format("b"))
    assert found(search, "pack.ops:f") == ("pack/ops.py:1", ["a"])
    assert found(search, "parts.deep.ops:f") == ("parts/deep/ops.py:1", ["b"])


def test_a_package_goes_before_a_module_of_its_name(search, own):
    write(own, ops=F.format("module"), ops__init=F.format("package"))
    assert found(search, "ops:f") == ("ops/__init__.py:1", ["package"])


def test_a_folder_without_an_init_is_not_the_templates_if_something_of_that_name_is_installed(
        search, own, installed):
    write(own, parts__ops=F.format("mine"))
    write(installed, parts__init="", parts__ops=F.format("theirs"))
    assert found(search, "parts.ops:f") == (f"{installed}/parts/ops.py:1", ["theirs"])


@pytest.mark.parametrize("imports", [
    "from .heads import f", "from ..pack.heads import f", "from pack.heads import f",
    "from .between import g as f", "from .. import pack\nfrom ..other import f"])
def test_names_that_are_imported_are_followed_to_their_definition(search, own, imports):
    imports = imports.replace("from pack", "from top.pack")
    write(own, top__init="", top__pack__init=imports, top__pack__ops=imports,
          top__pack__heads="\n" + F.format("a"), top__pack__between="from .heads import f as g",
          top__other="from .pack.heads import f")
    for module in ("top.pack", "top.pack.ops"):
        assert found(search, f"{module}:f") == ("top/pack/heads.py:2", ["a"])


def test_names_that_import_each_other_lead_nowhere(search, own):
    write(own, one="from two import f", two="from one import f")
    assert search.look_up("one:f") is None


def test_what_the_template_should_have_and_has_not_is_told(search, own):
    write(own, ops=F.format("a"), pack__init="")
    assert search.look_up("ops:g") == "ops.py has no function 'g', which ops:g asks for"
    assert search.look_up("pack.missing:f") == (
        "the template has no module pack.missing, which pack.missing:f asks for")
    assert search.look_up("ops.missing:f") == (
        "the template has no module ops.missing, which ops.missing:f asks for")


@pytest.mark.parametrize(("files", "function"), [
    ({"ops": "from os.path import *"}, "ops:g"),
    ({"ops": "def __getattr__(name): ..."}, "ops:g"),
    ({"ops": "if x:\n    g = 1"}, "ops:g"),
    ({"ops": "class g: ..."}, "ops:g.method"),
    ({"ops": "def f(:"}, "ops:f"),
    ({"pack__init": "__path__.append('elsewhere')"}, "pack.missing:f"),
    ({"pack__init": "import sys\nsys.modules['pack.missing'] = 1"}, "pack.missing:f"),
    ({}, "nowhere.to_be.found:f"),
    ({}, "time:sleep"),
    ({}, "json:dumps"),
])
def test_what_only_an_import_could_tell_is_not_told(search, own, files, function):
    write(own, **files)
    assert search.look_up(function) is None


def test_installed_things_are_never_said_to_be_missing(search, installed):
    write(installed, ops=F.format("a"), pack__init="")
    for function in ("ops:g", "pack.missing:f", "ops.missing:f"):
        assert search.look_up(function) is None


def test_compiled_modules_and_archives_may_hide_what_lies_behind_them(installed, search, tmp_path):
    write(installed, ops=F.format("a"))
    suffix = ".abi3.so" if sys.platform != "win32" else ".pyd"
    (installed / f"ops{suffix}").write_bytes(b"")
    assert search.look_up("ops:f") is None
    archive = tmp_path / "archive.zip"
    archive.write_bytes(b"")
    assert CodeSearch(None, search_path([str(archive), str(write(tmp_path / "more", ops=F))])
                      ).look_up("ops:f") is None


def test_the_operations_of_the_project_itself_are_read():
    search = CodeSearch(None, search_path(sys.path))
    place, arguments = found(search, "aria_plugins.operations.script:run_script_locally")
    assert Path(place.rpartition(":")[0]).is_file()
    assert arguments == ["script_path", "process"]


def test_nothing_is_imported_to_be_read(search, own):
    write(own, canary_ops="raise SystemExit('somebody ran this')\n" + F.format("a"))
    modules, path = set(sys.modules), list(sys.path)
    assert found(search, "canary_ops:f") == ("canary_ops.py:2", ["a"])
    assert (set(sys.modules), sys.path) == (modules, path)


@pytest.mark.parametrize("function", ["ops:f", "ops:g", "pack.ops:f", "pack.none:f", "parts.ops:f", "none:f",
                                      "pack:f", "ops.f:f"])
def test_a_function_is_said_to_be_missing_only_if_a_worker_does_not_find_it(search, own, function):
    write(own, ops="from parts.ops import f", pack__init="from .ops import f", pack__ops=F.format("a"),
          parts__ops=F.format("b"))
    told = search.look_up(function)
    if isinstance(told, str):
        with pytest.raises(FunctionImportError):
            import_function(function, own)
    elif told is not None:
        assert import_function(function, own).__code__.co_varnames[1:2] == tuple(told.arguments)
