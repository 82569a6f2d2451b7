"""What every command is handed: the options of ``aria`` itself, and the parts they lead to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aria_core import Application, Config, Extensions, ModelStorage, ResourceStorage


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before the command's word."""

    config: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    debug: bool = False


class Program:
    """One call of ``aria``: everything is made when it is first used, and closed at the end.

    Commands of other distributions get it as ``click.get_current_context().obj`` and may use `config`,
    `application` and `extensions`.
    """

    def __init__(self) -> None:
        self.options = Options()
        self._closing = ExitStack()

    @cached_property
    def extensions(self) -> Extensions:
        """What is installed beside the core."""
        from aria_core import Extensions

        return Extensions()

    @cached_property
    def config(self) -> Config:
        """The configuration; from here on the program logs as it says."""
        from aria_core import Config, logging_as

        config = Config.load(self.options.config, flags=self.options.flags)
        self._closing.enter_context(logging_as(config.logging))
        return config

    @cached_property
    def application(self) -> Application:
        """The parts that the configuration chooses."""
        from aria_core import Application

        return self._closing.enter_context(Application(self.config, extensions=self.extensions))

    @property
    def model(self) -> ModelStorage:
        """Where rows live, open."""
        return self.application.model_storage

    @property
    def resources(self) -> ResourceStorage:
        """Where files live, open."""
        return self.application.resource_storage

    def close(self) -> None:
        """Close what was made."""
        self._closing.close()


pass_program = click.make_pass_decorator(Program)
"""Hands the `Program` to a command as its first argument."""
