"""The configuration: which layer wins, what each value remembers, and how mistakes are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aria_core.config import Config, LoggingSettings
from aria_core.exceptions import ConfigurationError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with nothing of their own, standing in an empty project."""
    for name in ("CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    (tmp_path / "config" / "aria").mkdir(parents=True)
    (tmp_path / "project" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def shown(config: Config) -> dict[str, object]:
    return {each.name: each.value for each in config.rows()}


def sources(config: Config) -> dict[str, str]:
    return {each.name: each.source for each in config.rows()}


def test_without_any_file_everything_lies_in_the_users_data_directory(home):
    config = Config.load(environ={})
    data = home / "data" / "aria"
    assert shown(config) == {
        "executor.use": "process",
        "model_storage.use": "sql",
        "model_storage.url": f"sqlite:///{data}/aria.db",
        "resource_storage.use": "file",
        "resource_storage.directory": f"{data}/resources",
        "plugins.directory": f"{data}/plugins",
        "plugins.require_pin": False,
        "workflow.task_max_attempts": 30,
        "workflow.task_retry_interval": 30.0,
        "workflow.task_retry_backoff": 1.0,
        "workflow.task_retry_max_interval": 0.0,
        "workflow.task_retry_jitter": 0.0,
        "workflow.task_retry_on": [],
        "workflow.task_abort_on": [],
        "workflow.retry_budget": -1,
        "workflow.max_concurrency": -1,
        "workflow.max_per_node": -1,
        "runner.executions": 4,
        "runner.poll_interval": 0.5,
        "runner.grace": 30.0,
        "logging.level": "warning",
        "logging.format": "text",
        "logging.file": None,
        "hooks.disable": [],
    }
    assert set(sources(config).values()) == {"default"}
    assert config.plugins.directory == data / "plugins"
    assert config.files == ()


def test_each_layer_wins_over_the_one_before_and_every_value_remembers_its_layer(home):
    user = write(
        home / "config/aria/aria.toml",
        "executor.a = 1\nexecutor.b = 1\nexecutor.c = 1\nexecutor.d = 1\nexecutor.e = 1",
    )
    project = write(
        home / "project/aria.toml", "executor.b = 2\nexecutor.c = 2\nexecutor.d = 2\nexecutor.e = 2"
    )
    config = Config.load(
        environ={"ARIA_EXECUTOR__C": "3", "ARIA_EXECUTOR__D": "3", "ARIA_EXECUTOR__E": "3"},
        flags={"executor.d": "4", "executor.e": "4"},
        values={"executor": {"e": 5}},
    )
    values, where = shown(config), sources(config)
    assert [values[f"executor.{each}"] for each in "abcde"] == [1, 2, 3, 4, 5]
    assert [where[f"executor.{each}"] for each in "abcde"] == [
        str(user),
        str(project),
        "ARIA_EXECUTOR__C",
        "flag executor.d",
        "call",
    ]
    assert config.files == (user, project)


def test_choosing_another_extension_drops_the_keywords_meant_for_the_one_before(home):
    write(home / "project/aria.toml", '[executor]\nuse = "celery"\nbroker = "redis://host"')
    config = Config.load(environ={"ARIA_EXECUTOR__SLOTS": "2"}, flags={"executor.use": "thread"})
    assert config.use("executor") == "thread"
    assert config.keywords("executor") == {}


def test_choosing_the_same_extension_again_keeps_the_keywords(home):
    config = Config.load(environ={}, values={"model_storage": {"use": "sql"}})
    assert config.keywords("model_storage")["url"].source == "default"


def test_the_project_file_is_found_from_a_folder_below(home, monkeypatch):
    project = write(home / "project/aria.toml", "[executor]\nslots = 4")
    monkeypatch.chdir(home / "project/sub")
    assert Config.load(environ={}).files == (project,)


def test_a_file_above_that_belongs_to_somebody_else_is_refused(home, monkeypatch):
    project, me = write(home / "project/aria.toml", ""), os.getuid()
    if me == 0:
        os.chown(project, 4242, 4242)
    else:
        monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert Config.load(environ={}, directory=home / "project").files
    with pytest.raises(ConfigurationError, match=r"belongs to another user; name it with --config"):
        Config.load(environ={}, directory=home / "project/sub")


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_named_file_takes_the_place_of_the_project_file(home, way):
    write(home / "project/aria.toml", "[executor]\nslots = 4")
    other = write(home / "other.toml", "[executor]\nslots = 5")
    config = (
        Config.load("../other.toml", environ={})
        if way == "flag"
        else Config.load(environ={"ARIA_CONFIG": str(other)})
    )
    assert shown(config)["executor.slots"] == 5


def test_relative_paths_and_sqlite_urls_count_from_their_file(home):
    write(
        home / "project/aria.toml",
        '[model_storage]\nurl = "sqlite:///db/aria.db?timeout=3"\n'
        '[plugins]\ndirectory = "plugins"\n[logging]\nfile = "log"',
    )
    config = Config.load(environ={}, directory=home / "project/sub")
    project = home / "project"
    assert config.keywords("model_storage")["url"].value == f"sqlite:///{project}/db/aria.db?timeout=3"
    assert config.plugins.directory == project / "plugins"
    assert config.logging.file == project / "log"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:////var/aria.db", "postgresql://host/db"]
)
def test_other_urls_stay_as_they_are(home, url):
    config = Config.load(environ={"ARIA_MODEL_STORAGE__URL": url})
    assert config.keywords("model_storage")["url"].value == url


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('["a"]', ["a"]),
        ('{"a": 1}', {"a": 1}),
        ('"2"', "2"),
        ("plain", "plain"),
        ("NaN", "NaN"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_a_variable_is_json_if_it_parses_and_text_otherwise(home, text, value):
    config = Config.load(environ={"ARIA_EXECUTOR__THING": text})
    assert config.keywords("executor")["thing"].value == value
    assert config.keywords("executor")["thing"].text == text


def test_variables_without_two_underscores_are_none_of_our_business(home):
    assert Config.load(environ={"ARIA_ATTEMPT": "1/2/3", "ARIA_TASK_TOKEN": "1/2", "XARIA_A__B": "1"})


def test_hooks_have_sections_of_their_own(home):
    write(home / "project/aria.toml", '[hooks]\ndisable = ["noisy"]\n[hooks.my-journal]\nfile = "j.txt"')
    config = Config.load(environ={"ARIA_HOOKS__MY_JOURNAL__LEVEL": "3"})
    assert config.hooks.disable == ["noisy"]
    assert config.hook_names == {"my_journal"}
    assert {key: each.value for key, each in config.hook_keywords("my-journal").items()} == {
        "file": "j.txt",
        "level": 3,
    }


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b"])
def test_disabled_hooks_may_be_listed_in_a_variable(home, text):
    assert Config.load(environ={"ARIA_HOOKS__DISABLE": text}).hooks.disable == ["a", "b"]


MISTAKES = {
    'exekutor.use = "x"': "there is no section [exekutor]; accepted are executor, ",
    "[workflow]\ntask_max_attemps = 3": "[workflow] has no key 'task_max_attemps'; accepted are task_",
    "[workflow]\ntask_max_attempts = 'many'": "[workflow] task_max_attempts: Expected `int`, got `str`",
    "[logging]\nlevel = 'loud'": "[logging] level: Invalid enum value 'loud'; accepted are debug, ",
    "[logging]\nformat = 3": "[logging] format: Expected `str`, got `int`; accepted are text, json",
    "[hooks]\ndisable = 3": "[hooks] disable: Expected `array`, got `int`",
    "[hooks]\njournal = 3": "hooks.journal is a section of keys, not 3",
    "executor = 'thread'": "executor is a section of keys, not 'thread'",
    "[executor]\nuse = 3": "[executor] use is 3; it is the name of an extension",
    "[executor]\nuse = ''": "[executor] use is ''; it is the name of an extension",
    "[executor": "is not valid TOML: ",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_file_is_one_sentence_with_file_key_and_what_is_accepted(home, text):
    path = write(home / "project/aria.toml", text)
    with pytest.raises(ConfigurationError) as caught:
        Config.load(environ={})
    assert str(caught.value).startswith(str(path))
    assert MISTAKES[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("ARIA_EXEKUTOR__USE", "ARIA_EXEKUTOR__USE: there is no section [exekutor]"),
        ("ARIA_EXECUTOR__A__B", "ARIA_EXECUTOR__A__B names no setting"),
        ("ARIA_WORKFLOW__X", "ARIA_WORKFLOW__X: [workflow] has no key 'x'"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(home, variable, message):
    with pytest.raises(ConfigurationError) as caught:
        Config.load(environ={variable: "1"})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("flags", [{"executor": "x"}, {"a.b.c": "x"}, {"hooks.a.b.c": "x"}])
def test_a_flag_that_names_no_setting_is_refused(home, flags):
    with pytest.raises(ConfigurationError, match=r"^flag "):
        Config.load(environ={}, flags=flags)


@pytest.mark.parametrize(
    "values",
    [
        {"task_max_attempts": 0},
        {"task_max_attempts": -2},
        {"task_retry_interval": -1},
        {"task_retry_interval": float("inf")},
        {"task_retry_interval": float("nan")},
        {"task_retry_backoff": 0.5},
        {"task_retry_max_interval": -1},
        {"task_retry_jitter": 1.5},
        {"task_retry_on": [""]},
    ],
)
def test_numbers_out_of_range_are_refused(home, values):
    with pytest.raises(ConfigurationError, match=r"^\[workflow\] task_.* is .*; accepted (are|is)"):
        Config.of({"workflow": values})


@pytest.mark.parametrize(
    "make",
    [lambda path: path, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff")],
    ids=["gone", "folder", "bytes"],
)
def test_a_named_file_that_cannot_be_read_is_one_sentence(home, make):
    path = home / "other.toml"
    make(path)
    with pytest.raises(ConfigurationError) as caught:
        Config.load(path, environ={})
    assert str(caught.value).startswith(str(path))


def test_secrets_are_masked_when_shown_and_given_when_used(home):
    config = Config.of(
        {"model_storage": {"url": "postgresql://me:hunter2@host/db"}, "executor": {"token": "hunter2"}}
    )
    assert "hunter2" not in str(config.rows())
    assert config.keywords("executor")["token"].value == "hunter2"


def test_of_reads_neither_files_nor_environment(home, monkeypatch):
    write(home / "project/aria.toml", "nonsense = 1")
    monkeypatch.setenv("ARIA_LOGGING__LEVEL", "debug")
    assert Config.of({"logging": {"format": "json"}}).logging == LoggingSettings("warning", "json", None)


def test_pools_are_a_section_of_names_and_sizes(home):
    write(home / "project/aria.toml", "[pools]\ndatabase = 2\n\"slow api\" = 1")
    config = Config.load(environ={"ARIA_POOLS__DATABASE": "3"}, flags={"pools.licences": "-1"})
    assert config.pools == {"database": 3, "slow api": 1, "licences": -1}
    assert sources(config)["pools.database"] == "ARIA_POOLS__DATABASE"


@pytest.mark.parametrize(("section", "said"), [
    ({"pools": {"database": 0}}, r"call: \[pools\] database = 0; accepted is a whole number, at least 1"),
    ({"pools": {"database": "many"}}, r"call: \[pools\] database: Expected `int`, got `str`"),
    ({"pools": {"": 1}}, r"call: \[pools\]  = 1; accepted is a name of 1 to 255 characters"),
    ({"workflow": {"max_concurrency": 0}}, r"\[workflow\] max_concurrency is 0; accepted is a whole number"),
    ({"workflow": {"max_per_node": -2}}, r"\[workflow\] max_per_node is -2; accepted is a whole number")])
def test_a_limit_that_is_none_is_refused(section, said):
    with pytest.raises(ConfigurationError, match=said):
        Config.of(section)
