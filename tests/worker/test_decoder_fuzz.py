"""Messages bent at random: the decoder gives an object or refuses, and what reads reports does the same.

Twenty thousand of them; a million with ``LONG_TESTS=1`` in the environment.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random

import psutil
import pytest

from aria_core import CallRef, Failed, Lost, Started, Succeeded
from aria_core.worker.calls import Edit, report_from_json, report_to_json
from aria_core.worker.channel import ChannelError, decode_message, encode_message, read_message

MESSAGES = 1_000_000 if os.environ.get("LONG_TESTS") else 20_000
REF = CallRef(1, 2, 3)
SEEDS = [encode_message(each) for each in (
    report_to_json(Started(REF, "host:1")), report_to_json(Lost(REF, "exited")),
    report_to_json(Failed(REF, "E: no", "trace", after=1.5, edits=(Edit("node", 4, "a", {"b": [1, None]}),))),
    report_to_json(Succeeded(REF, {"k": "\u2603"}, (Edit("relationship", 5, "x", deleted=True),))),
    {"hello": "1/2/3", "v": 1, "key": "0" * 64}, {"ask": "node", "id": 1, "number": 7},
    {"tell": "log", "level": "INFO", "message": "m"}, {"number": 3, "value": [1.5e300, -0.0, "", {}]})]
PIECES = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xc0\x80",
          b"NaN", b"Infinity", b"-", b"1e999", b"9" * 5000, b"null", b"true", b"[" * 3000, b'{"a":' * 1500,
          b"\0", b"\r", b"\n", b"\xef\xbb\xbf", b'"report"', b'"ref"', b'"edits"', b'"__class__"', b" " * 100]


def bent(dice: random.Random) -> bytes:
    """One of the seeds after one to four accidents."""
    data = bytearray(dice.choice(SEEDS).rstrip(b"\n"))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at:at + 1] = bytes([dice.randrange(256)])
            case 1:
                data[at:at] = dice.choice(PIECES)
            case 2:
                del data[at:at + dice.randint(1, 20)]
            case 3:
                data[at:at] = data[dice.randrange(len(data) + 1):][:40]
            case 4:
                del data[at:]
                data += dice.choice(SEEDS)[dice.randrange(20):].rstrip(b"\n")
    return bytes(data)


@pytest.mark.timeout(1800 if os.environ.get("LONG_TESTS") else 120)
def test_bent_messages_are_objects_or_refused_and_cost_no_memory() -> None:
    dice, decoded, reports = random.Random(20_260_101), 0, 0
    before = psutil.Process().memory_info().rss
    for _ in range(MESSAGES):
        line = bent(dice)
        try:
            message = decode_message(line)
        except ChannelError:
            continue
        assert isinstance(message, dict)
        decoded += 1
        try:
            report = report_from_json(message)
        except ValueError:
            continue
        reports += 1
        assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
    assert decoded > MESSAGES / 20
    assert reports > MESSAGES / 200
    assert psutil.Process().memory_info().rss - before < 64 * 1024 * 1024


def test_a_stream_of_bent_messages_is_read_to_its_end_or_refused() -> None:
    dice = random.Random(7)
    for _ in range(MESSAGES // 100):
        stream = io.BytesIO(b"\n".join(bent(dice) for _ in range(5)) + b"\n")
        with contextlib.suppress(ChannelError):
            while (message := read_message(stream)) is not None:
                assert isinstance(message, dict)
