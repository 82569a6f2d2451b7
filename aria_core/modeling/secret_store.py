"""Secrets that are kept outside of the database, and read when somebody needs them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aria_core.exceptions import InvalidInputError

FOLDER = "ARIA_SECRETS"
"""The variable that names the folder with a file for each secret."""
PREFIX = "ARIA_SECRET_"
"""What the name of a variable with a secret begins with."""
MAX_BYTES = 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def read_secret(name: object) -> str | None:
    """The secret of that name, without the line end after it; None if there is none.

    It is the content of the file `name` in the folder that ``ARIA_SECRETS`` names, or else the value of the
    variable ``ARIA_SECRET_<name>``. Raises ``InvalidInputError`` for what is no name, and for a file that
    cannot be read or is no text of at most 64 KiB.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError("the name of a secret has letters, digits, _, . and -, and begins with one "
                                "of the first three")
    folder = os.environ.get(FOLDER)
    path = Path(folder) / name if folder else None
    if path is not None and path.is_file():
        return _content(path)
    return os.environ.get(f"{PREFIX}{name}")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidInputError(f"the secret {path} has more than {MAX_BYTES} bytes")
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InvalidInputError(f"the secret {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InvalidInputError(f"the secret {path} is no UTF-8 text") from None
