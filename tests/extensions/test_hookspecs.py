"""The examples on the page of hooks are complete extensions: each is installed and used."""

from __future__ import annotations

import inspect
from textwrap import dedent

import pytest

from aria_core import hookspecs
from aria_core.extensions.kinds import EXECUTORS, INSTALLERS, LOADERS, MODEL_STORAGES, RESOURCE_STORAGES
from aria_core.extensions.registration import known_hooks
from aria_core.settings import Setting

KINDS = {each.hook: each for each in (EXECUTORS, MODEL_STORAGES, RESOURCE_STORAGES, INSTALLERS, LOADERS)}


def example(hook: str) -> str:
    """The code after ``::`` in a hook's docstring."""
    return dedent(inspect.getdoc(getattr(hookspecs, hook)).partition("::\n")[2])


@pytest.mark.parametrize("hook", known_hooks())
def test_the_docstring_says_when_it_is_called_and_in_which_group(hook):
    text = inspect.getdoc(getattr(hookspecs, hook)).partition("::\n")[0]
    assert "Called" in text
    assert "``aria." in text


@pytest.mark.parametrize("hook", sorted(KINDS))
def test_the_example_of_a_driver_is_chosen_and_made(site, extensions, hook):
    kind = KINDS[hook]
    site.install("aria-example", kind.group, {"example": "example_module"}, {"example_module": example(hook)})
    keywords = {"name": Setting("x")} if kind is MODEL_STORAGES else {}
    driver = extensions.make(kind, "example", keywords)
    assert type(driver).__module__ == "example_module"


@pytest.mark.parametrize("hook", sorted(set(known_hooks()) - set(KINDS)))
def test_the_example_of_a_hook_extension_is_admitted(site, extensions, hook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value = "example_module:Journal" if hook == "aria_event" else "example_module"
    site.hooks("example", value, example(hook))
    hooks = extensions.hooks()
    hooks.close()
    assert hooks.problems == []


def test_the_installer_and_the_loader_of_the_examples_do_their_work(site, extensions, tmp_path):
    site.install(
        "aria-one", LOADERS.group, {"names": "names_loader"}, {"names_loader": example("aria_loader")}
    )
    loader = extensions.make(LOADERS, "names")
    loaded = loader.load(tmp_path / "two.names", lambda _: b"web db")
    assert sorted(loaded.template.nodes) == ["db", "web"]


def test_the_resource_storage_of_the_example_keeps_files(site, extensions):
    site.install(
        "aria-one",
        RESOURCE_STORAGES.group,
        {"memory": "memory_storage"},
        {"memory_storage": example("aria_resource_storage")},
    )
    storage = extensions.make(RESOURCE_STORAGES, "memory")
    storage.put("a/b", b"1", executable=True)
    assert (storage.read("a/b"), storage.is_executable("a/b"), list(storage.list("a"))) == (
        b"1",
        True,
        ["a/b"],
    )
    assert storage.delete("a")
    assert not storage.delete("a")
