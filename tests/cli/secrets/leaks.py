"""Operations that tell whatever they know, each in another way."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from aria_core import OperationTask, operation, workflow


@operation
def log(ctx, password, own):
    ctx.logger.info("the password is %s", password)
    ctx.logger.warning("as a URL: https://user:%s@host/", ctx.node.properties["password"])
    ctx.logger.error("of the service: %r %s", dict(ctx.service.inputs), own)
    ctx.logger.info("of the node: %s", dict(ctx.node.properties))
    try:
        raise ValueError(password)
    except ValueError:
        ctx.logger.exception("it was caught")


@operation
def print_it(ctx, password, own):
    print(f"password={password}")
    print(own, file=sys.stderr)
    print("x" * 70_000, password)
    ctx.logger.info("%s%s", "x" * (64 * 1024 + 256 - 8), password)


@operation
def returns(ctx, password, own):
    return {"made": [f"x{password}y", own]}


@operation
def fails(ctx, password, own):
    try:
        raise KeyError(password)
    except KeyError as error:
        raise RuntimeError(f"cannot log in with {password}") from error


@operation
def keeps(ctx, password, own):
    fresh = "made-by-an-operation-99-canary"
    ctx.node.attributes["token"] = fresh
    ctx.node.attributes["url"] = f"https://{password}@host/"
    ctx.flush()
    ctx.logger.info("the new token is %s", fresh)
    raise RuntimeError(f"{fresh} is refused")


@operation
def crash(ctx, password, own):
    os.abort()


@operation
def sees_of_others(ctx, canary_file):
    """Look for the canary in the environment of every process while a script holds it."""
    while not Path(f"{canary_file}.held").exists():
        time.sleep(0.01)
    holder = Path(f"{canary_file}.held").read_text().strip()
    canary = Path(canary_file).read_bytes()
    having = {each.name for each in Path("/proc").iterdir()
              if each.name.isdecimal() and canary in environment_of(each)}
    own = subprocess.run(["env"], capture_output=True, check=True).stdout
    ctx.node.attributes["seen"] = {"in the script": holder in having, "own": canary in own,
                                   "elsewhere": sorted(having - {holder} - children_of(holder)),
                                   "told by ps": [each.name for each in Path("/proc").iterdir()
                                                  if each.name.isdecimal() and canary in words_of(each)]}
    Path(f"{canary_file}.seen").touch()


def environment_of(process):
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def words_of(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def children_of(pid):
    """They inherit what the script was given."""
    try:
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except OSError:
        return set()


@workflow
def tell(ctx, graph, operations, password):
    ctx.logger.info("begins with %s", password)
    node = next(iter(ctx.model.node))
    tasks = [OperationTask(node, "Leak", each, ignore_failure=each != operations[-1]) for each in operations]
    if "holds" in operations:
        graph.add_tasks(*tasks)
    else:
        graph.sequence(*tasks)


@workflow
def tell_all(ctx, graph, line):
    ctx.logger.info("a workflow\n%s", line)
    graph.add_tasks(OperationTask(next(iter(ctx.model.node)), "Tell", "it", max_attempts=1))


@workflow
def breaks(ctx, graph, password):
    raise ValueError(f"a workflow with {password}")


@operation
def environment(ctx, password):
    having = [name for name, value in os.environ.items() if password in value or "SECRET" in name]
    ctx.logger.info("in the environment: %s", having)


@operation
def forges(ctx, line):
    logging.addLevelName(35, "X\nforged\x1b[2J")
    ctx.logger.log(35, "a level")
    ctx.logger.info("a message\n%s\r%s\x1b]0;title\x07", line, line)
    raise RuntimeError(f"an error\n{line}\x1b[1A\u202e")
