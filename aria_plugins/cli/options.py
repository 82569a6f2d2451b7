"""Options that several commands have, each spelled and explained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

inputs = click.option("--input", "-i", "given", multiple=True, metavar="NAME=VALUE",
                      help="A value for an input. May be repeated.")

inputs_file = click.option(
    "--inputs-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A YAML or JSON file with a map of inputs; --input goes before it.")

executor = click.option("--executor", metavar="NAME", help="Run operations with another executor.")

dry = click.option("--dry", is_flag=True, help="Record the tasks, run nothing: the executor 'dry'.")

max_attempts = click.option("--task-max-attempts", type=int, metavar="N",
                            help="Attempts of a task that says nothing else; -1: without end.")

retry_interval = click.option("--task-retry-interval", type=float, metavar="SECONDS",
                              help="Seconds between attempts of a task that says nothing else.")

retry_budget = click.option("--retry-budget", type=int, metavar="N",
                            help="Fail after N failed attempts of all tasks together; -1: without end.")


def _sizes(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    sizes = {}
    for each in given:
        name, _equals, size = each.rpartition("=")
        try:
            sizes[name] = int(size)
        except ValueError:
            raise click.BadParameter(f"{each!r} is not like NAME=SIZE") from None
    return sizes


_max_concurrency = click.option("--max-concurrency", type=int, metavar="N",
                                help="Run at most N tasks at once; -1: as many as the executor takes.")
_max_per_node = click.option("--max-per-node", type=int, metavar="N",
                             help="Run at most N operations at once of a node without a limit of its own; "
                             "-1: any number.")
_pools = click.option("--pool", "pools", multiple=True, metavar="NAME=SIZE", callback=_sizes,
                      help="Run at most SIZE operations of a pool at once; -1: any number. May be repeated.")


def limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how much of an execution runs at once."""
    return _max_concurrency(_max_per_node(_pools(command)))


queue = click.option("--queue", is_flag=True, help="Leave it to an 'aria runner', and return at once.")

loader = click.option("--loader", metavar="NAME", help="The loader to use, instead of asking each.")
