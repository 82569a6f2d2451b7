"""A real sshd on this machine, with keys, configuration and, where that is allowed, users of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aria_core import Actor, Call, CallRef, Failed, Succeeded, kill_marked, run_call

SCRIPT = "aria_plugins.operations.ssh:run_script_with_ssh"
COMMANDS = "aria_plugins.operations.ssh:run_commands_with_ssh"
SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin")
MAY_CHANGE = "TESTS_MAY_ADD_USERS"


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def run(*words: str, **keywords: Any) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, **keywords)
    return done.stdout


class Server:
    """An sshd: what its tests need to know and do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.key_file = directory / "client_key"
        self.host_key = directory / "host_key"
        self.known_hosts = directory / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        self.make_key(self.key_file)
        self.make_key(self.host_key)
        (directory / "authorized_keys").write_text(self.public(self.key_file))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.known_hosts.write_text(self.known_host)

    @staticmethod
    def make_key(path: Path, passphrase: str = "") -> None:
        path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path))

    @staticmethod
    def public(path: Path) -> str:
        return path.with_name(f"{path.name}.pub").read_text()

    @property
    def known_host(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.public(self.host_key)}"

    @property
    def settings(self) -> dict[str, Any]:
        """What reaches it with its key."""
        return {"address": "127.0.0.1", "port": self.port, "user": self.user, "key_file": str(self.key_file),
                "known_hosts": str(self.known_hosts)}

    def start(self, **more: str) -> None:
        options = {
            "Port": str(self.port), "ListenAddress": "127.0.0.1", "HostKey": str(self.host_key),
            "AuthorizedKeysFile": str(self.directory / "authorized_keys"), "StrictModes": "no",
            "PidFile": "none", "UsePAM": "no", "PermitRootLogin": "yes", "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "no", "MaxStartups": "100", "LogLevel": "VERBOSE",
            "SetEnv": f"HOME={self.directory}", **more}  # without the files of this machine's shells
        config = self.directory / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd wants an empty folder
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(config)], stderr=log,
                                             stdin=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8", "replace")

    @property
    def connections(self) -> int:
        """How many times somebody was let in."""
        return self.log.count("Accepted publickey") + self.log.count("Accepted password")

    def sessions(self) -> list[psutil.Process]:
        """The processes of sshd that serve connections."""
        return [] if self._process is None else psutil.Process(self._process.pid).children()

    @property
    def place(self) -> str:
        """How messages name it."""
        return f"{self.user}@127.0.0.1 (port {self.port})"

    def freeze(self) -> None:
        """Let it accept connections and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def cut(self) -> None:
        """Break every connection there is."""
        for each in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*each.children(), each]:
                    if process.name().startswith("sshd"):
                        process.kill()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.cut()
            self._process.terminate()
            self._process.wait()
            self._process = None


def new_server(**options: str) -> Server:
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd on this machine (apt: openssh-server)")
    # Not below pytest's own directory: sshd reads keys as the user who logs in.
    directory = Path(tempfile.mkdtemp(prefix="aria-sshd-", dir="/tmp"))
    directory.chmod(0o755)
    server = Server(directory)
    server.start(**options)
    return server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """An sshd that lets this user in by key."""
    server = new_server()
    yield server
    server.stop()
    shutil.rmtree(server.directory)


@pytest.fixture
def own_server() -> Iterator[Server]:
    """An sshd that only this test uses, and may do to what it likes."""
    server = new_server()
    yield server
    server.stop()
    shutil.rmtree(server.directory)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def watching() -> Iterator[set[str]]:
    """Every command line that there was while the block ran, as often as one can look."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        done.set()
        looking.join()


class User:
    """A user of this machine that was made for tests."""

    def __init__(self, name: str, password: str) -> None:
        self.name = name
        self.password = password


