"""Calls on the workers of somebody's own Celery app, beside the app's own tasks.

::

    app = Celery("shop", broker="redis://broker.example.org:6379/0")
    app.conf.worker_prefetch_multiplier = 1
    serve_calls(app, Application)

Every process of the app's pool that runs tasks has a worker of ours: with ``-P threads`` one for all
slots, with the prefork pool one of a single slot in each child. It claims, runs, reports and ends calls as
``aria worker`` does, tells runners that it is there and hears their orders by itself, past Celery's pool.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from celery import Celery, bootsteps, signals
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.thread import TaskPool as Threads
from celery.worker import state
from kombu import Connection

from aria_core import Application, AriaError, CallRef, ConfigurationError, RemoteWorker
from aria_plugins.executors.celery.executor import CeleryExecutor
from aria_plugins.executors.celery.pool import PromptThreads, be_done
from aria_plugins.executors.celery.presence import Presence
from aria_plugins.executors.celery.worker import add_task

OPENS_WITHIN = 10.0
"""Seconds that a call waits for its process to be ready; then it is left to its next message."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0

_log = logging.getLogger("aria.celery")

NewApplication = Callable[[], Application]


def serve(app: Celery, new_application: NewApplication, grace: float) -> None:
    """See ``serve_calls`` of the package."""
    service = _Service(app, new_application, grace)
    add_task(app, service.run)
    app.steps["worker"].add(_step(service))
    signals.worker_init.connect(service.use_prompt_threads, weak=False)
    signals.worker_process_init.connect(service.open_in_child, weak=False)
    signals.worker_process_shutdown.connect(service.close_in_child, weak=False)


class _Service:
    """What one app serves: knows the settings, and the worker of ours that this process has."""

    def __init__(self, app: Celery, new_application: NewApplication, grace: float) -> None:
        self.app = app
        self.new_application = new_application
        self.grace = grace
        self.new_app: Callable[[], Celery]
        self.queue = ""
        self.queues: tuple[str, ...] = ()
        self._in_children = False
        self._process: _Process | None = None

    def use_prompt_threads(self, sender: Any, **_: Any) -> None:
        """Celery's own threads leave a message waiting for up to a second when one before it has ended."""
        if sender.app is self.app and sender.pool_cls in ("threads", Threads):
            sender.pool_cls = PromptThreads

    def prepare(self, worker: Any) -> None:
        """Learn what is to be served by this worker of Celery's; ``ConfigurationError`` if that cannot be."""
        with self.new_application() as application:
            executor = application.executor(opens_storages=False)
            if not isinstance(executor, CeleryExecutor):
                raise ConfigurationError(f"the configured executor is {executor.name!r}; calls come to a "
                                         "Celery app through the executor 'celery'")
            _check_settings(self.app, worker.pool_cls)
            _check_broker(self.app, executor)
        self.new_app = executor.app
        self.queue = executor.queue
        self.queues = self._served(executor)
        self._in_children = issubclass(worker.pool_cls, Prefork)

    def _served(self, executor: CeleryExecutor) -> tuple[str, ...]:
        ours = dict.fromkeys((executor.queue, *executor.queues.values()))
        queues, declared = self.app.amqp.queues, executor.app().amqp.queues
        if getattr(queues, "_consume_from", None) is None:  # nobody has chosen some with -Q or -X
            queues.select_add(declared[executor.queue])
            return (executor.queue,)
        served = tuple(each for each in ours if each in queues.consume_from)
        if not served:
            raise ConfigurationError(
                f"the worker serves the queues {', '.join(queues.consume_from)}, and none of them has calls; "
                f"name one of {', '.join(ours)} with -Q, too")
        for each in served:  # as runners declare them: a broker refuses two ways
            queues.select_add(declared[each])
        return served

    def open_here(self, slots: int) -> None:
        """The pool's threads run calls in this process, unless its children do."""
        if not self._in_children:
            self._process = _Process(self, slots)

    def open_in_child(self, **_: Any) -> None:
        """A child of the pool runs one task at a time; connections are made in it, not inherited."""
        if self._in_children:
            self._process = _Process(self, slots=1)

    def close(self) -> None:
        """Let running calls end, as long as Celery is not told to be quick."""
        process, self._process = self._process, None
        if process is not None:
            process.close(self.grace)

    def close_in_child(self, **_: Any) -> None:
        """A child that ends has nothing to run any more."""
        if self._in_children:
            self.close()

    def run(self, ref: CallRef, origin: str) -> object:
        """Run the call if this process can and wins it."""
        process = self._process
        calls = process.ready() if process is not None else None
        if calls is None:
            _log.warning("the call %s is left to others: this process is not ready for it", ref)
            return False
        return calls.run(ref, origin, None if self._in_children else be_done)


