"""What is imported when: asked of an interpreter that starts from nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import aria_core
from aria_core import exceptions

HEAVY = ("sqlalchemy", "networkx", "pluggy", "stevedore", "msgspec", "jinja2", "yaml", "click", "rich",
         "celery", "kombu", "redis", "amqp", "obstore")


def modules_after(program: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return set(printed.split())


def test_importing_the_package_imports_nothing_else():
    before = modules_after("from __future__ import annotations\nimport typing")
    assert {each.partition(".")[0] for each in modules_after("import aria_core") - before} == {"aria_core"}


def test_the_scan_imports_no_extension_and_nothing_heavy():
    after = modules_after(
        "from aria_core.extensions import Extensions\nExtensions().rows(); Extensions().commands"
    )
    assert not after & set(HEAVY)
    assert not [each for each in after if each.startswith("aria_plugins")]


def test_a_configuration_is_read_without_extensions():
    after = modules_after("from aria_core.config import Config\nConfig.load()")
    assert not after & (set(HEAVY) - {"msgspec"})


def test_the_hook_specifications_import_types_only():
    after = modules_after("import aria_core.hookspecs")
    assert {each for each in after if each.startswith("aria")} == {"aria_core", "aria_core.hookspecs"}


def test_both_tables_of_public_names_are_the_same():
    tree = ast.parse(Path(aria_core.__file__).read_text())
    block = next(each for each in tree.body if isinstance(each, ast.If))
    for_checkers = {
        name.asname: each.module
        for each in block.body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    }
    assert for_checkers == aria_core._HOMES


def test_every_error_is_public():
    errors = {
        name
        for name, each in vars(exceptions).items()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert errors <= set(aria_core.__all__)


@pytest.mark.parametrize("name", aria_core.__all__)
def test_a_public_name_is_what_its_module_defines(name):
    value = getattr(aria_core, name)
    assert value is getattr(import_module(aria_core._HOMES[name]), name)
    assert name in dir(aria_core)


def test_the_version_is_that_of_the_distribution():
    assert aria_core.__version__.startswith("0.")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'aria_core' has no attribute 'nonsense'"):
        _ = aria_core.nonsense
