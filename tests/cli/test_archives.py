"""``aria service-templates create-archive``, and archives where templates are expected."""

from __future__ import annotations

import zipfile
from typing import Any


def test_a_template_is_packed_and_runs_from_its_archive(project: Any) -> None:
    said = project("service-templates", "create-archive", project.template).stdout
    assert said == "hello.csar was written; 'aria run hello.csar' runs it\n"
    with zipfile.ZipFile("hello.csar") as archive:
        assert archive.namelist() == ["TOSCA-Metadata/TOSCA.meta", "greet.sh", "hello.yaml"]
        assert archive.read("TOSCA-Metadata/TOSCA.meta").decode().endswith("Entry-Definitions: hello.yaml\n")
    project("run", "hello.csar")
    outputs = project.json("services", "outputs", "hello")
    assert [each["value"] for each in outputs] == ["hello world"]
    project("service-templates", "validate", "hello.csar")


def test_the_same_files_make_the_same_archive(project: Any) -> None:
    project("service-templates", "create-archive", project.template, "--output", "one.csar")
    project.template.touch()
    project("service-templates", "create-archive", project.template.parent, "--output", "two.csar")
    assert (project.directory / "one.csar").read_bytes() == (project.directory / "two.csar").read_bytes()


def test_a_folder_is_a_template_too(project: Any) -> None:
    assert "is a valid service template: hello" in project(
        "service-templates", "validate", project.template.parent).stdout


def test_nothing_is_overwritten_and_nothing_wrong_is_packed(project: Any) -> None:
    (project.directory / "hello.csar").write_text("mine")
    assert "hello.csar is there already" in project.error(
        "service-templates", "create-archive", project.template, code=2)
    assert (project.directory / "hello.csar").read_text() == "mine"
    project.template.write_text(project.template.read_text().replace("type: Greeter", "type: Greeter2", 1))
    assert "Greeter2" in project("service-templates", "create-archive", project.template, "-o", "x.csar",
                                 code=2).stderr
    assert sorted(each.name for each in project.directory.glob("*.csar*")) == ["hello.csar"]
    assert list(project.directory.glob(".*csar*")) == []
