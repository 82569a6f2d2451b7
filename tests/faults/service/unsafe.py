"""A module that nobody may fork: importing it starts threads, one of which nearly always holds a lock."""

import subprocess
import threading
import time

from aria_core.testing.effects import note

LOCK = threading.Lock()
HELD = threading.Event()


def hold():
    while True:
        with LOCK:
            HELD.set()
            time.sleep(0.01)
        time.sleep(0.001)


for _ in range(3):
    threading.Thread(target=hold, daemon=True).start()
HELD.wait()


def work(ctx, directory):
    """Needs the lock for a moment, and a child process."""
    note(ctx, directory, "begin")
    if not LOCK.acquire(timeout=20):
        raise RuntimeError("nobody let go of the lock: it was copied while it was held")
    LOCK.release()
    subprocess.run(["true"], check=True)
    note(ctx, directory, "end")
