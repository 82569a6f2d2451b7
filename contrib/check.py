"""Installs each extension of this folder into the environment that runs this, and runs its tests.

What is no extension has no entry points: a plugin, which its own tests install as one does.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path


def run(*arguments: str | Path) -> None:
    """Run a Python module of this environment; ends the program with its exit code if that is not 0."""
    done = subprocess.run([sys.executable, "-m", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Check all distributions, or those named as arguments."""
    here = Path(__file__).parent
    chosen = sys.argv[1:] or sorted(each.parent.name for each in here.glob("*/pyproject.toml"))
    for name in chosen:
        if "entry-points" in tomllib.loads((here / name / "pyproject.toml").read_text())["project"]:
            run("pip", "install", "--quiet", here / name)
        run("pytest", "--no-skips", here / name)


if __name__ == "__main__":
    main()
