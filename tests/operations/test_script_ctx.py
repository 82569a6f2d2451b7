"""The ``ctx`` command of scripts: what it reads, writes and calls, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from aria_core import Edit, Succeeded


@pytest.mark.parametrize(("words", "line"), [
    ("node id", "1"), ("node name", "web"), ("node type-name", "Web"), ("node type_name", "Web"),
    ("node state", "creating"), ("node properties port", "80"), ("node properties tls", '{"on": true}'),
    ("node properties tls on", "true"), ("node properties names 1", "b"), ("node properties names -1", "b"),
    ("node properties my-key", "sugar"), ("node properties [ my_key ]", "sugar"),
    ("node attributes address", "1.2.3.4"), ("node attributes nested list 1 deep", "x"),
    ("node capabilities", '["endpoint"]'), ("node capabilities endpoint properties port", "443"),
    ("node host name", "host"), ("node host attributes ip", "10.0.0.1"),
    ("service name", "shop"), ("service inputs color", "blue"),
    ("task id", "12"), ("task name", "the task"), ("task attempt", "3"),
    ("task max-attempts", "9"), ("task operation-name", "create"),
    ("task arguments script_path", "scripts/run.sh"),
    ("workflow-name", "install"),
    ("-j node name", '"web"'), ("--json-output plugin-workdir", "null"), ("-t 5 node name", "web"),
    ("--timeout=5 node name", "web"), ("--json-arg-prefix % node name", "web"),
    ("get-resource [ template.txt ]", "port={{ port }}"),
    ("get-resource-and-render template.txt '@{\"port\": 8}'", "port=8"),
])
def test_ctx_reads(host: Any, words: str, line: str) -> None:
    assert host.out(f"set -e; ctx {words}") == [line]


@pytest.mark.parametrize(("words", "line"), [
    ("relationship name", "uses"), ("relationship properties weight", "3"),
    ("source-node name", "web"), ("source_node attributes address", "1.2.3.4"), ("target-node name", "host"),
    ("target-node attributes ip", "10.0.0.1"), ("relationship target-node id", "2"),
])
def test_ctx_reads_both_ends_of_a_relationship(host: Any, words: str, line: str) -> None:
    assert host.out(f"ctx {words}", relationship=True) == [line]


def test_ctx_reads_what_names_the_attempt(host: Any) -> None:
    assert host.out("ctx execution-id; ctx task token") == [str(host.ref.execution), host.ref.token]


def test_nothing_is_printed_as_nothing(host: Any) -> None:
    assert host.out("ctx plugin-workdir; echo end") == ["end"]


@pytest.mark.parametrize(("words", "name", "value"), [
    ("address = 5.6.7.8", "address", "5.6.7.8"), ("port = @8080", "port", 8080),
    ("port = 8080", "port", "8080"),
    ("new = '@{\"a\": [1, null]}'", "new", {"a": [1, None]}), ("empty = ''", "empty", ""),
    ("nested list 0 = @2", "nested", {"list": [2, {"deep": "x"}]}),
    ("nested list 1 deep = y", "nested", {"list": [1, {"deep": "y"}]}),
    ("a b-c d = @true", "a", {"b-c": {"d": True}}), ("[ sign ] = =", "sign", "="),
    ("[ a = b ]", "a", "b"), ("a = [", "a", "["), ("a = ]", "a", "]"),
    ("text = 'ä $HOME `x` \"q\"'", "text", 'ä $HOME `x` "q"'),
])
def test_ctx_sets_attributes(host: Any, words: str, name: str, value: Any) -> None:
    report = host.run(f"set -e; ctx node attributes {words}")
    assert report == Succeeded(host.ref, None, (Edit("node", 1, name, value),))


def test_ctx_sets_attributes_of_both_ends_and_reads_them_back(host: Any) -> None:
    report = host.run("""
        set -e
        ctx target-node attributes backends web-1 = up
        ctx relationship attributes done = @1
        test "$(ctx target-node attributes backends web-1)" = up
        """, relationship=True)
    assert isinstance(report, Succeeded)
    assert set(map(str, report.edits)) == set(map(str, (
        Edit("node", 2, "backends", {"web-1": "up"}), Edit("relationship", 5, "done", 1))))


def test_edits_of_a_script_that_fails_are_kept(host: Any) -> None:
    assert host.error("ctx node attributes a = 1; exit 1").edits == (Edit("node", 1, "a", "1"),)


def test_ctx_logs(host: Any) -> None:
    host.run("""
        ctx logger debug "one word"
        ctx logger info [ two words ]
        ctx logger warning 100%s
        ctx logger error -x
        ctx logger critical "a
        b"
        """)
    assert host.channel.messages == [("DEBUG", "one word"), ("INFO", "two words"), ("WARNING", "100%s"),
                                     ("ERROR", "-x"), ("CRITICAL", "a\nb")]


def test_ctx_downloads_to_a_file_a_folder_or_a_place_of_its_own(host: Any, tmp_path: Path) -> None:
    lines = host.out(f"""
        set -e
        cd {tmp_path}; mkdir here
        ctx download-resource data.bin
        ctx download-resource [ data.bin here ]
        ctx download-resource data.bin renamed
        ctx download-resource folder all
        ctx download-resource-and-render template.txt rendered '@{{"port": 1}}'
        cat "$(ctx download-resource-and-render template.txt '@{{"port": 2}}')"
        """)
    assert lines[1:5] == [str(tmp_path / name) for name in ("here/data.bin", "renamed", "all", "rendered")]
    assert lines[5] == "port=2"
    assert (tmp_path / "here/data.bin").read_bytes() == (tmp_path / "renamed").read_bytes() == b"\xff\xfe"
    assert (tmp_path / "all/a").read_bytes() == b"A"
    assert (tmp_path / "rendered").read_text() == "port=1\n"
    assert not Path(lines[0]).exists()
    assert Path(lines[0]).is_relative_to(host.temporary)


@pytest.mark.parametrize(("words", "message"), [
    ("node properties nothing", "there is no 'nothing'; there is port, tls, names, my_key"),
    ("node attributes nothing deeper", "there is no 'nothing'"),
    ("node", "ctx node needs one more word: id, name, type-name"),
    ("node properties names 9", "'9' picks nothing from a list of 2"),
    ("node properties port deeper", "'deeper' cannot be read here"),
    ("node properties port = 5", "node properties port cannot be set; only attributes can"),
    ("node capabilities new attributes x = 5", "there is no 'new'"),
    ("node capabilities endpoint attributes x = 5", "cannot be set; only attributes can"),
    ("service inputs color = red", "cannot be set; only attributes can"),
    ("task arguments attributes x = 1", "there is no 'attributes'"),
    ("node attributes = 5", "setting is written: ctx node attributes NAME… = VALUE"),
    ("node attributes x = 1 2", "setting is written"),
    ("node attributes x = '@\"\\u0000\"'", "contains a NUL"),
    ("node attributes x = @NaN", "NaN is no JSON"), ("node attributes x = @1e999", "Infinity is no JSON"),
    ("node attributes x = '@\"\\ud800\"'", "contains a lone surrogate"),
    ("node attributes x = \"$(printf '\\377')\"", "contains a lone surrogate"),
    ("nonsense", "'nonsense' cannot be read here; it has name, execution-id"),
    ("relationship name", "'relationship' cannot be read here"),
    ("__class__", "'__class__' cannot be read here"), ("_call channel", "'_call' cannot be read here"),
    ("node __class__ __init__ __globals__", "'__class__' cannot be read here"),
    ("node _actors", "'_actors' cannot be read here"), ("model node", "'model' cannot be read here"),
    ("node refresh", "'refresh' cannot be read here"), ("flush", "'flush' cannot be read here"),
    ("node properties __class__", "there is no '__class__'"),
    ("logger handlers", "'logger' cannot be read here"),
    ("task retry a b c", "ctx task retry takes 0 to 2 words, not 3"),
    ("task retry m soon", "'soon' is no number"),
    ("task retry m -1", "'-1' is no number of seconds to wait"),
    ("get-resource", "ctx get-resource takes 1 to 1 words, not 0"),
    ("get-resource missing", "there is no resource 'missing'"),
    ("get-resource data.bin", "data.bin is not text"),
    ("get-resource-and-render template.txt x", "variables are a JSON object"),
])
def test_ctx_refuses_whatever_is_not_on_its_list(host: Any, words: str, message: str) -> None:
    report = host.error(f"ctx {words}; exit $?")
    assert report.error.startswith("ProcessException: scripts/run.sh ended with 1: ctx: ")
    assert message in report.error
    assert not report.edits


@pytest.mark.parametrize(("words", "message"), [
    ("", "there is no word"), ("-x node name", "-x is no option"),
    ("-t", "-t is no option, or misses its value"),
    ("-t x node name", "'x' is no number of seconds"),
    ("node attributes a = @{", "'@{' is not JSON behind '@'"),
    ("node attributes a = '@{\"a\": 1} x'", "is not JSON behind '@'"),
    ("node attributes a = '@{\"a\": }'", "is not JSON behind '@'"),
    ("node attributes a = @$(printf '[%.0s' $(seq 5000))", "is not JSON behind '@'"),
    ("node attributes a = @$(printf '{\"a\": %.0s' $(seq 5000))", "is not JSON behind '@'"),
])
def test_wrong_usage_of_ctx_ends_with_2(host: Any, words: str, message: str) -> None:
    report = host.error(f"ctx {words}; exit $?")
    assert report.error.startswith("ProcessException: scripts/run.sh ended with 2: ctx: ")
    assert message in report.error


def test_ctx_shows_its_grammar(host: Any) -> None:
    assert host.out("ctx --help")[2].startswith("usage: ctx ")


def test_ctx_gives_up_when_the_operation_does_not_answer(host: Any, tmp_path: Path) -> None:
    report = host.error(f"""
        {sys.executable} -c "import socket, time
        s = socket.socket(socket.AF_UNIX); s.bind('{tmp_path}/s'); s.listen()
        time.sleep(300)" > /dev/null 2>&1 &
        until test -S {tmp_path}/s; do sleep 0.02; done
        ctx -t 0.2 --socket-url {tmp_path}/s node name
        """.replace("\n        s =", "\ns =").replace("\n        time", "\ntime"))
    assert "ctx: the operation did not answer within 0.2 seconds" in report.error


def test_ctx_needs_the_key(host: Any) -> None:
    report = host.error("ARIA_CTX_KEY=wrong ctx node name; exit $?")
    assert "ctx: the channel key is wrong, or its call is over" in report.error
    assert "ARIA_CTX_SOCKET is not set" in host.error("unset ARIA_CTX_SOCKET; ctx node name; exit $?").error


def test_a_daemon_cannot_use_ctx_after_its_operation(host: Any, tmp_path: Path) -> None:
    host.out(f"""
        cp "$(command -v ctx)" {tmp_path}/ctx
        (until test -e {tmp_path}/go; do sleep 0.02; done
         {tmp_path}/ctx node name > {tmp_path}/said 2>&1; touch {tmp_path}/done) > /dev/null 2>&1 &
        """)
    (tmp_path / "go").touch()
    host.wait_until((tmp_path / "done").exists)
    assert "cannot be reached" in (tmp_path / "said").read_text()


# Its verdict

@pytest.mark.parametrize(("script", "error", "retry", "after"), [
    ("ctx task abort [ hopeless ]", "TaskAbortException: hopeless", False, None),
    ("ctx task abort", "TaskAbortException", False, None),
    ("ctx task retry", "TaskRetryException", True, None),
    ("ctx task retry [ later ]", "TaskRetryException: later", True, None),
    ("ctx task retry later 2.5", "TaskRetryException: later", True, 2.5),
    ("ctx task retry [ later @3 ]; exit 0", "TaskRetryException: later", True, 3.0),
    ("ctx task retry later; exit 9", "TaskRetryException: later", True, None),
    ("set -e; ctx task abort no; echo never", "TaskAbortException: no", False, None),
])
def test_a_script_decides_about_its_task(host: Any, script: str, error: str, retry: bool,
                                         after: float | None) -> None:
    report = host.error(script)
    assert (report.error, report.retry, report.after) == (error, retry, after)
    assert ("INFO", "never") not in host.channel.messages


def test_a_script_shows_that_it_lives_and_how_far_it_is(host: Any) -> None:
    host.out("set -e; ctx task heartbeat; ctx task heartbeat 0.5; ctx task heartbeat [ @1 'all of it' ]")
    beats = [(each["progress"], each["message"]) for each in host.channel.heartbeats]
    assert beats == [(None, None), (0.5, None), (1.0, "all of it")]


@pytest.mark.parametrize(("words", "sentence"), [
    ("half", "'half' is no progress"), ("2", "it is a number from 0 to 1"),
    ("0.5 a b", "takes 0 to 2 words")])
def test_a_heartbeat_that_says_nonsense_is_refused(host: Any, words: str, sentence: str) -> None:
    assert sentence in "".join(host.out(f"ctx task heartbeat {words} 2>&1 || true"))


@pytest.mark.parametrize("first", ["retry", "abort"])
@pytest.mark.parametrize("second", ["retry", "abort"])
def test_a_script_may_decide_only_once(host: Any, first: str, second: str) -> None:
    report = host.error(f"ctx task {first} one; ctx task {second} two")
    assert report.error == "RuntimeError: ctx may only abort or retry once"
    assert report.retry is None


def test_the_message_of_a_verdict_is_seen(host: Any) -> None:
    host.error("ctx task abort 'the reason'")
    assert host.channel.messages == [("WARNING", "the reason")]


@pytest.mark.skipif(sys.platform != "linux", reason="daemons are found through /proc")
def test_what_a_script_started_before_it_asked_for_another_attempt_is_killed(host: Any) -> None:
    host.error("sleep 300 >/dev/null 2>&1 & echo $!; ctx task retry")
    pid = int(next(text for level, text in host.channel.messages if level == "INFO"))
    assert not host.is_alive(pid)


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_ctx_takes_any_text_in_any_locale(host: Any, locale: str) -> None:
    report = host.run("set -e; ctx node attributes a = 'ä€😀'; test \"$(ctx node attributes a)\" = 'ä€😀'",
                      {"env": {"LC_ALL": locale}})
    assert report == Succeeded(host.ref, None, (Edit("node", 1, "a", "ä€😀"),))


def test_ctx_commands_may_run_at_the_same_time(host: Any) -> None:
    report = host.run("for i in 1 2 3 4 5 6 7 8; do ctx node attributes a$i = $i & done; wait")
    assert sorted(edit.name for edit in report.edits) == [f"a{number}" for number in range(1, 9)]
