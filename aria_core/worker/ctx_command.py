"""The ``ctx`` command of scripts: one file, for any Python 3, that other hosts are sent as it is.

usage: ctx [-t SECONDS] [-j] [--json-arg-prefix PREFIX] [--socket-url PATH] WORD...

Options stand before the first word:

  -t, --timeout SECONDS        how long to wait for an answer (30)
  -j, --json-output            print the answer as JSON, also when it is text or nothing
  --json-arg-prefix PREFIX     what marks a word as JSON (@): @8080, @true, '@{"a": [1]}'
  --socket-url PATH            where the operation listens (ARIA_CTX_SOCKET)

Reading. Words are steps from the operation's context; ``-`` and ``_`` are the same in a step, a number
picks from a list, and brackets around steps mean nothing:

  ctx node id | name | type-name | types | state | host-address | properties | attributes
      | capabilities | artifacts | host STEP... | node-template
  ctx node properties port
  ctx node attributes endpoints 0 address
  ctx node capabilities endpoint properties port
  ctx relationship id | name | type-name | types | capability | properties | attributes
  ctx source-node STEP...     ctx target-node STEP...         (operations of relationships)
  ctx node-template KEY...    ctx source-node-template KEY... ctx target-node-template KEY...
  ctx service id | name | description | template | inputs     ctx service-template KEY...
  ctx task id | name | attempt | token | max-attempts | interface-name | operation-name
      | function | arguments | cancelled
  ctx name | execution-id | workflow-name | plugin-workdir

Writing. Attributes only; maps on the way are made:

  ctx node attributes address = 10.0.0.1
  ctx node attributes port = @8080
  ctx target-node attributes backends web-1 weight = @5

Calling. The words after the verb are its arguments; ``[`` and ``]`` may enclose them:

  ctx logger debug | info | warning | error | critical [ MESSAGE... ]
  ctx get-resource [ PATH ]
  ctx get-resource-and-render [ PATH [@VARIABLES] ]
  ctx download-resource [ PATH [DESTINATION] ]                prints where the file is
  ctx download-resource-and-render [ PATH [DESTINATION] [@VARIABLES] ]
  ctx task retry [ [MESSAGE [SECONDS]] ]
  ctx task abort [ [MESSAGE] ]

Without a destination a file is put into the script's temporary directory, which goes when the script
has ended. After ``ctx task retry`` and ``abort`` the command ends with 1, so that ``set -e`` ends the
script; whatever the script does then, the verdict stands, and a second one is refused.

Text is printed as it is, everything else as JSON, null as nothing. The exit code is 0, 1 with a
sentence on standard error, or 2 for wrong usage.
"""

# A script calls this often, and what costs most is its start. So it imports what `socket` and `json` stand
# on, which takes half as long, and `json` itself only where that does not do. Annotations are text, for
# Pythons that know less.

import _socket
import binascii
import os
import sys

MYPY = False
if MYPY:
    from collections.abc import Iterator
    from typing import Any

encode_text: "Any" = None
make_scanner: "Any" = None
try:
    import _json

    encode_text, make_scanner = _json.encode_basestring_ascii, _json.make_scanner
except (ImportError, AttributeError):
    make_scanner = None  # not every Python is made of the same parts

LIMIT = 16 * 1024 * 1024


class Usage(Exception):
    """The command line makes no sense."""


class Refused(Exception):
    """The operation refused, or cannot be reached."""


