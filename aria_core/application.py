"""Everything that configuration chooses, assembled when it is first asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aria_core.config import Config, DriverSection
from aria_core.config_layers import DEFAULT_SOURCE
from aria_core.exceptions import ConfigurationError, StorageUnavailableError
from aria_core.extensions import Extensions
from aria_core.extensions.kinds import (
    EXECUTORS,
    INSTALLERS,
    LOADERS,
    MODEL_STORAGES,
    RESOURCE_STORAGES,
    DriverKind,
)
from aria_core.modeling.limits import ExecutionLimits
from aria_core.modeling.retries import ExecutionRetries, RetryPolicy
from aria_core.settings import Setting

if TYPE_CHECKING:
    from aria_core.extensions.hooks import HookExtensions, HookProblem
    from aria_core.extensions.recognition import Recognisers
    from aria_core.installer import Installer
    from aria_core.loader import Loader
    from aria_core.orchestrator.events import Listener
    from aria_core.orchestrator.executor import Executor
    from aria_core.orchestrator.plugin import PluginManager
    from aria_core.orchestrator.queued_runner import QueueRunner
    from aria_core.orchestrator.remote_worker import RemoteWorker
    from aria_core.orchestrator.runner_service import RunnerEvent, RunnerService
    from aria_core.orchestrator.workflow_runner import WorkflowRunner
    from aria_core.storage.model import ModelStorage
    from aria_core.storage.records import Claim, Pulse
    from aria_core.storage.resource import ResourceStorage

CLOSE_GRACE = 5.0

_REACHES: tuple[Literal["process", "host", "network"], ...] = ("process", "host", "network")

T = TypeVar("T")

_log = logging.getLogger("aria.application")


class Application:
    """The parts of one program, made from its configuration and closed by `close`.

    A storage that is handed over is used as it is: it must be open, and stays open. Without `config`
    the configuration is loaded from files and environment. What is wrong with a part is raised when
    that part is first asked for.
    """

    def __init__(self, config: Config | None = None, *, extensions: Extensions | None = None,
                 model_storage: ModelStorage | None = None,
                 resource_storage: ResourceStorage | None = None) -> None:
        self.config = Config.load() if config is None else config
        self.extensions = Extensions() if extensions is None else extensions
        self._closing = ExitStack()
        if model_storage is not None:
            self.model_storage = model_storage
        if resource_storage is not None:
            self.resource_storage = resource_storage

    @cached_property
    def model_storage(self) -> ModelStorage:
        """Where rows live, open."""
        storage = self._made(MODEL_STORAGES, "model_storage")
        self._closing.callback(storage.close)
        storage.open()
        return storage

    @cached_property
    def resource_storage(self) -> ResourceStorage:
        """Where files live, open."""
        storage = self._made(RESOURCE_STORAGES, "resource_storage")
        self._closing.callback(storage.close)
        storage.open()
        return storage

    @cached_property
    def plugin_manager(self) -> PluginManager:
        """Looks after installed plugins."""
        from aria_core.orchestrator.plugin import PluginManager

        plugins = self.config.plugins
        manager = PluginManager(
            self.model_storage, plugins.directory, plugins.require_pin, self.resource_storage)
        manager.use_installers(self.installers)
        return manager

    @cached_property
    def loaders(self) -> Recognisers[Loader]:
        """Every loader: to be named, or asked whether a source is theirs."""
        return self.extensions.recognisers(LOADERS)

    @cached_property
    def installers(self) -> Recognisers[Installer]:
        """Every installer of plugins: to be named, or asked whether an archive is theirs."""
        return self.extensions.recognisers(INSTALLERS)

    @cached_property
    def hooks(self) -> HookExtensions:
        """The hook extensions, imported and made."""
        names = self.config.hook_names
        hooks = self.extensions.hooks(
            self.config.hooks.disable, {each: self.config.hook_keywords(each) for each in names})
        self._closing.callback(hooks.close)
        return hooks

    def executor(self, use: str | None = None, *, opens_storages: bool = True) -> Executor:
        """A new executor, not yet open: the configured one, or the one that `use` names.

        The keywords of ``[executor]`` go to the extension they were written for, not to another.
        Raises ``ConfigurationError`` if its calls could not reach the storages. To see that these are
        opened; with `opens_storages` false it is not looked at, as before a fork.
        """
        executor = self._new_executor(use, opens_storages)
        self._closing.callback(executor.close, CLOSE_GRACE)
        return executor

    def _new_executor(self, use: str | None, opens_storages: bool = True) -> Executor:
        executor = self._made(EXECUTORS, "executor", use)
        executor.name = use or self.config.use("executor")
        if opens_storages:
            self._check_reach(executor, executor.name)
        return executor

    def runner(self, *, execution_id: int | None = None, service_id: int | None = None,
               workflow_name: str | None = None, inputs: Mapping[str, Any] | None = None,
               executor: Executor | None = None, task_max_attempts: int | None = None,
               task_retry_interval: float | None = None, task_retry: RetryPolicy | None = None,
               retry_budget: int | None = None, max_concurrency: int | None = None,
               max_per_node: int | None = None, pools: Mapping[str, int] | None = None,
               listeners: Iterable[Listener] = (), queued: bool = False) -> WorkflowRunner:
        """A runner on these storages, with these hooks; see `WorkflowRunner`.

        What is left out comes from the configuration, of `task_retry` each value by itself;
        `task_retry_interval` goes before its interval. `retry_budget` (-1: without end) is how many
        attempts of the whole execution may fail. A resume takes no limits (`max_concurrency`,
        `max_per_node`, `pools`) from the configuration: it keeps those that are stored. `listeners` are
        called with every event of the execution, as hook extensions are, from one thread.

        With `queued` nothing is run here: a new execution is left to whoever serves the queue (see
        `runner_service`) at once, one that exists when `execute` is called, and that of them runs it with
        the executor it is configured with, unless one is given here.
        """
        from aria_core.orchestrator.queued_runner import QueuingRunner
        from aria_core.orchestrator.surroundings import ListenedHooks
        from aria_core.orchestrator.workflow_runner import HookedRunner

        workflow = self.config.workflow
        retry = (task_retry or RetryPolicy()).over(workflow.task_retry)
        limits = ExecutionLimits(max_concurrency, max_per_node, pools or {})
        if execution_id is None:
            limits = limits.over(self._configured_limits())
        budget = workflow.retry_budget if retry_budget is None else retry_budget
        if executor is None and not queued:
            executor = self.executor()
        return (QueuingRunner if queued else HookedRunner)(
            ListenedHooks(self.hooks, tuple(listeners)), ExecutionRetries(retry, budget),
            self.model_storage, self.resource_storage, self.plugin_manager, execution_id=execution_id,
            service_id=service_id, workflow_name=workflow_name, inputs=inputs,
            executor=executor,
            task_max_attempts=workflow.task_max_attempts if task_max_attempts is None else task_max_attempts,
            task_retry_interval=retry.interval if task_retry_interval is None else task_retry_interval,
            max_concurrency=limits.max_concurrency, max_per_node=limits.max_per_node, pools=limits.pools)

    def runner_service(self, tell: Callable[[RunnerEvent], None], *, executor: str | None = None,
                       executions: int | None = None, poll_interval: float | None = None,
                       name: str = "") -> RunnerService:
        """What runs the executions of the queue; see `RunnerService`.

        `executor` names the one that is used where an execution names none. What is left out comes from
        the configuration. Raises what is wrong with the executor.
        """
        from aria_core.orchestrator.runner_service import RunnerService

        self._new_executor(executor).close(0.0)  # it had better be found wrong now
        settings, _ = self.config.runner, (self.hooks, self.resource_storage, self.plugin_manager)
        return RunnerService(
            self.model_storage.ledger, partial(self._queue_runner, executor), tell=tell, name=name,
            executions=settings.executions if executions is None else executions,
            poll_interval=settings.poll_interval if poll_interval is None else poll_interval)

    @contextmanager
    def _queue_runner(self, use: str | None, got: Claim | Pulse,
                      owner: Mapping[str, Any]) -> Iterator[QueueRunner]:
        from aria_core.orchestrator.queued_runner import QueueRunner

        wanted = self.model_storage.execution.get(got.execution).executor
        executor = self._new_executor(wanted or use)
        try:
            yield QueueRunner(
                self.hooks, ExecutionRetries(), self.model_storage, self.resource_storage,
                self.plugin_manager, got=got, owner=owner, executor=executor)
        finally:
            executor.close(CLOSE_GRACE)

    def _configured_limits(self) -> ExecutionLimits:
        workflow = self.config.workflow
        return ExecutionLimits(workflow.max_concurrency, workflow.max_per_node, self.config.pools)

    def remote_worker(self, slots: int, wake: Callable[[int], None] | None = None,
                      environment: Iterable[str] = ()) -> RemoteWorker:
        """A new worker on these storages, not yet open, for calls of executors that survive their runner.

        See `RemoteWorker` for `wake` and `environment`.
        """
        from aria_core.orchestrator.remote_worker import RemoteWorker

        worker = RemoteWorker(self.model_storage, self.resource_storage, self.plugin_manager, slots=slots,
                              hooks=self.hooks, wake=wake, environment=environment)
        self._closing.callback(worker.close, CLOSE_GRACE)
        return worker

    def problems(self) -> list[HookProblem]:
        """What hook extensions find wrong, and what is wrong with them."""
        return self.hooks.checks(self)

    def close(self) -> None:
        """Close everything that was made here, the last first. Idempotent."""
        self._closing.close()

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made(self, kind: DriverKind[T], section: DriverSection, use: str | None = None) -> T:
        configured = self.config.use(section)
        keywords = self.config.keywords(section) if use in (None, configured) else {}
        _make_data_directory(keywords)
        return self.extensions.make(kind, use or configured, keywords, section)

    def _check_reach(self, executor: Executor, name: str) -> None:
        needed = executor.needs_reach
        for word, storage in (("model", self.model_storage), ("resource", self.resource_storage)):
            if _REACHES.index(storage.reach) < _REACHES.index(needed):
                raise ConfigurationError(
                    f"the executor {name!r} needs storages within reach of the {needed}, but the {word} "
                    f"storage {type(storage).__name__} is within reach of the {storage.reach} only")


def _make_data_directory(keywords: Mapping[str, Setting]) -> None:
    """The folder that defaults count from holds secrets: nobody else may look inside."""
    for each in keywords.values():
        if each.source == DEFAULT_SOURCE:
            try:
                each.base.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StorageUnavailableError(
                    f"the data directory {each.base} cannot be made: {error.strerror}") from error
