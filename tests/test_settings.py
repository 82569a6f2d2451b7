"""Settings become keywords by the annotations of a class."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from aria_core.exceptions import ExtensionBrokenError, ExtensionSettingsError, StorageUnavailableError
from aria_core.settings import MASK, Secret, Setting, convert, make, masked, signature_of


class Sample:
    def __init__(
        self,
        name: str,
        *,
        size: int = 1,
        ratio: float = 0.5,
        folder: Path | None = None,
        place: str | Path = "",
        password: Secret | None = None,
        kind: Literal["a", "b"] = "a",
        paths: tuple[Path, ...] = (),
        extra: Mapping[str, int] | None = None,
    ) -> None:
        self.values = {key: value for key, value in locals().items() if key != "self"}


class Refusing:
    def __init__(self, error: str = "value") -> None:
        if error == "value":
            raise ValueError("the error must not be 'value'")
        if error == "aria":
            raise StorageUnavailableError("nobody home")
        if error == "extra":
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        raise OSError("disk on fire")


class Odd:
    def __init__(self, stream: Unknown) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass


@dataclass
class Plain:
    folder: Path
    size: int = 3


def settings(**values: object) -> dict[str, Setting]:
    return {name: Setting(value, "aria.toml", Path("/etc/aria")) for name, value in values.items()}


def test_values_are_converted_by_the_annotations():
    made = make(
        Sample,
        settings(
            name="n",
            size=2,
            ratio=3,
            folder="f",
            place="/p",
            password="p",
            kind="b",
            paths=["x", "~y"],
            extra={"k": 1},
        ),
        "sample",
    )
    assert made.values == {
        "name": "n",
        "size": 2,
        "ratio": 3.0,
        "folder": Path("/etc/aria/f"),
        "place": Path("/p"),
        "password": Secret("p"),
        "kind": "b",
        "paths": (Path("/etc/aria/x"), Path("/etc/aria/~y")),
        "extra": {"k": 1},
    }


def test_a_path_at_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert convert(Setting("~/aria"), Path) == Path("/home/me/aria")


def test_a_dataclass_is_made_like_any_class():
    assert make(Plain, settings(folder="f"), "plain") == Plain(Path("/etc/aria/f"), 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": 1}, "aria.toml: [sample] name: Expected `str`, got `int`"),
        ({"name": "n", "size": True}, "aria.toml: [sample] size: Expected `int`, got `bool`"),
        ({"name": "n", "size": 2.5}, "aria.toml: [sample] size: Expected `int`, got `float`"),
        ({"name": "n", "folder": 3}, "aria.toml: [sample] folder: Expected `Path`, got `int`"),
        ({"name": "n", "kind": "c"}, "aria.toml: [sample] kind: Invalid enum value 'c'"),
        ({"name": "n", "nome": 1}, "aria.toml: [sample] has no key 'nome'"),
        ({"self": 1}, "aria.toml: [sample] has no key 'self'"),
        ({}, "[sample] lacks name"),
    ],
)
def test_a_wrong_setting_is_located_and_the_signature_is_shown(values, message):
    with pytest.raises(ExtensionSettingsError) as caught:
        make(Sample, settings(**values), "sample")
    assert str(caught.value).startswith(message)
    assert "; it is Sample(name: str, size: int = 1," in str(caught.value)


def test_text_from_the_environment_stays_text_where_text_is_asked_for():
    number = Setting(123, "ARIA_X__NAME", text="123")
    assert convert(number, str) == "123"
    assert convert(number, int) == 123
    assert convert(number, Secret) == Secret("123")
    with pytest.raises(ValueError, match="Expected `array`, got `str`"):
        convert(number, list[int])


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("value", ExtensionSettingsError, "the error must not be 'value'; it is Refusing"),
        ("aria", StorageUnavailableError, "^nobody home$"),
        ("extra", ExtensionBrokenError, r"it comes with: pip install 'aria-core\[postgres\]'"),
        ("other", ExtensionBrokenError, "Refusing cannot be made: OSError: disk on fire"),
    ],
)
def test_what_a_constructor_raises_is_told_apart(error, kind, message):
    with pytest.raises(kind, match=message):
        make(Refusing, settings(error=error), "refusing")


def test_annotations_that_cannot_be_read_are_the_classes_fault():
    with pytest.raises(ExtensionBrokenError, match=r"annotations of Odd\(stream: Unknown\) cannot be read"):
        make(Odd, settings(stream=1), "odd")


def test_a_secret_shows_itself_to_nobody():
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_the_default_of_a_secret_keyword_is_masked_in_the_signature():
    def __init__(self, token: str = "t0ps3cret"):
        pass

    assert signature_of(type("Named", (), {"__init__": __init__})) == f"Named(token: str = {MASK!r})"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "x", MASK),
        ("db_password", "x", MASK),
        ("api_key", 1, MASK),
        ("secret_key", "x", MASK),
        ("aws_access_key", "x", MASK),
        ("key", "x", "x"),
        ("TOKEN", "x", MASK),
        ("password", None, None),
        ("slots", 3, 3),
        ("keyboard", "x", "x"),
        ("url", "postgresql+psycopg://me:s3cr@t@host/db", "postgresql+psycopg://me:***@host/db"),
        ("url", "sqlite:////var/aria.db", "sqlite:////var/aria.db"),
        ("options", {"token": "x", "a": [{"secret": "y"}]}, {"token": MASK, "a": [{"secret": MASK}]}),
        ("brokers", ["redis://:pw@host"], ["redis://:***@host"]),
    ],
)
def test_secrets_are_masked_by_name_and_in_urls(key, value, shown):
    assert masked(key, value) == shown
