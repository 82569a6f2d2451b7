"""The examples do what their READMEs say: under every executor, on both databases."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXECUTORS = ("process", "thread")
STEPS = ["database: created", "database: started", "application-1: created",
         "database: gave an account to application-1", "application-1: uses database",
         "application-1: started", "balancer: created", "balancer: knows application-1",
         "balancer: knows application-2", "balancer: configured", "balancer: started",
         "application-1: is_published is true",
         "balancer: stopped", "application-1: is_published is false", "balancer: deleted",
         "application-1: stopped", "database: closed the account of application-1", "application-1: deleted",
         "database: stopped", "database: deleted"]
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


def fetch(url):
    """What another process sees at a URL."""
    done = subprocess.run([sys.executable, "-c", FETCH, url], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def is_open(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("executor", EXECUTORS)
def test_hello_world_serves_its_page_until_it_is_uninstalled(project, executor, model_storage_url, port):
    project.configure(executor, model_storage_url)
    outputs = project.run("hello-world", "--input", f"port={port}", "--input", "greeting=Ahoy & <welcome>")
    assert outputs == {"url": f"http://127.0.0.1:{port}/"}
    assert "<h1>Ahoy &amp; &lt;welcome&gt;</h1>" in fetch(outputs["url"])
    assert project.nodes == {"server": "started", "page": "started"}
    assert project.tasks(1) == [(f"Standard:{step}@node:{node}", "success")
                                for step in ("create", "start") for node in ("page", "server")]
    project.run("hello-world", "--workflow", "uninstall")
    assert project.nodes == {"server": "deleted", "page": "deleted"}
    assert not is_open(port)
    assert project.is_quiet()
    assert project.left_behind == []


def test_a_dry_run_of_hello_world_succeeds_and_touches_nothing(project, model_storage_url, port):
    project.configure("dry", model_storage_url)
    project.run("hello-world", "--input", f"port={port}")
    assert project.tasks(1) == [(f"Standard:{step}@node:{node}", "success")
                                for step in ("create", "start") for node in ("page", "server")]
    assert project.nodes == {"server": "initial", "page": "initial"}
    assert not is_open(port)
    assert project.left_behind == []


def test_hello_world_refuses_a_port_that_is_taken_and_leaves_nothing_running(project, tmp_path):
    project.configure("process", f"sqlite:///{tmp_path / 'aria.db'}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        template = Path(__file__).parents[2] / "examples" / "hello-world" / "hello-world.yaml"
        project.aria("run", str(template), "--input", f"port={port}", code=1)
    assert "is in use" in project.look("executions", "show", "1")["error"]
    assert project.is_quiet()
    project.run("hello-world", "--workflow", "uninstall")
    assert project.left_behind == []


@pytest.mark.parametrize(
    ("executor", "database"), [("process", "sqlite"), ("thread", "postgresql")])
def test_three_tier_hands_requests_through_to_the_database(
        project, executor, database, request, port, tmp_path):
    url = f"sqlite:///{tmp_path / 'aria.db'}"
    project.configure(executor, url if database == "sqlite" else request.getfixturevalue("postgresql_url"))
    journal = tmp_path / "journal"
    outputs = project.run("three-tier", "--input", f"port={port}", "--input", f"journal={journal}")
    assert outputs["url"] == f"http://127.0.0.1:{port}/"
    assert [fetch(outputs["url"]).split(": ")[1] for _ in range(4)] == [
        f"you are visitor {number}" for number in range(1, 5)]
    assert len({fetch(outputs["url"]).split(":")[0] for _ in range(2)}) == 2
    assert set(project.nodes.values()) == {"started"}
    project.run("three-tier", "--workflow", "uninstall")
    assert set(project.nodes.values()) == {"deleted"}
    lines = journal.read_text().splitlines()
    assert [each for each in lines if each in STEPS] == STEPS
    assert len(lines) == 29
    assert not is_open(port)
    assert project.is_quiet()
    assert project.left_behind == []


@pytest.mark.parametrize(
    ("executor", "database"), [("process", "postgresql"), ("thread", "sqlite")])
def test_custom_workflow_measures_what_it_finds(project, executor, database, request, tmp_path):
    url = f"sqlite:///{tmp_path / 'aria.db'}"
    project.configure(executor, url if database == "sqlite" else request.getfixturevalue("postgresql_url"))
    for number, name in enumerate(("bin", "sbin", "share")):
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "a.txt").write_text("x" * number)
        (tmp_path / "root" / name / "b.log").write_text("y" * 10)
    outputs = project.run("custom-workflow", "--workflow", "survey", "--input", f"root={tmp_path / 'root'}")
    assert outputs == {"summary": "6 files with 33 bytes in 3 folders"}
    outputs = project.run("custom-workflow", "--workflow", "survey", "--workflow-input", "pattern=*.txt",
                          "--workflow-input", "at_once=1")
    assert outputs == {"summary": "3 files with 3 bytes in 3 folders"}
    assert project.is_quiet()
    assert project.left_behind == []


def test_the_ten_lines_run_as_written():
    folder = Path(__file__).parents[2] / "examples" / "library"
    done = subprocess.run([sys.executable, "-B", "-W", "error", "ten_lines.py"], cwd=folder, check=True,
                          capture_output=True, text=True)
    assert done.stdout == "Hello, moon! The sun is up.\n"