def main(arguments: "list[str]") -> int:
    """Run the command; returns its exit code."""
    try:
        options, words = parse(arguments)
        with Operation(str(options["socket"]), seconds(options["timeout"])) as operation:
            reply = operation.ask({"ask": "ctx", "words": words})
            if "stop" in reply:
                print(reply["stop"], file=sys.stderr)
                return 1
            value = save(operation, reply["save"]) if "save" in reply else reply.get("value")
        write(value, bool(options["json"]))
    except Usage as error:
        print(f"ctx: {error} (ctx --help shows the grammar)", file=sys.stderr)
        return 2
    except (Refused, OSError) as error:
        print(f"ctx: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: "list[str]") -> "tuple[dict[str, Any], list[object]]":
    """Options and words; ``Usage`` if there is an unknown option or no word."""
    options: dict[str, Any] = {"timeout": "30", "json": False, "prefix": "@",
                               "socket": os.environ.get("ARIA_CTX_SOCKET", "")}
    names = {"-t": "timeout", "--timeout": "timeout", "--json-arg-prefix": "prefix", "--socket-url": "socket"}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        option, separator, value = rest.pop(0).partition("=")
        if option in ("-j", "--json-output"):
            options["json"] = True
        elif option in names and (separator or rest):
            options[names[option]] = value if separator else rest.pop(0)
        elif option in ("-h", "--help"):
            print(__doc__)
            sys.exit(0)
        else:
            raise Usage(f"{option} is no option, or misses its value")
    if not rest:
        raise Usage("there is no word")
    return options, [decode(word, str(options["prefix"])) for word in rest]


def decode(word: str, prefix: str) -> object:
    """A word as text, or as JSON if it begins with the prefix."""
    if not prefix or not word.startswith(prefix):
        return word
    try:
        import json

        return json.loads(word[len(prefix):])
    except (ValueError, RecursionError) as error:
        raise Usage(f"{word[:200]!r} is not JSON behind {prefix!r}: {error}") from error


def seconds(given: object) -> float:
    """A number of seconds; ``Usage`` for anything else."""
    try:
        found = float(str(given))
    except ValueError as error:
        raise Usage(f"{given!r} is no number of seconds") from error
    if not 0 < found < 1e9:
        raise Usage(f"{given!r} is no number of seconds to wait")
    return found


class Operation:
    """The operation that runs this script, behind its socket."""

    def __init__(self, path: str, timeout: float) -> None:
        if not path:
            raise Refused("ARIA_CTX_SOCKET is not set; ctx works in scripts that ARIA runs")
        self._path = path
        self._timeout = timeout
        self._socket = _socket.socket(_socket.AF_UNIX)
        self._asked = 0

    def __enter__(self) -> "Operation":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, question: "dict[str, Any]") -> "dict[str, Any]":
        """The answer to a question; ``Refused`` with the operation's sentence."""
        try:
            reply = self._exchange(question)
        except _socket.timeout as error:
            raise Refused(f"the operation did not answer within {self._timeout:g} seconds") from error
        except (OSError, ValueError) as error:
            raise Refused(f"the operation of this script cannot be reached: {error}") from error
        if "error" in reply:
            raise Refused(reply["error"])
        answer: dict[str, Any] = reply["answer"]
        return answer

    def _exchange(self, question: "dict[str, Any]") -> "dict[str, Any]":
        lines = [] if self._asked else [self._hello()]
        self._asked += 1
        lines.append({**question, "number": self._asked})
        try:  # noqa: SIM105 - contextlib is slow to import
            self._socket.sendall("".join(to_json(each) + "\n" for each in lines).encode())
        except BrokenPipeError:
            pass  # who is refused may still read why
        reply: dict[str, Any] = from_json(self._line().decode())
        return reply

    def _line(self) -> bytes:
        # Whoever answers says nothing more until it is asked again.
        line = bytearray()
        while not line.endswith(b"\n") and len(line) <= LIMIT:
            piece = self._socket.recv(65536)
            if not piece:
                break
            line += piece
        return bytes(line)

    def _hello(self) -> "dict[str, Any]":
        self._socket.settimeout(self._timeout)
        self._socket.connect(self._path)
        attempt = os.environ.get("ARIA_ATTEMPT", "").partition("@")[0]
        return {"hello": attempt, "v": 1, "key": os.environ.get("ARIA_CTX_KEY", "")}


def save(operation: Operation, found: "dict[str, Any]") -> str:
    """Write here, as the script's user and from its directory, what is to be downloaded; where it is."""
    name, to, text, files = found["name"], found["to"], found["text"], found["files"]
    target = os.path.join(found["into"], name) if to is None else os.path.join(os.getcwd(), to)
    if (text is not None or files[0][0] == "") and os.path.isdir(target):
        target = os.path.join(target, name)
    if text is not None:
        write_file(target, iter([(text.encode(), False)]))
    for below, path in files:
        write_file(os.path.join(target, below) if below else target, pieces(operation, path))
    return target


def pieces(operation: Operation, path: str) -> "Iterator[tuple[bytes, bool]]":
    """A file bit by bit, each with whether it is executable; at least one, perhaps empty."""
    offset = 0
    while True:
        piece: dict[str, Any] = operation.ask({"ask": "resource", "path": path, "offset": offset})
        data = binascii.a2b_base64(piece["data"])
        yield data, piece["executable"]
        offset += len(data)
        if offset >= piece["size"] or not data:
            return


def write_file(target: str, parts: "Iterator[tuple[bytes, bool]]") -> None:
    """Written beside it and renamed: nobody sees half a file, and a running program is not overwritten."""
    directory, name = os.path.split(target)
    os.makedirs(directory, exist_ok=True)
    temporary = os.path.join(directory, f".{name[:100]}.{binascii.hexlify(os.urandom(8)).decode()}")
    first, executable = next(parts)
    mode = 0o777 if executable else 0o666
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(first)
            for data, _ in parts:
                file.write(data)
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def write(value: object, as_json: bool) -> None:
    """Print an answer."""
    if value is None and not as_json:
        return
    text = value if isinstance(value, str) and not as_json else for_people(value)
    end = "" if text.endswith("\n") else "\n"
    sys.stdout.buffer.write((text + end).encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


class _Rules:
    """How JSON is read; the names are those that the scanner asks for."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def from_json(text: str) -> "Any":
    """The value of a line of JSON; ``ValueError`` if it is none."""
    try:
        value, end = make_scanner(_Rules)(text, 0)
        if text[end:] == "\n":
            return value
    except (StopIteration, SystemError, TypeError, ValueError):
        pass  # the whole module knows what is wrong with it, or there are other parts

    import json

    return json.loads(text)


def to_json(value: "Any") -> str:
    """A value as JSON, in ASCII."""
    if type(value) is int:
        return str(value)
    if encode_text is not None:
        if isinstance(value, str):
            return str(encode_text(value))
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return f"[{','.join(map(to_json, value))}]"
        if isinstance(value, dict) and not any(isinstance(each, dict) for each in value.values()):
            return f"{{{','.join(f'{to_json(key)}:{to_json(each)}' for key, each in value.items())}}}"
    import json

    return json.dumps(value)


def for_people(value: object) -> str:
    """A value as JSON, with its letters as they are."""
    import json

    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
