"""Each test of the loader contract fails for a loader that breaks what it promises."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aria_core import LoadedTemplate, Loader, LoadError, NodeSpec, ParameterSpec, Read, TemplateSpec
from aria_core.testing.loader import LoaderContract, LoaderSample

SUFFIX = ".shop"


class Good(Loader):
    """JSON with node names, and files with more: the simplest loader that keeps the contract."""

    def recognises(self, source: Path) -> bool:
        try:
            return source.suffix == SUFFIX and source.is_file()
        except ValueError:
            return False

    def load(self, source: Path, read: Read) -> LoadedTemplate:
        problems: list[str] = []
        spec = TemplateSpec(name=source.stem)
        for name in self.names(source, source, read, problems):
            spec.nodes[name] = NodeSpec(name=name)
        if problems:
            raise self.refused(problems)
        return LoadedTemplate(template=spec, directory=str(source.parent), main_file=source.name)

    def names(self, path: Path, asked_by: Path, read: Read, problems: list[str]) -> Iterator[str]:
        try:
            content = self.parse(read(path))
        except LoadError as error:
            problems.extend(error.problems)
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{asked_by}:1:1: {path.name}: {type(error).__name__}")
        else:
            if not isinstance(content, dict):
                problems.append(f"{path}:1:1: this is no object")
                return
            for name in content.get("nodes", ()):
                if name.startswith("bad"):
                    problems.append(f"{path}:1:1: {name!r} is no name")
                yield name
            for each in content.get("more", ()):
                yield from self.names(path.parent / each, path, read, problems)

    def parse(self, data: bytes) -> Any:
        return json.loads(data)

    def refused(self, problems: list[str]) -> Exception:
        return LoadError(problems)


class OfTheFuture(Good):
    api = 9


class NoLoader:
    api = 1


class RecognisesNothing(Good):
    def recognises(self, source: Path) -> bool:
        return False


class RecognisesEverything(Good):
    def recognises(self, source: Path) -> bool:
        return True


class RecognisesByEnding(Good):
    def recognises(self, source: Path) -> bool:
        return source.suffix == SUFFIX


class RaisesWhenItLooks(Good):
    def recognises(self, source: Path) -> bool:
        return SUFFIX in source.name and b"nodes" in source.read_bytes()


class MindsStrangePaths(Good):
    def recognises(self, source: Path) -> bool:
        try:
            with source.open("rb") as file:
                return source.suffix == SUFFIX and bool(file.read(1))
        except OSError:
            return False


class Changed(Good):
    """Loads well and then changes what it has loaded."""

    def load(self, source: Path, read: Read) -> LoadedTemplate:
        loaded = super().load(source, read)
        self.change(loaded, source)
        return loaded

    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        return None


class LosesNodes(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.template.nodes.popitem()


class MixesNamesUp(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        for node in loaded.template.nodes.values():
            node.name = "node"


class HasNoName(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.template.name = ""


class GivesTheSpecAlone(Good):
    def load(self, source: Path, read: Read) -> Any:
        return super().load(source, read).template


class ForgetsThePlace(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.directory = None


class ForgetsTheFile(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.main_file = ""


class KeepsLiveObjects(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.template.inputs["path"] = ParameterSpec(value=source)


class KeepsTuples(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.template.inputs["pair"] = ParameterSpec(value=(1, 2))


class Counts(Changed):
    numbers = itertools.count()

    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        loaded.template.description = str(next(self.numbers))


class Shares(Good):
    def __init__(self) -> None:
        self.loaded: dict[Path, LoadedTemplate] = {}

    def load(self, source: Path, read: Read) -> LoadedTemplate:
        if source not in self.loaded:
            self.loaded[source] = super().load(source, read)
        return self.loaded[source]


class ReadsByItself(Good):
    def load(self, source: Path, read: Read) -> LoadedTemplate:
        return super().load(source, Path.read_bytes)


class ImportsByItself(Good):
    def names(self, path: Path, asked_by: Path, read: Read, problems: list[str]) -> Iterator[str]:
        reader = read if path == asked_by else Path.read_bytes
        yield from super().names(path, asked_by, reader, problems)


class WritesBeside(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        source.with_suffix(".cache").write_text("")


class RunsCode(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(source.parent))
            if (source.parent / "canary.py").exists():
                importlib.import_module("canary")


class ChangesThePath(Changed):
    def change(self, loaded: LoadedTemplate, source: Path) -> None:
        sys.path.append(str(source.parent))


class TellsNoPlace(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError([each.partition(": ")[2] for each in problems])


class TellsAnotherPlace(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError([f"<string>:1:1: {each.partition(': ')[2]}" for each in problems])


class TellsMuch(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError([f"{each}\n  ^" for each in problems])


class RaisesWhatItGets(Good):
    def refused(self, problems: list[str]) -> Exception:
        return ValueError(problems[0])


class RefusesWithoutReason(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError([])


class SaysTheSameOfEverything(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError([f"{each.partition(': ')[0]}: this is invalid" for each in problems])


class TellsTheFirst(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError(problems[:1])


class RepeatsTheFirst(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError(problems[:1] * 2)


class InventsWhatIsMissing(Good):
    def load(self, source: Path, read: Read) -> LoadedTemplate:
        try:
            return super().load(source, read)
        except LoadError:
            return LoadedTemplate(template=TemplateSpec(name="nothing"))


class HidesTheFile(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError(["template:1:1: it is not there"])


class TranslatesRefusals(Good):
    def refused(self, problems: list[str]) -> Exception:
        return LoadError(["template:1:1: it cannot be read"])


class TrustsItsParser(Good):
    """Expects text and whatever a parser raises for a syntax that is wrong, and nothing else."""

    def parse(self, data: bytes) -> Any:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise SystemError("no text") from error
        return json.loads(text)


class TrustsTheDepth(Good):
    def parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except RecursionError as error:
            raise MemoryError from error


DOUBLES: dict[str, tuple[type, ...]] = {
    "test_its_interface_is_one_this_core_accepts": (OfTheFuture, NoLoader),
    "test_its_sources_are_recognised": (RecognisesNothing,),
    "test_nothing_else_is_recognised_and_looking_never_raises": (
        RecognisesEverything, RecognisesByEnding, RaisesWhenItLooks, MindsStrangePaths),
    "test_a_source_becomes_a_template": (LosesNodes, MixesNamesUp, HasNoName, GivesTheSpecAlone),
    "test_the_template_says_where_its_files_lie": (ForgetsThePlace, ForgetsTheFile),
    "test_the_template_survives_storing": (KeepsLiveObjects, KeepsTuples),
    "test_loading_twice_gives_the_same_and_no_shared_parts": (Counts, Shares),
    "test_everything_is_read_through_read": (ReadsByItself, ImportsByItself),
    "test_loading_changes_nothing_and_runs_nothing": (WritesBeside, RunsCode, ChangesThePath),
    "test_broken_sources_are_refused_with_a_place_for_each_problem": (
        TellsNoPlace, TellsAnotherPlace, TellsMuch, RaisesWhatItGets, InventsWhatIsMissing),
    "test_every_fault_has_a_sentence_of_its_own": (SaysTheSameOfEverything,),
    "test_all_problems_are_told_at_once": (TellsTheFirst, RepeatsTheFirst),
    "test_a_missing_source_is_refused_by_name": (InventsWhatIsMissing, HidesTheFile, RaisesWhatItGets),
    "test_a_refusal_by_read_is_passed_on": (TranslatesRefusals, InventsWhatIsMissing, ReadsByItself),
    "test_a_source_that_was_cut_off_or_bent_gives_a_template_or_problems_and_nothing_else": (
        TrustsItsParser, TrustsTheDepth, RefusesWithoutReason),
}

CONTRACT_TESTS = sorted(name for name in vars(LoaderContract) if name.startswith("test_"))


@pytest.fixture
def sample(tmp_path: Path) -> LoaderSample:
    def write(name: str, text: str) -> Path:
        path = tmp_path / "samples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    write("good/more.json", '{"nodes": ["b"]}')
    texts = {"syntax": "{", "no object": "[]", "name": '{"nodes": ["bad"]}', "no file": '{"more": ["x"]}'}
    broken = {fault: write(f"{fault}/broken{SUFFIX}", text) for fault, text in texts.items()}
    return LoaderSample(
        write(f"good/good{SUFFIX}", '{"nodes": ["a"], "more": ["more.json"]}'), {"a", "b"}, broken,
        write(f"faulty/faulty{SUFFIX}", '{"nodes": ["bad1", "bad2"]}'),
        {"json": write("other/other.json", "{}")})


def test_every_test_of_the_contract_has_a_double() -> None:
    assert sorted(DOUBLES) == CONTRACT_TESTS


@pytest.mark.parametrize("name", CONTRACT_TESTS)
def test_the_simplest_loader_keeps_the_contract(
        name: str, sample: LoaderSample, tmp_path: Path, contract_fails: Callable[..., bool]) -> None:
    assert not contract_fails(LoaderContract, name, loader=Good(), sample=sample, tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("name", "double"), [(name, double) for name in CONTRACT_TESTS for double in DOUBLES.get(name, ())])
def test_the_contract_notices(
        name: str, double: type, sample: LoaderSample, tmp_path: Path, contract_fails: Callable[..., bool],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("ARIA_CANARY", "")
    noticed = contract_fails(LoaderContract, name, loader=double(), sample=sample, tmp_path=tmp_path)
    sys.modules.pop("canary", None)
    assert noticed, f"{name} passes for {double.__name__}"
