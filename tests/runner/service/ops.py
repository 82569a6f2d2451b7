"""Operations and workflows of the test services; each leaves one line in the effects file."""

import builtins
import json
import os
import time
from pathlib import Path

from aria_core import OperationTask, RetryPolicy, StubTask, WorkflowTask, operation, workflow


def leave(effects, line):
    descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def count(effects, line):
    return Path(effects).read_text().splitlines().count(line) if Path(effects).exists() else 0


@operation
def touch(ctx, effects, label):
    leave(effects, label)


@operation
def fail_first(ctx, effects, label, times):
    leave(effects, label)
    if count(effects, label) <= times:
        raise ValueError(f"{label} fails")


@operation
def raise_first(ctx, effects, label, times, error):
    leave(effects, label)
    if count(effects, label) <= times:
        raise getattr(builtins, error)("as told")


@operation
def retry_first(ctx, effects, label, times, interval=None):
    leave(effects, label)
    if count(effects, label) <= times:
        ctx.task.retry("not yet", interval)


@operation
def abort(ctx, effects, label):
    leave(effects, label)
    ctx.task.abort("no way")


@operation
def note_time(ctx, effects, label, times):
    leave(effects, f"{time.monotonic()}")
    leave(effects, label)
    if count(effects, label) <= times:
        raise ValueError("once more")


@operation
def nap(ctx, effects, label, seconds):
    leave(effects, label)
    time.sleep(seconds)
    leave(effects, f"{label} ended")


@operation
def wait_for(ctx, effects, label, file):
    leave(effects, label)
    while not Path(file).exists():
        time.sleep(0.01)


@operation
def hold(ctx, effects, label, gate=None):
    leave(effects, f"{label} begins")
    while gate is not None and not Path(gate).exists():
        time.sleep(0.01)
    leave(effects, f"{label} ends")


@operation
def go_silent(ctx, effects, label, times):
    leave(effects, label)
    if count(effects, label) <= times:
        while not ctx.task.cancelled:
            time.sleep(0.01)
        raise RuntimeError("ended")


@operation
def beat(ctx, effects, label, seconds, every):
    leave(effects, label)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ctx.task.heartbeat()
        time.sleep(every)


@operation
def show_progress(ctx, effects, label, gate):
    ctx.task.heartbeat(0.25, "a quarter")
    ctx.task.heartbeat(0.5)
    while not Path(gate).exists():
        time.sleep(0.01)
    ctx.task.heartbeat(1, "all")
    leave(effects, label)


@operation
def show_then_fail(ctx, effects, label, times):
    leave(effects, label)
    if count(effects, label) <= times:
        ctx.task.heartbeat(0.75, "nearly")
        raise ValueError("no")


@operation
def note_state(ctx, effects, label, times=0):
    leave(effects, f"{label} {ctx.node.state}")
    if count(effects, f"{label} {ctx.node.state}") <= times:
        raise ValueError(f"{label} fails")


@operation
def set_attribute(ctx, effects, label, name, value, fail=False):
    leave(effects, label)
    ctx.node.attributes[name] = value
    if fail:
        raise ValueError("after the edit")


@operation
def set_nested(ctx, effects, label):
    ctx.node.attributes["nested"]["list"].append({"deep": 1})
    del ctx.node.attributes["doomed"]
    leave(effects, label)


@operation
def flush_then_die(ctx, effects, label):
    ctx.node.attributes["flushed"] = True
    ctx.flush()
    assert ctx.model.node.get(ctx.node.id).attributes["flushed"] is True
    os._exit(0)


@operation
def set_foreign(ctx, effects, label, node):
    ctx.model.node.get(node).attributes["stolen"] = True


@operation
def copy_attribute(ctx, effects, label, name):
    ctx.source_node.attributes["copied"] = ctx.target_node.attributes[name]
    leave(effects, label)


@operation(toolbelt=True)
def host_address(ctx, toolbelt, effects, label):
    leave(effects, f"{label} {toolbelt.host_ip}")


@operation
def say(ctx, effects, label):
    ctx.logger.info("info from %s", label)
    ctx.logger.warning("two\nlines \N{SNOWMAN}")
    leave(effects, label)


@operation
def show_context(ctx, effects, label):
    leave(effects, f"{ctx.task.name}|{ctx.node.name}|{ctx.node.id}|{ctx.task.id}|{ctx.node_template.name}|"
                   f"{ctx.service.name}|{ctx.task.token}|{ctx.task.attempt}|{os.getpid()}")


