"""``python -m aria_core`` is the command ``aria``, whoever provides it.

The core knows no command line: it calls what its own distribution installs as the script ``aria``.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution


def main() -> None:
    """Run the script ``aria`` of our distribution with the arguments of this process; exits."""
    if sys.platform == "win32":
        sys.exit("aria: Windows is not supported; ARIA runs on Linux, also inside WSL, and on macOS")
    scripts = distribution("aria-core").entry_points.select(group="console_scripts", name="aria")
    for script in scripts:
        script.load()()
        return
    sys.exit("aria: this installation of aria-core has no command line; install it again")


if __name__ == "__main__":
    main()
