"""Hook extensions: any number of listeners and contributors, each unable to disturb the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aria_core.distribution import explain, normal
from aria_core.exceptions import AriaError, ExtensionNotFoundError, ExtensionSettingsError
from aria_core.extensions.drivers import load_provider
from aria_core.extensions.registration import new_manager, register
from aria_core.extensions.scan import Catalogue, Provider
from aria_core.settings import Setting, make

if TYPE_CHECKING:
    from aria_core.application import Application
    from aria_core.modeling.specification import WorkflowSpec
    from aria_core.orchestrator.events import Event
    from aria_core.worker.calls import Call

GROUP = "aria.hooks"
MAX_FAILURES = 5

Keywords: TypeAlias = Mapping[str, Mapping[str, Setting]]

_log = logging.getLogger("aria.extensions")


@dataclass(frozen=True, slots=True)
class HookProblem:
    """Why a hook extension is not called, or not any more."""

    extension: str
    sentence: str


class HookExtensions:
    """The hook extensions of one application: imported and made once, called until `close`.

    `disabled` are names of extensions or distributions to leave alone; `keywords` are the sections
    ``[hooks.<name>]`` by name. One that cannot be used is quarantined with one warning and stands in
    `problems`; only a section that names nothing installed, or that its class refuses, is an error
    (``ExtensionNotFoundError``, ``ExtensionSettingsError``).
    """

    def __init__(self, catalogue: Catalogue, disabled: Collection[str] = (),
                 keywords: Keywords | None = None) -> None:
        self.problems: list[HookProblem] = []
        self._manager = new_manager()
        self._made: list[tuple[str, Any]] = []
        self._failures: dict[tuple[str, str], int] = {}
        self._keywords = {normal(name): each for name, each in (keywords or {}).items()}
        self._check_sections(catalogue)
        chosen = [each for each in catalogue.of(GROUP) if not _names(each) & set(map(normal, disabled))]
        try:
            for provider in reversed(chosen):  # pluggy calls the last registered first
                self._admit(catalogue, provider)
        except ExtensionSettingsError:
            self.close()
            raise

    def deliver(self, event: Event) -> None:
        """Tell every listener; never raises."""
        for _ in self._each("aria_event", event=event):
            pass

    @property
    def listeners(self) -> tuple[Callable[[Event], None], ...]:
        """`deliver` if anybody listens, else nothing: so that nobody builds events for no one."""
        return (self.deliver,) if self._manager.hook.aria_event.get_hookimpls() else ()

    def wrappers(self, call: Call) -> tuple[str, ...]:
        """The functions that go around an operation, outermost first; never raises."""
        if not self._manager.hook.aria_wrap_operation.get_hookimpls():
            return ()
        return tuple(self._texts("aria_wrap_operation", call=call))

    def workflows(self) -> dict[str, WorkflowSpec]:
        """The workflows that extensions offer to every service; the first of a name stays."""
        found: dict[str, WorkflowSpec] = {}
        for extension, given in self._each("aria_workflows", expand=_as_workflows):
            for name, each in given.items():
                if found.setdefault(name, each) is not each:
                    self._report(extension, f"the workflow {name!r} of {extension} has another's name")
        return found

    def checks(self, application: Application) -> list[HookProblem]:
        """What is wrong with the extensions, and what they find wrong with an application."""
        found = self._each("aria_check", expand=list, application=application)
        sentences = [HookProblem(extension, str(each)) for extension, given in found for each in given]
        return [*self.problems, *sentences]

    def close(self) -> None:
        """Call ``close()`` of what was made from classes, the last first. Idempotent; never raises."""
        while self._made:
            extension, instance = self._made.pop()
            try:
                getattr(instance, "close", lambda: None)()
            except Exception as error:  # noqa: BLE001 - a stranger's code must not keep the others open
                _log.warning("%s failed when it was closed: %s", extension, explain(error))

    def _check_sections(self, catalogue: Catalogue) -> None:
        installed = {normal(each.name): each.name for each in catalogue.of(GROUP)}
        for name in self._keywords:
            if name not in installed:
                accepted = ", ".join(sorted(installed.values())) or "none"
                raise ExtensionNotFoundError(
                    f"[hooks.{name}]: there is no such hook extension; installed are {accepted}")

    def _admit(self, catalogue: Catalogue, provider: Provider) -> None:
        status, problem = catalogue.problem(provider)
        if status != "available":
            if status != "disabled":
                self._report(str(provider), problem)
            return
        keywords = self._keywords.get(normal(provider.name), {})
        try:
            register(self._manager, self._made_from(provider, keywords), str(provider), str(provider))
        except ExtensionSettingsError as error:
            if keywords:
                raise
            self._report(str(provider), str(error))
        except AriaError as error:
            self._report(str(provider), str(error), cause=error)

    def _made_from(self, provider: Provider, keywords: Mapping[str, Setting]) -> object:
        extension = load_provider(provider)
        section = f"hooks.{provider.name}"
        if isinstance(extension, type):
            instance: object = make(extension, keywords, section)
            self._made.append((str(provider), instance))
            return instance
        for name, setting in keywords.items():
            raise ExtensionSettingsError(
                f"{setting.source}: [{section}] has no key {name!r}; {provider} is no class and takes none")
        return extension

    def _each(self, hook: str, expand: Callable[[Any], Any] | None = None,
              **arguments: Any) -> Iterator[tuple[str, Any]]:
        """What each implementation gives, called one by one: pluggy would stop at the first that raises."""
        for each in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                given = each.function(*[arguments[name] for name in each.argnames])
                if given is not None and expand is not None:
                    given = expand(given)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - reported, and counted
                self._failed(each.plugin_name, hook, error)
                continue
            self._failures.pop((each.plugin_name, hook), None)
            if given is not None:
                yield each.plugin_name, given

    def _texts(self, hook: str, **arguments: Any) -> Iterable[str]:
        for _, given in self._each(hook, expand=_as_texts, **arguments):
            yield from given

    def _failed(self, extension: str, hook: str, error: BaseException) -> None:
        count = self._failures.get((extension, hook), 0) + 1
        self._failures[extension, hook] = count
        if count == 1:
            _log.warning("%s failed in %s: %s", extension, hook, explain(error), exc_info=_if_debug(error))
        if count == MAX_FAILURES and self._manager.unregister(name=extension) is not None:
            self._report(extension, f"{extension} failed {count} times in a row in {hook} and is not called "
                                    f"any more: {explain(error)}")

    def _report(self, extension: str, sentence: str, cause: BaseException | None = None) -> None:
        self.problems.append(HookProblem(extension, sentence))
        _log.warning("%s", sentence, exc_info=_if_debug(cause))


def _if_debug(error: BaseException | None) -> BaseException | None:
    return error if _log.isEnabledFor(logging.DEBUG) else None


def _names(provider: Provider) -> set[str]:
    return {normal(provider.name), normal(provider.distribution)}


def _as_texts(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else [str(each) for each in given]


def _as_workflows(given: Any) -> dict[str, WorkflowSpec]:
    from aria_core.modeling.specification import WorkflowSpec

    workflows = dict(given)
    for name, each in workflows.items():
        if not isinstance(each, WorkflowSpec):
            raise TypeError(f"the workflow {name!r} is {each!r}; a WorkflowSpec is expected")
    return workflows
