"""Calls and reports as they travel."""

from __future__ import annotations

from dataclasses import fields

import pytest

from aria_core.worker.calls import (
    Actor,
    Call,
    CallRef,
    ChannelAddress,
    Edit,
    Environment,
    Failed,
    Lost,
    Report,
    Started,
    Succeeded,
    report_from_json,
    report_to_json,
)

REF = CallRef(1, 2, 3)
FULL = Call(
    REF, "package.module:f", {"a": [1, None, {"b": "ä"}]}, Actor("relationship", 4, "tie"), "the task",
    "Standard", "create", "install", 5, "shop", 6, Environment("plug", "/bin/python", ("/bin",), ("/lib",)),
    "/work", "/code", 0.0, ("m:w",), ChannelAddress("/socket", "key"), "origin", 7)


def test_the_full_call_leaves_no_field_out() -> None:
    assert [each.name for each in fields(Call) if getattr(FULL, each.name) == each.default] == []


@pytest.mark.parametrize("call", [Call(REF, "m:f"), FULL], ids=["least", "full"])
def test_a_call_arrives_as_it_left(call: Call) -> None:
    assert Call.decode(call.encode()) == call


def test_what_a_newer_runner_adds_is_ignored() -> None:
    assert Call.decode(FULL.encode().replace(b'"function"', b'"news":{"x":1},"function"')) == FULL


@pytest.mark.parametrize("report", [
    Started(REF), Started(REF, "host:1", 0.25), Succeeded(REF), Lost(REF, "killed", "by whom"),
    Succeeded(REF, {"a": [1.5]}, (Edit("node", 1, "x", [None]), Edit("node", 1, "y", deleted=True))),
    Failed(REF, "E: no", "trace", True, 1.5, (Edit("relationship", 2, "z", 0),), ("m.E", "Exception"))],
    ids=lambda report: type(report).__name__)
def test_a_report_arrives_as_it_left(report: Report) -> None:
    assert report_from_json(report_to_json(report)) == report