class _Process:
    """The worker of ours in this process; a thread opens it, however long the database is away."""

    def __init__(self, service: _Service, slots: int) -> None:
        self._service = service
        self._slots = slots
        self._calls: RemoteWorker | None = None
        self._is_ready = threading.Event()
        self._is_over = threading.Event()
        self._stack = ExitStack()
        self._opening = threading.Thread(target=self._open, name="aria-opens", daemon=True)
        self._opening.start()

    def ready(self) -> RemoteWorker | None:
        """The worker as soon as it is there; None if that takes too long."""
        self._is_ready.wait(OPENS_WITHIN)
        return self._calls

    def close(self, grace: float) -> None:
        """Take no more calls, let what runs end within `grace` seconds, or until Celery is in a hurry."""
        self._is_over.set()
        self._opening.join()
        if self._calls is not None:
            self._presence.leave()
            self._calls.close(grace, _CelerysHurry())
        self._stack.close()

    def _open(self) -> None:
        pause = FIRST_PAUSE
        while not self._is_over.is_set():
            try:
                self._try_to_open()
            except ConfigurationError as error:
                _log.error("no calls are run here: %s", error)
                return
            except AriaError as error:
                _log.warning("no calls are run here yet: %s", error)
            else:
                return
            self._is_over.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _try_to_open(self) -> None:
        service = self._service
        with ExitStack() as stack:
            application = stack.enter_context(service.new_application())
            application.executor()  # says whether the storages can be reached from here
            presence = Presence(service.new_app(), service.queue, self._slots, service.queues)
            stack.callback(presence.close)
            calls = stack.enter_context(application.remote_worker(self._slots, presence.wake))
            presence.open(calls)
            self._presence, self._calls, self._stack = presence, calls, stack.pop_all()
        self._is_ready.set()


class _CelerysHurry(threading.Event):
    """Set when Celery's worker is told to stop at once."""

    def is_set(self) -> bool:
        """Whether it is."""
        return state.should_terminate not in (None, False)


def _step(service: _Service) -> type[Any]:
    """What Celery's worker does for us when it starts and stops: a class, since it makes steps itself."""
    class ServeCalls(bootsteps.StartStopStep):  # type: ignore[misc]
        """Begins after the pool and ends before it, when no more messages are taken."""

        requires = ("celery.worker.components:Pool",)

        def __init__(self, worker: Any, **keywords: Any) -> None:
            try:
                service.prepare(worker)
            except AriaError as error:
                raise SystemExit(f"ARIA's calls cannot be served: {error}") from error
            super().__init__(worker, **keywords)

        def start(self, worker: Any) -> None:
            """The pool is there."""
            service.open_here(worker.concurrency)

        def stop(self, worker: Any) -> None:
            """Told to stop, or to stop at once: what runs is ended then, and tried again elsewhere."""
            service.close()

        terminate = stop

    return ServeCalls


def _check_settings(app: Celery, pool: type[Any]) -> None:
    conf = app.conf
    if conf.task_always_eager:
        raise ConfigurationError("task_always_eager is set, with which no worker gets anything; leave it off")
    if not {"json", "application/json"} & set(conf.accept_content):
        raise ConfigurationError(f"accept_content is {list(conf.accept_content)}; messages about calls are "
                                 "json, add it")
    if not issubclass(pool, (Prefork, Threads)):
        raise ConfigurationError(f"the pool is {pool.__module__}; calls run with -P prefork or -P threads")
    if issubclass(pool, Threads) and conf.worker_enable_prefetch_count_reduction and _is_amqp(app):
        raise ConfigurationError(
            "worker_enable_prefetch_count_reduction is on, with which a worker of threads may hang after a "
            "lost connection to RabbitMQ; set it to False")
    if conf.worker_prefetch_multiplier != 1:
        _log.warning("worker_prefetch_multiplier is %s: messages wait here while others are idle; 1 is "
                     "better", conf.worker_prefetch_multiplier)


def _is_amqp(app: Celery) -> bool:
    return bool(app.connection_for_read().transport.driver_type == "amqp")


def _check_broker(app: Celery, executor: CeleryExecutor) -> None:
    """Messages about calls must come to where the app listens."""
    connection = app.connection_for_read()
    theirs = {connection.as_uri(), *(Connection(each).as_uri() for each in connection.alt if each)}
    ours = executor.app().connection_for_write().as_uri()
    if ours not in theirs:
        raise ConfigurationError(f"the broker of the app is {' or '.join(sorted(theirs))}, but calls are "
                                 f"sent through {ours}; configure the same")
