"""One warm worker process as its runner sees it: started, spoken to, ended.

Not thread-safe by itself except where said; `aria_core.orchestrator.worker_pool` holds a lock.
`aria_core.worker.__main__` describes the protocol.
"""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aria_core.worker.calls import (
    Call,
    CallRef,
    Environment,
    Failed,
    Lost,
    LostReason,
    Report,
    Succeeded,
    call_to_json,
)
from aria_core.worker.channel import (
    MESSAGE_LIMIT,
    ChannelError,
    decode_message,
    encode_message,
    encode_reply,
    reply_to,
)
from aria_core.worker.keeper import CANNOT_FORK
from aria_core.worker.marking import ATTEMPT_VARIABLE, ROOM
from aria_core.worker.protocol import PACKET_LIMIT, WORKER_VERSION

QUEUE_SIZE = 256 * 1024
READ_SIZE = 64 * 1024

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
"""What an operation sees of the runner's environment, besides ``LC_*`` and what settings name."""

INHERITED_BY_OURS = ("VIRTUAL_ENV", "PYTHONPATH")
"""What only workers of the core's own environment see: it would mislead another interpreter."""

# Makes aria_core, and nothing else that is installed beside it, importable by any interpreter: from
# these very files, whatever else has that name. In a plugin's environment it is only `stand_in`.
_BOOT = """\
import sys
sys.path[:] = [each for each in sys.path if each]
from importlib.util import module_from_spec, spec_from_file_location
home, module = sys.argv[1:3]
spec = spec_from_file_location("aria_core", home + module, submodule_search_locations=[home])
sys.modules["aria_core"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
del sys.argv[1:3]
from aria_core.worker.__main__ import main
main(sys.argv[1:])
"""
_WHOLE, _STAND_IN = "/__init__.py", "/worker/stand_in.py"
_ALONE = "-I"
"""Neither variables nor the user's packages nor the working directory decide what is imported ..."""
_WITHOUT_SITE = "-S"
"""... nor, for plugins without an interpreter of their own, what is installed beside ours."""


# Linux lets ten datagrams wait, but packets as long as there is room for them; macOS has no packets.
_PACKETS = socket.SOCK_SEQPACKET if sys.platform.startswith("linux") else socket.SOCK_DGRAM


@dataclass(frozen=True, slots=True)
class Parcel:
    """A call and the message that carries it, encoded once."""

    call: Call
    message: bytes
    packet: bytes
    """The message, or what makes the worker fetch it if it is too big for a packet."""

    @property
    def ref(self) -> CallRef:
        """The call's ref."""
        return self.call.ref

    @property
    def environment(self) -> Environment | None:
        """Whose worker takes it: wrappers run in the core's environment, also around a plugin's call."""
        return None if self.call.wrappers else self.call.plugin


def pack(call: Call) -> Parcel:
    """The call, ready to send; ``ChannelError`` if it is larger than 16 MiB."""
    message = encode_message({"call": call_to_json(call)})
    is_small = len(message) <= PACKET_LIMIT
    return Parcel(call, message, message if is_small else encode_message({"fetch": str(call.ref)}))


_LOOK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_QUIT = encode_message({"quit": True})


class WorkerProtocolError(RuntimeError):
    """A worker said something a worker does not say; it is killed."""


def worker_environment(environment: Environment | None, also: Iterable[str] = ()) -> dict[str, str]:
    """The environment variables of a worker: an allow-list, the plugin's programs, room for the mark."""
    names = {*INHERITED, *also, *(each for each in os.environ if each.startswith("LC_"))}
    if environment is None:
        names.update(INHERITED_BY_OURS)
    variables = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    if environment is not None:
        variables["PATH"] = os.pathsep.join([*environment.path, variables.get("PATH", os.defpath)])
    return {**variables, ATTEMPT_VARIABLE: ROOM}


