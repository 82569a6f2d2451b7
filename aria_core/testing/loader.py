"""The contract of loaders.

Derive from it in a module of tests and give two fixtures: ``loader``, and ``sample``, a
`LoaderSample` whose files lie in a directory of the test's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from aria_core.exceptions import LoadError
from aria_core.loader import LOADER_API, Loader
from aria_core.modeling.specification import LoadedTemplate
from aria_core.testing.surroundings import unchanged

ACCEPTED = LOADER_API, LOADER_API - 1
PLACE = re.compile(r"(?P<file>.+?):(?P<line>[1-9]\d*):(?P<column>[1-9]\d*): \S")

_CANARY = "import os\nos.environ['ARIA_CANARY'] = 'somebody ran this'\n"


@dataclass(frozen=True, slots=True)
class LoaderSample:
    """What a loader is tried on.

    `source` is a template of several files in a directory of its own, with these `nodes`; a Python
    module ``canary`` may be beside it. `broken` are sources with one fault each, `faulty` is one with
    at least two independent faults; what stands in `foreign` is not for this loader.
    """

    source: Path
    nodes: Collection[str]
    broken: Mapping[str, Path]
    faulty: Path
    foreign: Mapping[str, Path] = field(default_factory=dict)


class Files:
    """Files in memory: a loader that reads through `read` needs no others."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[Path] = []
        self._files = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    def read(self, path: Path) -> bytes:
        """The bytes; ``FileNotFoundError`` for what was not there."""
        self.asked.append(path)
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(path) from None


class LoaderContract:
    """A loader turns a source into a template; it reads, and does nothing else."""

    def test_its_interface_is_one_this_core_accepts(self, loader: Loader) -> None:
        assert isinstance(loader, Loader)
        assert loader.api in ACCEPTED

    def test_its_sources_are_recognised(self, loader: Loader, sample: LoaderSample) -> None:
        assert loader.recognises(sample.source) is True

    def test_nothing_else_is_recognised_and_looking_never_raises(
            self, loader: Loader, sample: LoaderSample, tmp_path: Path) -> None:
        missing = tmp_path / f"missing{sample.source.suffix}"
        for number, path in enumerate((missing, *sample.foreign.values())):
            assert loader.recognises(path) is False, path.name
            folder = tmp_path / str(number) / f"folder{path.suffix}"
            folder.mkdir(parents=True)
            assert isinstance(loader.recognises(folder), bool)
        assert isinstance(loader.recognises(Path("nul\0")), bool)

    def test_a_source_becomes_a_template(self, loader: Loader, sample: LoaderSample) -> None:
        loaded = _load(loader, sample.source)
        assert isinstance(loaded, LoadedTemplate)
        assert sorted(loaded.template.nodes) == sorted(sample.nodes)
        assert all(name == node.name for name, node in loaded.template.nodes.items())
        assert loaded.template.name

    def test_the_template_says_where_its_files_lie(self, loader: Loader, sample: LoaderSample) -> None:
        loaded = _load(loader, sample.source)
        assert loaded.directory is not None
        assert (Path(loaded.directory) / loaded.main_file).resolve() == sample.source.resolve()

    def test_the_template_survives_storing(self, loader: Loader, sample: LoaderSample) -> None:
        loaded = _load(loader, sample.source)
        assert msgspec.json.decode(msgspec.json.encode(loaded), type=LoadedTemplate) == loaded

    def test_loading_twice_gives_the_same_and_no_shared_parts(
            self, loader: Loader, sample: LoaderSample) -> None:
        first, second = (_load(loader, sample.source) for _ in range(2))
        assert first == second
        first.template.nodes.clear()
        for loaded in (second, _load(loader, sample.source)):
            assert sorted(loaded.template.nodes) == sorted(sample.nodes)

    def test_everything_is_read_through_read(
            self, loader: Loader, sample: LoaderSample, tmp_path: Path) -> None:
        files = Files(sample.source.parent)
        expected = loader.load(sample.source, files.read)
        assert sample.source in files.asked
        sample.source.parent.rename(tmp_path / "elsewhere")
        assert loader.load(sample.source, files.read) == expected

    def test_loading_changes_nothing_and_runs_nothing(self, loader: Loader, sample: LoaderSample) -> None:
        (sample.source.parent / "canary.py").write_text(_CANARY)
        with unchanged(sample.source.parent, "canary"):
            _load(loader, sample.source)
        assert not [name for name in sys.modules if name.endswith(".canary")]

    def test_broken_sources_are_refused_with_a_place_for_each_problem(
            self, loader: Loader, sample: LoaderSample) -> None:
        for path in (*sample.broken.values(), sample.faulty):
            for problem in _problems(loader, path):
                match = PLACE.match(problem)
                assert match is not None, problem
                assert "\n" not in problem
                assert Path(match["file"]).name in {each.name for each in path.parent.rglob("*")}, problem

    def test_every_fault_has_a_sentence_of_its_own(self, loader: Loader, sample: LoaderSample) -> None:
        sentences: dict[tuple[str, ...], str] = {}
        for fault, path in sample.broken.items():
            sentence = tuple(PLACE.sub("", each) for each in _problems(loader, path))
            assert sentence not in sentences, f"{fault} and {sentences[sentence]} are told by the same words"
            sentences[sentence] = fault

    def test_all_problems_are_told_at_once(self, loader: Loader, sample: LoaderSample) -> None:
        problems = _problems(loader, sample.faulty)
        assert len(problems) > 1
        assert len(set(problems)) == len(problems)

    def test_a_missing_source_is_refused_by_name(self, loader: Loader, sample: LoaderSample) -> None:
        path = sample.source.with_name(f"nowhere{sample.source.suffix}")
        assert "nowhere" in "".join(_problems(loader, path))

    def test_a_refusal_by_read_is_passed_on(self, loader: Loader, sample: LoaderSample) -> None:
        def refuse(path: Path) -> bytes:
            raise LoadError([f"{path}:1:1: this is out of bounds"])

        with pytest.raises(LoadError, match="this is out of bounds"):
            loader.load(sample.source, refuse)

    def test_a_source_that_was_cut_off_or_bent_gives_a_template_or_problems_and_nothing_else(
            self, loader: Loader, sample: LoaderSample) -> None:
        data = sample.source.read_bytes()
        cuts = [data[:len(data) * number // 20] for number in range(20)]
        bent = [data[:len(data) // 2] + extra + data[len(data) // 2:]
                for extra in (b"\xff\xfe", b"\0", b"\x1b", b"\t\t{[(", b"\xed\xa0\x80", b"\n\n? : !!\n")]
        for each in (*cuts, *bent, b"", b"\xff" * 100, bytes(100), b"[" * 20_000):
            _tolerate(loader, sample.source, each)


def _load(loader: Loader, source: Path) -> LoadedTemplate:
    return loader.load(source, Path.read_bytes)


def _problems(loader: Loader, source: Path) -> tuple[str, ...]:
    with pytest.raises(LoadError) as refused:
        _load(loader, source)
    assert refused.value.problems
    return refused.value.problems


def _tolerate(loader: Loader, source: Path, data: bytes) -> None:
    """Anything but a template or a ``LoadError`` fails the test."""
    files = Files(source.parent)
    try:
        loaded = loader.load(source, lambda path: data if path == source else files.read(path))
    except LoadError as error:
        assert error.problems
    else:
        assert isinstance(loaded, LoadedTemplate)