@pytest.fixture(scope="session")
def make_user() -> Iterator[Callable[..., User]]:
    """Makes users with a password and, if wanted, a rule for sudo; they go at the end."""
    if os.getuid() or os.environ.get(MAY_CHANGE) != "1":
        pytest.skip(f"users are made only by root, where {MAY_CHANGE}=1 says that the machine may be changed")
    made: list[str] = []

    def make(rule: str = "") -> User:
        user = User(f"aria{os.getpid()}-{len(made)}", f"swordfish-{secrets.token_hex(4)}")
        run("useradd", "--create-home", "--shell", "/bin/bash", user.name)
        made.append(user.name)
        run("chpasswd", input=f"{user.name}:{user.password}\n")
        if rule:
            file = Path(f"/etc/sudoers.d/{user.name}")
            file.touch(mode=0o440)
            file.write_text(f"{user.name} {rule}\n")
            run("visudo", "-cf", str(file))
        return user

    yield make
    for name in made:
        Path(f"/etc/sudoers.d/{name}").unlink(missing_ok=True)
        for each in psutil.process_iter(["username"]):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill() if each.info["username"] == name else None
        run("userdel", "--force", "--remove", name)


class Remote:
    """Runs scripts and commands over SSH as operations of one node, as an executor does."""

    ref = CallRef(os.getpid(), 77, 1)
    wait_until = staticmethod(wait_until)
    is_gone = staticmethod(is_gone)
    watching = staticmethod(watching)

    def __init__(self, host: Any, server: Server) -> None:
        self.channel = host.channel
        self.server = server
        self.settings: dict[str, Any] = server.settings
        self._host = host
        self._seen = 0

    def call(self, function: str, arguments: dict[str, Any], actor: Actor | None = None) -> Call:
        return Call(self.ref, function, arguments, actor or Actor("node", 1, "web"), name="the task",
                    interface="Standard", operation="create", workflow="install", service=1,
                    service_name="shop", max_attempts=9)

    def script_call(self, script: str, process: dict[str, Any] | None, path: str, ssh: dict[str, Any],
                    inputs: dict[str, Any]) -> Call:
        self.channel.resources[path] = textwrap.dedent(script).lstrip("\n").encode("utf-8", "surrogateescape")
        arguments = {"script_path": path, "ssh": {**self.settings, **ssh},
                     **({} if process is None else {"process": process}), **inputs}
        return self.call(SCRIPT, arguments)

    def run(self, script: str, process: dict[str, Any] | None = None, *, path: str = "scripts/run.sh",
            ssh: dict[str, Any] | None = None, **inputs: Any) -> Succeeded | Failed:
        self._seen = len(self.channel.messages)
        return run_call(self.script_call(script, process, path, ssh or {}, inputs), self.channel)

    def commands(self, *commands: str, ssh: dict[str, Any] | None = None, **more: Any) -> Succeeded | Failed:
        arguments = {"commands": list(commands), "ssh": {**self.settings, **(ssh or {})}, **more}
        return run_call(self.call(COMMANDS, arguments), self.channel)

    def lines(self, level: str = "INFO") -> list[str]:
        """What was logged since it was asked for before."""
        new, self._seen = self.channel.messages[self._seen:], len(self.channel.messages)
        return [message for each, message in new if each == level]

    def out(self, script: str, process: dict[str, Any] | None = None, **keywords: Any) -> list[str]:
        """The lines a script printed; it must end well."""
        report = self.run(script, process, **keywords)
        assert isinstance(report, Succeeded), (report, self.server.log[-2000:])
        self.check_clean()
        return self.lines()

    def error(self, script: str, process: dict[str, Any] | None = None, **keywords: Any) -> Failed:
        """How a script failed; it must fail."""
        report = self.run(script, process, **keywords)
        assert isinstance(report, Failed), report
        self.check_clean()
        return report

    def check_clean(self) -> None:
        """Nothing is left, here or there."""
        assert not self._host.left_behind
        assert not self.directories()

    def directories(self) -> list[Path]:
        """The directories of attempts of this test on the remote host."""
        return list(self._place.glob("aria-*"))

    @property
    def _place(self) -> Path:
        return Path(self.settings["directory"])


@pytest.fixture
def remote(host: Any, server: Server, tmp_path: Path) -> Iterator[Remote]:
    """Runs scripts on the host of `server`."""
    found = Remote(host, server)
    with tempfile.TemporaryDirectory(prefix="aria-there-", dir="/tmp") as place:
        Path(place).chmod(0o1777)  # whoever logs in makes directories there
        found.settings["directory"] = place
        yield found
        kill_marked(str(Remote.ref), 0)
