"""Operations on other hosts, over SSH: a script of the template, or commands.

``aria_plugins.operations.ssh:run_script_with_ssh`` and ``…:run_commands_with_ssh``. The library asyncssh is
imported when the first of them runs.
"""

from __future__ import annotations

from aria_plugins.operations.ssh.operations import run_commands_with_ssh, run_script_with_ssh

__all__ = ["run_commands_with_ssh", "run_script_with_ssh"]
