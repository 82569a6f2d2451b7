"""Every way into ARIA, on one page.

An extension is a module (or a class) with functions marked ``@hookimpl``, named by an entry point of
its distribution. The first five hooks give a *driver*: a class, chosen by name in ``aria.toml``. The
others belong to *hook extensions*, of which there may be any number, all in the group ``aria.hooks``.

::

    [project.entry-points."aria.executors"]        # the quotes matter
    mine = "my_package"                            # [executor] use = "mine"

A hook takes as few of its arguments as it likes, under their names. Every example is run by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from aria_core.application import Application
    from aria_core.installer import Installer
    from aria_core.loader import Loader
    from aria_core.modeling.specification import WorkflowSpec
    from aria_core.orchestrator.events import TaskEvent, WorkflowEvent
    from aria_core.orchestrator.executor import Executor
    from aria_core.storage.model import ModelStorage
    from aria_core.storage.resource import ResourceStorage
    from aria_core.worker.calls import Call

PROJECT = "aria"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def aria_executor() -> type[Executor]:
    """Give the class that says where calls run. Group ``aria.executors``.

    Called once, when ``[executor] use`` names the entry point; the class is made with the other keys
    of the section, opened by one runner after the other, and closed at the end. ::

        from concurrent.futures import Future, ThreadPoolExecutor

        from aria_core import Call, FutureExecutor, hookimpl, run_encoded

        class PoolExecutor(FutureExecutor):
            def __init__(self, slots: int = 2) -> None:
                self.slots = slots
                self._pool = ThreadPoolExecutor(slots)

            def start(self, call: Call) -> Future[bytes]:
                return self._pool.submit(run_encoded, call.encode())

            def stop(self) -> None:
                self._pool.shutdown(cancel_futures=True)

        @hookimpl
        def aria_executor():
            return PoolExecutor
    """
    raise NotImplementedError


@hookspec
def aria_model_storage() -> type[ModelStorage]:
    """Give the class that keeps rows. Group ``aria.model_storages``.

    Called once, when ``[model_storage] use`` names the entry point. ::

        from aria_core import SqlModelStorage, hookimpl

        class NamedModelStorage(SqlModelStorage):
            def __init__(self, name: str) -> None:
                super().__init__(f"sqlite:////var/lib/aria/{name}.db")

        @hookimpl
        def aria_model_storage():
            return NamedModelStorage
    """
    raise NotImplementedError


@hookspec
def aria_resource_storage() -> type[ResourceStorage]:
    """Give the class that keeps files. Group ``aria.resource_storages``.

    Called once, when ``[resource_storage] use`` names the entry point. ::

        from aria_core import NotFoundError, ResourceStorage, hookimpl

        class MemoryStorage(ResourceStorage):
            reach = "process"

            def __init__(self) -> None:
                self._files = {}

            def open(self):
                pass

            def close(self):
                pass

            def read(self, key):
                return self._file(key)[0]

            def put(self, key, data, *, executable=False):
                self._files[key] = (data, executable)

            def list(self, prefix):
                below = prefix + "/" if prefix else ""
                return iter(sorted(key for key in self._files if key == prefix or key.startswith(below)))

            def delete(self, prefix):
                return any([self._files.pop(key) for key in list(self.list(prefix))])

            def is_executable(self, key):
                return self._file(key)[1]

            def spec(self):
                return f"{__name__}:MemoryStorage", {}

            def _file(self, key):
                if key not in self._files:
                    raise NotFoundError(f"there is no resource {key}")
                return self._files[key]

        @hookimpl
        def aria_resource_storage():
            return MemoryStorage
    """
    raise NotImplementedError


@hookspec
def aria_installer() -> type[Installer]:
    """Give the class that puts one kind of plugin archive into a directory. Group ``aria.installers``.

    Called once, when an archive is to be installed and no earlier installer recognised it: ours are
    asked first, then the others by name. The class is made without keywords. ::

        from zipfile import ZipFile, is_zipfile

        from aria_core import Environment, Installer, PluginInfo, hookimpl

        class ZipInstaller(Installer):
            def recognises(self, path):
                return path.name.endswith(".plugin.zip") and is_zipfile(path)

            def inspect(self, path):
                name, version = path.name.removesuffix(".plugin.zip").rsplit("-", 1)
                return PluginInfo(name, name, version, path.name)

            def install(self, path, directory):
                with ZipFile(path) as archive:
                    archive.extractall(directory)
                return Environment(self.inspect(path).name, pythonpath=(str(directory),))

        @hookimpl
        def aria_installer():
            return ZipInstaller
    """
    raise NotImplementedError


@hookspec
def aria_loader() -> type[Loader]:
    """Give the class that reads one kind of template. Group ``aria.loaders``.

    Called once, when a template is to be loaded and no earlier loader recognised it (or ``--loader``
    names this one). The class is made without keywords. ::

        import json

        from aria_core import LoadedTemplate, Loader, NodeSpec, TemplateSpec, hookimpl

        class NamesLoader(Loader):
            def recognises(self, source):
                return source.suffix == ".names"

            def load(self, source, read):
                names = read(source).decode().split()
                nodes = {name: NodeSpec(name=name, type="Root") for name in names}
                return LoadedTemplate(template=TemplateSpec(name=source.stem, nodes=nodes))

        @hookimpl
        def aria_loader():
            return NamesLoader
    """
    raise NotImplementedError


@hookspec
def aria_event(event: TaskEvent | WorkflowEvent) -> None:
    """Hear what happened. Group ``aria.hooks``.

    Called in the runner's process after each change of a task or an execution is committed, in
    order, from one thread; it holds up nothing but later events. What it raises disturbs nobody;
    after five failures in a row it is not called any more. It is neither a wrapper nor a coroutine.

    Here it is a class: made once with the keys of ``[hooks.<name>]``, and closed at the end. ::

        from pathlib import Path

        from aria_core import hookimpl

        class Journal:
            def __init__(self, file: Path = Path("journal.txt")) -> None:
                self._lines = file.open("a")

            @hookimpl
            def aria_event(self, event):
                print(event.at, event.kind, event.execution, file=self._lines, flush=True)

            def close(self):
                self._lines.close()
    """


@hookspec
def aria_wrap_operation(call: Call) -> str | Iterable[str] | None:
    """Name the context managers that go around this operation. Group ``aria.hooks``.

    Called in the runner's process once for each attempt, before it is dispatched. Each name is
    ``package.module:function``; a worker of the core's environment imports it, calls it with the
    call, and enters what it returns. The first named is outermost.

    A plugin's operation runs in the plugin's own environment: its wrappers surround the exchange with
    that. What it raised reaches them as a ``PluginOperationError`` that tells class, text and verdict;
    what they raise or swallow counts as for any other operation. ``aria_core.ctx`` is the operation's
    context here, too. ::

        import logging
        import time
        from contextlib import contextmanager

        from aria_core import hookimpl

        @hookimpl
        def aria_wrap_operation(call):
            return f"{__name__}:timed"

        @contextmanager
        def timed(call):
            begin = time.monotonic()
            try:
                yield
            finally:
                logging.getLogger(__name__).info("%s: %.3f s", call.name, time.monotonic() - begin)
    """


@hookspec
def aria_workflows() -> Mapping[str, WorkflowSpec]:
    """Give workflows that every service offers, by name. Group ``aria.hooks``.

    Called once for each application. The names of the built-in workflows are taken; a template's
    own workflow of the same name goes first. ::

        from aria_core import WorkflowSpec, hookimpl, workflow

        @workflow
        def restart(ctx, graph):
            for node in ctx.nodes:
                print("would restart", node.name)

        @hookimpl
        def aria_workflows():
            return {"restart": WorkflowSpec(function=f"{__name__}:restart")}
    """
    raise NotImplementedError


@hookspec
def aria_check(application: Application) -> Iterable[str]:
    """Tell what is wrong, one sentence for each problem. Group ``aria.hooks``.

    Called when a person asks: once for each ``aria extensions doctor``. ::

        import shutil

        from aria_core import hookimpl

        @hookimpl
        def aria_check(application):
            if shutil.disk_usage(application.config.plugins.directory.anchor).free < 2**30:
                yield "less than 1 GiB is left for plugins"
    """
    raise NotImplementedError
