"""What goes wrong with SSH.

::

    RuntimeError
     └── SshError             the host cannot be reached, refuses us, or went away: another attempt may help
    InvalidInputError         another attempt would meet the same
     ├── SshSettingsError     a setting that cannot be
     └── HostKeyError         the host does not show the key it should have
"""

from __future__ import annotations

from aria_core import InvalidInputError


class SshError(RuntimeError):
    """The remote host cannot be reached, refuses us, or went away."""


class SshSettingsError(InvalidInputError):
    """A setting of SSH that cannot be; another attempt would meet the same."""


class HostKeyError(InvalidInputError):
    """The remote host has another key than it should have, or one that nobody has confirmed."""