@operation
def read_resource(ctx, effects, label):
    text = ctx.get_resource_and_render("greeting.txt", {"name": "you"}).strip()
    implicit = ctx.get_resource_and_render("implicit.txt").strip()
    leave(effects, f"{text} {implicit} {len(ctx.get_resource('greeting.txt'))}")


@operation
def show_relationship(ctx, effects, label):
    ends = [f"{node.name}/{node.id}/{template.name}" for node, template in (
        (ctx.source_node, ctx.source_node_template), (ctx.target_node, ctx.target_node_template))]
    shown = [ctx.task.name, ctx.task.function, json.dumps(ctx.task.arguments, sort_keys=True),
             ctx.relationship.name, ctx.relationship.id, ctx.task.id, *ends]
    leave(effects, "|".join(map(str, shown)))


@operation
def set_and_refresh(ctx, effects, label):
    ctx.node.attributes["color"] = "red"
    ctx.model.node.refresh(ctx.node)
    leave(effects, f"{label} {ctx.node.attributes['color']} {ctx.node.attributes['known']}")


@operation
def set_at_once(ctx, effects, label, others, fail=False):
    leave(effects, f"{label} begins")
    while count(effects, f"{others} begins") < 1:
        time.sleep(0.005)
    ctx.node.attributes["who"] = label
    if fail:
        raise LookupError(f"{label} fails")


@operation
def render_files(ctx, effects, label, directory):
    given, implicit = Path(directory) / "given", Path(directory) / "implicit.txt"
    ctx.download_resource_and_render(given, "greeting.txt", {"name": "you"})
    ctx.download_resource_and_render(implicit)
    leave(effects, f"{label} {given.read_text().strip()} {implicit.read_text().strip()}")


@workflow
def plan(ctx, graph, steps):
    """Steps: label, do, arguments, after, and task settings; {"sub": […]} nests, {"stub": true} is one."""
    made = {}
    for step in steps:
        task = make(ctx, step)
        graph.add_tasks(task)
        for label in step.get("after", ()):
            graph.add_dependency(task, made[label])
        made[step["label"]] = task


def make(ctx, step):
    if "sub" in step:
        return WorkflowTask(plan, steps=step["sub"])
    if step.get("stub"):
        return StubTask()
    node = ctx.service.nodes[step.get("node", "one")]
    actor = node.outbound_relationships[0] if step.get("relationship") else node
    names = ("max_attempts", "retry_interval", "ignore_failure", "timeout", "heartbeat_timeout", "priority",
             "pool")
    settings = {name: step[name] for name in names if name in step}
    if "retry" in step:
        settings["retry"] = RetryPolicy(**step["retry"])
    given = step.get("arguments", {})
    arguments = {"effects": ctx.service.inputs["effects"], "label": step["label"], **given}
    return OperationTask(actor, step.get("interface", "Test"), step.get("do", "touch"),
                         arguments=arguments, **settings)


@workflow
def nothing(ctx, graph):
    pass


@workflow
def typed(ctx, graph, word, number, needed):
    ctx.logger.info("word=%s number=%s needed=%s", word, number, needed)


@workflow
def edits(ctx, graph):
    ctx.service.nodes["one"].attributes["by_workflow"] = {"a": 1}
    ctx.service.nodes["one"].attributes["known"] = "changed"


@workflow
def breaks(ctx, graph):
    ctx.service.nodes["one"].attributes["by_workflow"] = 1
    raise KeyError("the author's mistake")


@workflow
def cycle(ctx, graph):
    node = ctx.service.nodes["one"]
    first, second = (OperationTask(node, "Test", "touch", arguments={"effects": "x", "label": label})
                     for label in "ab")
    graph.add_tasks(first, second)
    graph.add_dependency(first, second)
    graph.add_dependency(second, first)


@workflow
def slow_to_plan(ctx, graph, effects, gate, breaks):
    leave(effects, "planning")
    while not Path(gate).exists():
        time.sleep(0.005)
    if breaks:
        raise getattr(builtins, breaks)("no plan")
    graph.add_tasks(make(ctx, {"label": "planned"}))


@workflow
def logs_badly(ctx, graph):
    ctx.logger.info("%d things", "many")
