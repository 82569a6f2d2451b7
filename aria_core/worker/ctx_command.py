"""The ``ctx`` command of scripts. One file, standard library only, so that it starts at once anywhere.

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

import contextlib
import json
import os
import socket
import sys

LIMIT = 16 * 1024 * 1024


class Usage(Exception):
    """The command line makes no sense."""


class Refused(Exception):
    """The operation refused, or cannot be reached."""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        options, words = parse(arguments)
        reply = ask(options, words)
        if "stop" in reply:
            print(reply["stop"], file=sys.stderr)  # noqa: T201 - a program's own output
            return 1
        write(reply.get("value"), bool(options["json"]))
    except Usage as error:
        print(f"ctx: {error} (ctx --help shows the grammar)", file=sys.stderr)  # noqa: T201
        return 2
    except (Refused, OSError) as error:
        print(f"ctx: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def parse(arguments: list[str]) -> tuple[dict[str, object], list[object]]:
    """Options and words; ``Usage`` if there is an unknown option or no word."""
    options: dict[str, object] = {"timeout": "30", "json": False, "prefix": "@",
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
            print(__doc__)  # noqa: T201
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
        return json.loads(word[len(prefix):])
    except ValueError as error:
        raise Usage(f"{word!r} is not JSON behind {prefix!r}: {error}") from error


def ask(options: dict[str, object], words: list[object]) -> dict[str, object]:
    """Send the words to the operation and return its answer; ``Refused`` with its sentence."""
    try:
        seconds = float(str(options["timeout"]))
    except ValueError as error:
        raise Usage(f"{options['timeout']!r} is no number of seconds") from error
    attempt = os.environ.get("ARIA_ATTEMPT", "").partition("@")[0]
    hello = {"hello": attempt, "v": 1, "key": os.environ.get("ARIA_CTX_KEY", "")}
    question = {"ask": "ctx", "number": 1, "words": words, "cwd": os.getcwd()}  # noqa: PTH109 - pathlib is slow
    lines = "".join(json.dumps(each) + "\n" for each in (hello, question)).encode()
    try:
        reply = json.loads(exchange(str(options["socket"]), lines, seconds))
    except TimeoutError as error:
        raise Refused(f"the operation did not answer within {seconds:g} seconds") from error
    except (OSError, ValueError) as error:
        raise Refused(f"the operation of this script cannot be reached: {error}") from error
    if "error" in reply:
        raise Refused(reply["error"])
    answer: dict[str, object] = reply["answer"]
    return answer


def exchange(path: str, lines: bytes, seconds: float) -> bytes:
    """Send lines and return the line that comes back."""
    if not path:
        raise OSError("ARIA_CTX_SOCKET is not set; ctx works in scripts that ARIA runs")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        with contextlib.suppress(BrokenPipeError):  # who is refused may still read why
            connection.sendall(lines)
        with connection.makefile("rb") as stream:
            return stream.readline(LIMIT + 1)


def write(value: object, as_json: bool) -> None:
    """Print an answer."""
    if value is None and not as_json:
        return
    text = value if isinstance(value, str) and not as_json else json.dumps(value, ensure_ascii=False)
    end = "" if text.endswith("\n") else "\n"
    sys.stdout.buffer.write((text + end).encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
