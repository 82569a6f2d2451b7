"""The errors of ARIA. Every one of them is a sentence for a person.

::

    AriaError
     ├── InvalidInputError              a value somebody gave does not fit
     │    ├── UndeclaredInputsError     a workflow or service has no such input
     │    ├── MissingInputsError        a required input was not given
     │    ├── WrongTypeInputsError      an input has another type than declared
     │    └── NotJsonError              a value that JSON cannot carry
     ├── ConfigurationError             aria.toml, an environment variable or a keyword is wrong
     ├── LoadError                      a template cannot be loaded; lists every located problem
     ├── ExtensionError
     │    ├── ExtensionNotFoundError    nothing installed has this name
     │    ├── ExtensionBrokenError      it was found and could not be imported or is no such driver
     │    ├── ExtensionIncompatibleError  it asks for another release of ARIA
     │    ├── ExtensionConflictError    two distributions offer the same name
     │    └── ExtensionSettingsError    its class does not take these settings
     ├── StorageError
     │    ├── NotFoundError             no such row or resource
     │    ├── AlreadyExistsError        the name is taken
     │    └── StorageUnavailableError   the storage cannot be reached
     │         └── StorageLostError     it is not there any more, or damaged: waiting does not help
     ├── FencedError                    another runner took this execution over
     ├── ExecutionOwnedError            a living runner has this execution
     ├── ResumeRefusedError             this execution must not be resumed
     ├── ExecutionFailedError           the workflow ran and failed
     └── the nine of aria_core.orchestrator.exceptions

``exit_code`` is what the command line ends with when the error reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class AriaError(Exception):
    """Base of every error ARIA raises on purpose."""

    exit_code: ClassVar[int] = 1


class InvalidInputError(AriaError):
    """A value somebody gave does not fit."""

    exit_code = 2


class UndeclaredInputsError(InvalidInputError):
    """An input was given that is not declared."""


class MissingInputsError(InvalidInputError):
    """A required input has neither a value nor a default."""


class WrongTypeInputsError(InvalidInputError):
    """An input's value does not have the declared type."""


class NotJsonError(InvalidInputError):
    """A value cannot be carried by strict JSON; the message names its path and type."""


class ConfigurationError(AriaError):
    """A setting is wrong; the message names it, its source and what is accepted."""

    exit_code = 2


class LoadError(AriaError):
    """A template cannot be loaded.

    ``problems`` holds one sentence for each, beginning with ``file:line:column``.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ExtensionError(AriaError):
    """Base of what can be wrong with an extension."""

    exit_code = 6


class ExtensionNotFoundError(ExtensionError):
    """Nothing installed has this name; the message lists what is installed."""


class ExtensionBrokenError(ExtensionError):
    """The extension was found but cannot be used; the cause is kept."""


class ExtensionIncompatibleError(ExtensionError):
    """The extension asks for another release of ARIA."""


class ExtensionConflictError(ExtensionError):
    """Two distributions offer the same name; the message names both."""


class ExtensionSettingsError(ConfigurationError):
    """The extension's class does not take these settings; the message shows its signature."""


class StorageError(AriaError):
    """The storage refused or failed."""


class NotFoundError(StorageError):
    """No such row or resource."""

    exit_code = 2


class AlreadyExistsError(StorageError):
    """The name is taken."""

    exit_code = 2


class StorageUnavailableError(StorageError):
    """The storage cannot be reached or written."""

    exit_code = 5


class StorageLostError(StorageUnavailableError):
    """What was opened is damaged, or not there any more; waiting does not bring it back."""


class FencedError(AriaError):
    """Another runner took this execution over; this one must stop."""

    exit_code = 4


class ExecutionOwnedError(AriaError):
    """A living runner has this execution."""

    exit_code = 3


class ResumeRefusedError(AriaError):
    """This execution must not be resumed; the message says why."""

    exit_code = 2


class ExecutionFailedError(AriaError):
    """The workflow ran and failed; the message is the first cause."""

    exit_code = 1
