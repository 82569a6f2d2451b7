"""The process that renders templates: limited, sandboxed, and alone.

It is run as a script, by `aria_core.orchestrator.rendering` only, and imports nothing of ours. One
JSON line in (``text``, ``variables``), one JSON line out (``rendered``, or ``error`` with ``line``).
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


class OutputTooLargeError(Exception):
    """The rendered text exceeds the limit."""


def limit(memory: int, processor: int) -> None:
    """Let this process allocate at most `memory` bytes and write no file."""
    for what, bound in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        soft = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        try:
            resource.setrlimit(what, (soft, soft))
        except (ValueError, OSError):
            if sys.platform == "linux":
                raise
            # macOS knows no limit on the address space; the other limits hold there, too.
    limit_processor(processor)


def limit_processor(seconds: int) -> None:
    """Let this process compute for `seconds` more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def make_environment() -> Any:
    """Jinja2 that can neither reach Python's inside nor change what it is given."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Nothing rendered here is HTML: these are configuration files and scripts.
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    for name in ("lipsum", "cycler", "joiner"):
        del environment.globals[name]
    return environment


def answer(environment: Any, request: dict[str, Any], most: int) -> dict[str, Any]:
    """The answer to one request."""
    try:
        return {"rendered": rendered(environment, request["text"], request["variables"], most)}
    except MemoryError:
        return {"error": "it needs more memory than templates may have", "line": None}
    except OutputTooLargeError:
        return {"error": f"it renders to more than {most} characters", "line": None}
    except RecursionError:
        return {"error": "it is nested too deep", "line": None}
    except Exception as error:  # noqa: BLE001 - a template may raise anything; it all goes back as a sentence
        return {"error": told(error), "line": line_of(error)}


def rendered(environment: Any, text: str, variables: dict[str, Any], most: int) -> str:
    """The rendered template; gives up as soon as it is longer than `most` characters."""
    pieces, length = [], 0
    for piece in environment.from_string(text).generate(variables):
        length += len(piece)
        if length > most:
            raise OutputTooLargeError
        pieces.append(piece)
    return "".join(pieces)


def told(error: Exception) -> str:
    """The error as the end of a sentence."""
    message = " ".join((str(error) or type(error).__name__).split())[:500]
    return message if type(error).__module__.startswith("jinja2") else f"{type(error).__name__}: {message}"


def line_of(error: Exception) -> int | None:
    """The line of the template in which it happened."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def main(paths: str, memory: str, processor: str, most: str) -> None:
    """Answer until standard input ends."""
    sys.path.extend(json.loads(paths))
    environment = make_environment()
    limit(int(memory), int(processor))
    for line in sys.stdin.buffer:
        limit_processor(int(processor))
        reply = answer(environment, json.loads(line), int(most))
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
