"""Loaders and installers are asked in order, ours first, and imported only when it is their turn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aria_core.exceptions import ExtensionNotFoundError, InvalidInputError
from aria_core.extensions.kinds import LOADERS

LOADER = """
    from aria_core import LoadedTemplate, Loader, TemplateSpec, hookimpl

    class SuffixLoader(Loader):
        def recognises(self, source):
            return source.suffix == ".{suffix}"

        def load(self, source, read):
            return LoadedTemplate(template=TemplateSpec(name=source.stem))

    @hookimpl
    def aria_loader():
        return SuffixLoader
"""


def install(site, name: str, source: str = LOADER) -> None:
    site.install(
        f"aria-{name}",
        "aria.loaders",
        {name: f"loader_{name}"},
        {f"loader_{name}": source.replace("{suffix}", name)},
    )


def test_strangers_are_asked_by_name_until_one_recognises(site, extensions):
    for each in ("aaa", "bbb", "ccc"):
        install(site, each)
    loader = extensions.recognisers(LOADERS).recognise(Path("x.bbb"))
    assert type(loader).__module__ == "loader_bbb"
    assert "loader_aaa" in sys.modules
    assert "loader_ccc" not in sys.modules


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('broken')", LOADER.replace("return source.suffix", "return 1 / 0, source.suffix")],
)
def test_one_that_cannot_be_used_is_passed_over_and_told_if_nobody_fits(site, extensions, source):
    install(site, "aaa", source)
    install(site, "bbb")
    loaders = extensions.recognisers(LOADERS)
    assert type(loaders.recognise(Path("x.bbb"))).__module__ == "loader_bbb"
    with pytest.raises(
        InvalidInputError, match=r"x.zzz is recognised by no loader; installed are .*aaa, bbb; .*aaa"
    ):
        loaders.recognise(Path("x.zzz"))


def test_a_named_one_is_not_asked(site, extensions):
    install(site, "aaa")
    loaders = extensions.recognisers(LOADERS)
    assert loaders.named("aaa") is loaders.named("aaa")
    with pytest.raises(ExtensionNotFoundError, match="there is no loader 'zzz'"):
        loaders.named("zzz")
