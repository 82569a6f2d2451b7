"""Options that several commands have, each spelled and explained once."""

from __future__ import annotations

from pathlib import Path

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

loader = click.option("--loader", metavar="NAME", help="The loader to use, instead of asking each.")
