"""Operations that write what they like on the line to the runner."""

import contextlib
import os
import sys
import threading
from pathlib import Path


def write(file):
    data = Path(file).read_bytes()
    line = int(sys.argv[1])
    while data:
        data = data[os.write(line, data):]


def tell(ctx, file):
    with contextlib.suppress(OSError):
        write(file)
    threading.Event().wait(60)


def babble(ctx, file):
    write(file)
    return "done"