class WorkerProcess:
    """A worker for one environment (None: the runner's own).

    Making one starts it and returns at once; raises ``OSError`` if it cannot be started. Calls may
    be sent right away. `calls` are those it has and has not finished, in the order it runs them; the
    first is the one it runs, or is about to begin. What a failed attempt leaves running it ends itself if
    it `tidies`.
    """

    def __init__(self, environment: Environment | None = None, inherit: Iterable[str] = (),
                 tidies: bool = True) -> None:
        self.environment = environment
        self._inherit, self._tidies = tuple(inherit), tidies
        self.calls: deque[Parcel] = deque()
        self.finished = 0
        self.first_since = 0.0
        """When, by the monotonic clock, its first call became the first, or had not begun yet."""
        self.has_told = False
        """Whether it was reported that its first call has begun."""
        self.where = ""
        self.is_ready = False
        self.is_gone = False
        self.is_leaving = False
        """It gets no further calls."""
        self.is_ending = False
        """Somebody sees to its end and to what its attempt has started."""
        self.buried = threading.Event()
        """Set when everything it had said has been read."""
        self._key = secrets.token_urlsafe(32)
        self._rest = b""
        self._writing = threading.Lock()
        with ExitStack() as opened:
            self.line, theirs = self._pair(opened, socket.SOCK_STREAM)
            self._outgoing, self._incoming = self._pair(opened, _PACKETS)
            self._outgoing.setblocking(False)
            self._outgoing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_SIZE)
            self._says = opened.enter_context(tempfile.TemporaryFile())
            self._process = self._start(theirs)
            theirs.close()
            self._held = opened.pop_all()
        self._greet()

    @staticmethod
    def _pair(opened: ExitStack, kind: int) -> tuple[socket.socket, socket.socket]:
        first, second = socket.socketpair(socket.AF_UNIX, kind)
        return opened.enter_context(first), opened.enter_context(second)

    def _start(self, line: socket.socket) -> subprocess.Popen[bytes]:
        numbers = (line.fileno(), self._incoming.fileno())
        home = Path(__file__).resolve().parent.parent
        module = _WHOLE if self.environment is None else _STAND_IN
        return subprocess.Popen(  # nosec B603 # the plugin's own interpreter, our program; no shell
            [*self._python(), "-c", _BOOT, str(home), module, *map(str, numbers)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._says, pass_fds=numbers,
            env=worker_environment(self.environment, self._inherit), start_new_session=True)

    def _python(self) -> list[str]:
        if self.environment is None:
            return [sys.executable]
        if self.environment.python is None:
            return [sys.executable, _ALONE, _WITHOUT_SITE]
        return [self.environment.python, _ALONE]

    def _greet(self) -> None:
        path: list[str] | None = None
        first: tuple[str, ...] = ()
        if self.environment is None:  # so that a worker imports what its runner can
            path = [each or str(Path.cwd()) for each in sys.path]
        elif self.environment.python is None:
            first = self.environment.pythonpath
        self._write(encode_message({
            "hello": WORKER_VERSION, "key": self._key, "path": path, "first": first,
            "inherit": self._inherit, "tidies": self._tidies,
            "plugin": None if self.environment is None else self.environment.plugin}))

    @property
    def load(self) -> int:
        """How many calls it has."""
        return len(self.calls)

    def send(self, parcel: Parcel) -> bool:
        """Hand a call over; False if its queue has no room now."""
        if not self.calls:
            self._begin_with_first()
        self.calls.append(parcel)  # before it can ask for the rest of one that is too big for a packet
        if self._post(parcel.packet):
            return True
        self.calls.pop()
        return False

    def _begin_with_first(self) -> None:
        self.first_since, self.has_told = time.monotonic(), False

    def first_has_begun(self) -> bool:
        """Whether the worker has taken its first call; if not, the time counts from now."""
        try:
            has_begun = self._incoming.recv(PACKET_LIMIT, _LOOK) != self.calls[0].packet
        except BlockingIOError:
            has_begun = True
        if not has_begun:
            self._begin_with_first()
        return has_begun

    def take_back(self) -> list[Parcel]:
        """The calls it has not begun and now never will: whoever reads a packet first has it.

        They need not be the last ones: the worker may take one while we read.
        """
        read: set[bytes] = set()
        while self.calls:
            try:
                read.add(self._incoming.recv(PACKET_LIMIT, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
        taken = [parcel for parcel in self.calls if parcel.packet in read] if read else []
        if taken:
            self.calls = deque(parcel for parcel in self.calls if parcel.packet not in read)
        return taken

    def may_report(self, report: Report) -> bool:
        """Whether this is a final report of its own; lost is what a worker of its own ran, for a plugin."""
        if isinstance(report, Lost):
            return bool(self.calls) and self.calls[0].call.plugin is not None and self.environment is None
        return isinstance(report, (Succeeded, Failed))

    def finish(self, ref: CallRef) -> None:
        """Note the final report on `ref`; ``WorkerProtocolError`` if it is not what it runs."""
        if not self.calls or self.calls[0].ref != ref:
            raise WorkerProtocolError(f"a worker spoke of {ref}, which it does not run")
        self.calls.popleft()
        self.finished += 1
        self._begin_with_first()

    def receive(self) -> list[dict[str, Any]]:
        """All whole messages that have arrived; sets `is_gone` at the end of the line.

        Raises ``WorkerProtocolError`` for what is no message.
        """
        try:
            data = self.line.recv(READ_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.is_gone = True
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MESSAGE_LIMIT:
            raise WorkerProtocolError(f"a worker sent a line of more than {MESSAGE_LIMIT} bytes")
        try:
            return [decode_message(each) for each in lines]
        except ChannelError as error:
            raise WorkerProtocolError(str(error)) from error

    def welcome(self, hello: Mapping[str, Any]) -> None:
        """Take its hello; ``WorkerProtocolError`` if it is another version or has not our key."""
        key = str(hello.get("key"))
        if hello["hello"] != WORKER_VERSION or not hmac.compare_digest(key.encode(), self._key.encode()):
            raise WorkerProtocolError("a worker gave a hello of another version or with another key")
        self.where = f"{hello.get('host')}:{hello.get('pid')}"
        self.is_ready = True
        self._begin_with_first()

    def reply(self, question: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], Any]) -> None:
        """Answer a question with what `answer(question)` returns or raises. From any thread; may block."""
        self._write(encode_reply(reply_to(question, answer)))

    def send_big(self, ref: str) -> None:
        """Send the call that was too big for a packet. From any thread; may block."""
        for parcel in list(self.calls):
            if str(parcel.ref) == ref:
                self._write(parcel.message)

    def quit(self) -> None:
        """Ask it to leave when it has nothing to do."""
        self.is_leaving = True
        self._post(_QUIT)

    def ask_to_end(self) -> None:
        """SIGTERM; its keeper passes it on."""
        self._process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """End the line: the keeper then kills the worker and what its attempt has started."""
        try:
            self.line.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was hung up from the other side

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended; its last words may still be on the line."""
        return self._process.poll() is not None

    @property
    def lacked_a_process(self) -> bool:
        """Whether it has ended, or ends within a second, because its keeper could not fork."""
        return self.wait(1.0) and self._process.returncode == CANNOT_FORK

    def kill(self) -> None:
        """End it now; a worker dies with its keeper."""
        self.hang_up()
        if not self.wait(1.0):
            self._process.kill()
            self._process.wait()

    def lost_reason(self) -> tuple[LostReason, str]:
        """How it ended, for a report and in words."""
        code = self._process.returncode
        words = self.last_words()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return "killed", f"its worker was killed by {name}{words}"
        return "exited", f"its worker exited with code {code} before the operation had returned{words}"

    def last_words(self) -> str:
        """What the interpreter wrote when it could not start or crashed, as the end of a sentence."""
        self._says.seek(max(0, self._says.seek(0, os.SEEK_END) - 2000))
        text = self._says.read().decode("utf-8", "replace").strip()
        return f": {text}" if text else ""

    def close(self) -> None:
        """Let go of everything but the process."""
        self._held.close()

    def abandon(self) -> None:
        """In a forked child of its runner: let go; the process is the runner's, not ours to wait for."""
        self._process.returncode = 0
        self.close()

    def _post(self, message: bytes) -> bool:
        try:
            self._outgoing.send(message)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            raise
        return True

    def _write(self, message: bytes) -> None:
        with self._writing:
            try:
                self.line.sendall(message)
            except OSError:
                return  # it is gone, which the reader of the line finds out and deals with
