"""An executor that runs operations in a pool of threads."""

from concurrent.futures import Future, ThreadPoolExecutor

from aria_core import Call, Executor, FutureExecutor, hookimpl, run_encoded


class ExampleExecutor(FutureExecutor):
    """Runs at most `slots` operations at once, in threads of the runner's process."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="example")

    def start(self, call: Call) -> Future[bytes]:
        """Begin a call."""
        return self._pool.submit(run_encoded, call.encode())

    def stop(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@hookimpl
def aria_executor() -> type[Executor]:
    """Give ARIA the class; ``pyproject.toml`` gives it the name."""
    return ExampleExecutor
