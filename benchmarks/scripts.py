"""What scripts of bash cost, one a node: ``python -m benchmarks.scripts scripts 100 --mode aria-run``.

``aria-run`` is the whole command ``aria run`` of a template with so many nodes, ``aria-run-ctx`` the same
with scripts that call ``ctx`` once, ``bare`` a loop that starts them and reads what they print. Each run
is a process of its own with an empty directory of data; ``cpu_ms`` is all processor time, of all
processes, for each script.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aria_core
from benchmarks.cells import SCRIPT_MODES
from benchmarks.peers import common

_HEAD = """\
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Part:
    derived_from: tosca.nodes.Root
    interfaces:
      Standard:
        type: tosca.interfaces.node.lifecycle.Standard
        operations: {create: part.sh}
topology_template:
  node_templates:
"""
_CALLS = {"aria-run-ctx": 'name=$(ctx node name)\n'}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("n", type=int)
    parser.add_argument("--mode", choices=SCRIPT_MODES)
    given = parser.parse_args()
    directory = Path(os.environ["PEER_DIR"])
    write_template(directory, given.n, _CALLS.get(given.mode, ""))
    began, before = time.perf_counter(), cpu_seconds()
    if given.mode == "bare":
        run_bare(directory, given.n)
    else:
        run_aria(directory)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - before
    common.emit({
        "peer": "scripts", "version": aria_core.__version__, "mode": given.mode, "shape": given.shape,
        "n": given.n, "exec_s": round(seconds, 4), "cpu_ms": round(cpu / given.n * 1000, 2),
        "verified": effects(directory) == given.n})


def write_template(directory: Path, n: int, calls: str) -> None:
    """A template of so many nodes that wait for nobody, each with a script that leaves a line."""
    nodes = "".join(f"    part-{number}: {{type: Part}}\n" for number in range(n))
    (directory / "parts.yaml").write_text(_HEAD + nodes)
    (directory / "part.sh").write_text(f"#!/bin/bash\n{calls}echo \"$$ $name\" >>'{directory}/effects'\n")


def run_bare(directory: Path, n: int) -> None:
    for _ in range(n):
        subprocess.run(["/bin/bash", str(directory / "part.sh")], check=True, capture_output=True)


def run_aria(directory: Path) -> None:
    environment: Mapping[str, str] = {
        **os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory / "data"),
        "XDG_CONFIG_HOME": str(directory / "config")}
    subprocess.run([sys.executable, "-m", "aria_core", "run", str(directory / "parts.yaml")], check=True,
                   cwd=directory, env=environment, stdout=subprocess.DEVNULL)


def effects(directory: Path) -> int:
    """How many scripts ran: each in a process of its own."""
    return len({line.split()[0] for line in (directory / "effects").read_text().splitlines()})


def cpu_seconds() -> float:
    """What this process and all that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
