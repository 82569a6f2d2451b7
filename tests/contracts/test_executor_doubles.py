"""Each test of the executor contract fails for an executor that breaks what it promises."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aria_core import (
    Call,
    CallRef,
    Executor,
    Failed,
    FutureExecutor,
    Inbox,
    Lost,
    Report,
    Started,
    Succeeded,
    kill_marked,
    run_call,
)
from aria_core.testing.bench import Bench
from aria_core.testing.executor import ExecutorContract
from aria_plugins.executors.process import ProcessExecutor
from aria_plugins.executors.thread import ThreadExecutor

IMPATIENT = 1.5


class Meddler:
    """An inbox that passes on what `alter` makes of each report, and answers through `answered`."""

    def __init__(self, inbox: Inbox, alter: Callable[[Report], Iterable[Report]],
                 answered: Callable[[Inbox, CallRef, Mapping[str, Any]], Any]) -> None:
        self._inbox, self._alter, self._answered = inbox, alter, answered

    def __call__(self, report: Report) -> None:
        for each in self._alter(report):
            self._inbox(each)

    def answer(self, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return self._answered(self._inbox, ref, request)


class Wrapped(Executor):
    """A good executor with one thing broken in a subclass."""

    def __init__(self, inner: Executor | None = None) -> None:
        self.inner = inner or ThreadExecutor(slots=2)
        self.slots = self.inner.slots

    def open(self, report: Inbox) -> None:
        self.inbox = report
        self.inner.open(Meddler(report, self.alter, self.answered))

    def submit(self, call: Call) -> None:
        self.inner.submit(self.change(call))

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        return self.inner.withdraw(refs)

    def terminate(self, ref: CallRef, grace: float) -> bool:
        return self.inner.terminate(ref, grace)

    def close(self, grace: float) -> None:
        self.inner.close(grace)

    def change(self, call: Call) -> Call:
        return call

    def alter(self, report: Report) -> Iterable[Report]:
        return [report]

    def answered(self, inbox: Inbox, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return inbox.answer(ref, request)


class WrappedProcesses(Wrapped):
    can_terminate = True
    isolates_calls = True

    def __init__(self) -> None:
        super().__init__(ProcessExecutor(slots=2))


class KeepsReports(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return []


class RunsWhileSubmitting(Wrapped):
    def submit(self, call: Call) -> None:
        self.inbox(run_call(call))


class LosesArguments(Wrapped):
    def change(self, call: Call) -> Call:
        return replace(call, arguments={})


class ForgetsThePlugin(Wrapped):
    def change(self, call: Call) -> Call:
        return replace(call, plugin=None)


class ForgetsWrappers(Wrapped):
    def change(self, call: Call) -> Call:
        return replace(call, wrappers=())


class ForgetsTheAttempt(Wrapped):
    def change(self, call: Call) -> Call:
        return replace(call, ref=replace(call.ref, attempt=1))

    def alter(self, report: Report) -> Iterable[Report]:
        return [replace(report, ref=replace(report.ref, attempt=7))]


class CutsBigValues(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        if isinstance(report, Succeeded) and any(len(str(edit.value)) > 65536 for edit in report.edits):
            return [replace(report, edits=())]
        return [report]


class TellsNoReason(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [Failed(report.ref, "RuntimeError: it failed", "") if isinstance(report, Failed) else report]


class TakesExitForSuccess(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [Succeeded(report.ref) if isinstance(report, Failed) else report]


class DropsEdits(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [replace(report, edits=()) if isinstance(report, (Succeeded, Failed)) else report]


class AnswersNonsense(Wrapped):
    def answered(self, inbox: Inbox, ref: CallRef, request: Mapping[str, Any]) -> Any:
        return {"data": "", "size": 0, "executable": False}


class AnswersOneAfterTheOther(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.RLock()

    def answered(self, inbox: Inbox, ref: CallRef, request: Mapping[str, Any]) -> Any:
        with self._turn:
            return inbox.answer(ref, request)

    def alter(self, report: Report) -> Iterable[Report]:
        with self._turn:
            return [report]


class TellsBackwards(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._told: list[Mapping[str, Any]] = []

    def answered(self, inbox: Inbox, ref: CallRef, request: Mapping[str, Any]) -> Any:
        self._told.append(request)

    def alter(self, report: Report) -> Iterable[Report]:
        if not isinstance(report, Started):
            for each in reversed(self._told):
                self.inbox.answer(report.ref, each)
        return [report]


class TellsLate(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._told: list[Mapping[str, Any]] = []

    def answered(self, inbox: Inbox, ref: CallRef, request: Mapping[str, Any]) -> Any:
        self._told.append(request)

    def alter(self, report: Report) -> Iterable[Report]:
        yield report
        if not isinstance(report, Started):
            for each in self._told:
                self.inbox.answer(report.ref, each)


class RepeatsItself(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [report, report]


class StartsLast(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [] if isinstance(report, Started) else [report, Started(report.ref)]


class NeverStarts(Wrapped):
    def alter(self, report: Report) -> Iterable[Report]:
        return [] if isinstance(report, Started) else [report]


class Overbooks(Wrapped):
    def __init__(self) -> None:
        super().__init__(ThreadExecutor(slots=8))
        self.slots = 2


class Underbooks(Wrapped):
    def __init__(self) -> None:
        super().__init__(ThreadExecutor(slots=1))
        self.slots = 2


class DealsInTurn(Wrapped):
    """Has a queue for each slot, so that a short call waits behind a long one."""

    def __init__(self) -> None:
        super().__init__(ThreadExecutor(slots=1))
        self.other = ThreadExecutor(slots=1)
        self.slots = 2
        self._turn = 0

    def open(self, report: Inbox) -> None:
        super().open(report)
        self.other.open(report)

    def submit(self, call: Call) -> None:
        self._turn += 1
        (self.inner if self._turn % 2 else self.other).submit(call)

    def close(self, grace: float) -> None:
        super().close(grace)
        self.other.close(grace)


class PretendsToWithdraw(Wrapped):
    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        return frozenset(refs)


class WithdrawsAndRuns(Wrapped):
    """Takes calls back and says that it took none: they never end."""

    def withdraw(self, refs: Iterable[CallRef]) -> frozenset[CallRef]:
        super().withdraw(refs)
        return frozenset()


class ReportsInsteadOfKilling(WrappedProcesses):
    def terminate(self, ref: CallRef, grace: float) -> bool:
        self.inbox(Lost(ref, "terminated"))
        return True


class NeverForces(WrappedProcesses):
    def terminate(self, ref: CallRef, grace: float) -> bool:
        return super().terminate(ref, 1000.0)


class ForcesAtOnce(WrappedProcesses):
    def terminate(self, ref: CallRef, grace: float) -> bool:
        return super().terminate(ref, 0.0)


class TerminatesEverybody(WrappedProcesses):
    def terminate(self, ref: CallRef, grace: float) -> bool:
        for number in range(1, ref.task + 1):
            super().terminate(replace(ref, task=number), grace)
        return True


class PromisesAReport(Wrapped):
    def terminate(self, ref: CallRef, grace: float) -> bool:
        return True


class KillsWhatSucceeded(WrappedProcesses):
    def change(self, call: Call) -> Call:
        self._call = call
        return call

    def alter(self, report: Report) -> Iterable[Report]:
        if isinstance(report, Succeeded):
            kill_marked(self._call.mark, 0.0)
        return [report]


class TakesDeathForFailure(WrappedProcesses):
    def alter(self, report: Report) -> Iterable[Report]:
        return [Failed(report.ref, "died") if isinstance(report, Lost) else report]


class NoticesDeathLate(WrappedProcesses):
    def alter(self, report: Report) -> Iterable[Report]:
        if isinstance(report, Lost):
            time.sleep(1.2)
        return [report]


RUN = """
import sys
from aria_core import run_encoded
sys.stdout.buffer.write(run_encoded(sys.stdin.buffer.read()))
"""


class OneProcessEach(FutureExecutor):
    """Isolates calls but has no idea of what they start."""

    isolates_calls = True
    can_terminate = True

    def __init__(self) -> None:
        self.slots = 2
        self._pool = ThreadPoolExecutor(2)

    def start(self, call: Call) -> Future[bytes]:
        return self._pool.submit(self._run, call.encode())

    def _run(self, call: bytes) -> bytes:
        done = subprocess.run([sys.executable, "-c", RUN], input=call, stdout=subprocess.PIPE, check=True)
        return done.stdout

    def stop(self) -> None:
        self._pool.shutdown(wait=False)


class TakesTheFirstOfABatch(Wrapped):
    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        return super().submit_all(list(calls)[:1])


class RefusesWhatItRuns(Wrapped):
    def submit_all(self, calls: Iterable[Call]) -> list[tuple[CallRef, Exception]]:
        new = list(calls)
        super().submit_all(new)
        return [(call.ref, RuntimeError("no")) for call in new]


class TakesCallsWhenClosed(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._is_closed = False

    def submit(self, call: Call) -> None:
        if not self._is_closed:
            super().submit(call)

    def close(self, grace: float) -> None:
        self._is_closed = True
        super().close(grace)


class MindsBeingClosedTwice(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self._closings = 0

    def close(self, grace: float) -> None:
        super().close(grace)
        self._closings += 1
        if self._closings == 2:
            raise AssertionError("closed already")


class ReportsAfterwards(Wrapped):
    def close(self, grace: float) -> None:
        super().close(grace)
        threading.Timer(0.05, self.inbox, [Lost(CallRef(3, 1, 1), "terminated")]).start()


class ClosesWithoutEnding(WrappedProcesses):
    def close(self, grace: float) -> None:
        """Leave everything as it is; `end` is for the test that cleans up."""

    def end(self) -> None:
        self.inner.close(1.0)


class EndsWhatShouldSurvive(ProcessExecutor):
    """Says that calls outlive it, and takes them along."""

    survives_runner = True

    def __init__(self) -> None:
        super().__init__(slots=2)


DOUBLES: dict[str, tuple[type[Executor], ...]] = {
    "test_a_success_is_reported": (KeepsReports,),
    "test_a_call_runs_outside_the_thread_that_submits_it": (RunsWhileSubmitting,),
    "test_arguments_and_results_are_delivered": (LosesArguments,),
    "test_the_attempt_is_known_to_the_operation": (ForgetsTheAttempt,),
    "test_big_values_travel_whole": (CutsBigValues,),
    "test_a_call_of_a_plugin_runs_in_the_environment_of_the_plugin": (ForgetsThePlugin,),
    "test_wrappers_go_around_a_call": (ForgetsWrappers,),
    "test_wrappers_run_in_the_core_around_a_call_of_a_plugin": (
        ForgetsWrappers, ForgetsThePlugin),
    "test_a_failure_keeps_the_class_and_the_message": (TellsNoReason,),
    "test_a_function_that_is_not_there_fails_by_name": (TellsNoReason, TakesExitForSuccess),
    "test_system_exit_is_a_failure": (TakesExitForSuccess,),
    "test_retry_is_told_from_failure": (TellsNoReason,),
    "test_abort_is_told_from_failure": (TellsNoReason,),
    "test_changed_attributes_come_with_success": (DropsEdits,),
    "test_changed_attributes_come_with_failure": (DropsEdits,),
    "test_a_question_is_answered": (AnswersNonsense,),
    "test_a_question_without_answer_raises_in_the_operation": (AnswersNonsense,),
    "test_a_slow_answer_delays_no_other_call": (AnswersOneAfterTheOther,),
    "test_what_is_told_arrives_in_order_and_before_the_end": (TellsBackwards, TellsLate, AnswersNonsense),
    "test_each_call_gets_one_final_report_and_at_most_one_start_before_it": (RepeatsItself, StartsLast),
    "test_a_long_call_is_reported_as_started_while_it_runs": (NeverStarts,),
    "test_never_more_calls_run_at_once_than_there_are_slots": (Overbooks,),
    "test_as_many_calls_run_at_once_as_there_are_slots": (Underbooks,),
    "test_a_long_call_holds_no_short_one_back_while_a_slot_is_free": (DealsInTurn, Underbooks),
    "test_a_batch_is_taken_over_as_a_whole": (TakesTheFirstOfABatch, RefusesWhatItRuns),
    "test_withdrawn_calls_never_run_and_all_others_do": (PretendsToWithdraw, WithdrawsAndRuns),
    "test_what_has_begun_is_not_withdrawn": (PretendsToWithdraw,),
    "test_terminating_ends_the_call_and_all_it_has_started": (ReportsInsteadOfKilling,),
    "test_what_ignores_the_request_to_end_is_forced_after_the_grace": (NeverForces, ForcesAtOnce),
    "test_terminating_one_call_leaves_its_neighbours_alone": (TerminatesEverybody,),
    "test_terminating_an_unknown_call_is_false_and_reports_nothing": (PromisesAReport,),
    "test_what_a_failed_call_has_started_is_ended": (OneProcessEach,),
    "test_what_a_successful_call_left_running_lives_on": (KillsWhatSucceeded,),
    "test_a_process_that_dies_is_lost_within_a_second": (TakesDeathForFailure, NoticesDeathLate),
    "test_what_a_dying_process_has_started_dies_with_it": (OneProcessEach,),
    "test_a_closed_executor_refuses_calls_and_says_so": (TakesCallsWhenClosed,),
    "test_closing_twice_is_harmless": (MindsBeingClosedTwice,),
    "test_after_closing_nothing_is_reported": (ReportsAfterwards,),
    "test_closing_ends_what_runs": (ClosesWithoutEnding,),
    "test_what_survives_goes_on_after_closing": (EndsWhatShouldSurvive,),
}

CONTRACT_TESTS = sorted(name for name in dir(ExecutorContract) if name.startswith("test_"))


def test_every_test_of_the_contract_has_a_double() -> None:
    assert sorted(DOUBLES) == CONTRACT_TESTS


@pytest.mark.parametrize(
    ("name", "double"), [(name, double) for name in CONTRACT_TESTS for double in DOUBLES.get(name, ())])
def test_the_contract_notices(name: str, double: type[Executor], tmp_path: Path) -> None:
    test = getattr(ExecutorContract(), name)
    arguments = {"code": 0} if "code" in inspect.signature(test).parameters else {}
    with Bench(double(), tmp_path, patience=IMPATIENT) as bench:
        assert fails(lambda: test(bench=bench, **arguments)), f"{name} passes for {double.__name__}"
        if isinstance(bench.executor, ClosesWithoutEnding):
            bench.executor.end()


def fails(test: Callable[[], None]) -> bool:
    try:
        test()
    except (AssertionError, TimeoutError, pytest.fail.Exception):
        return True
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"a double must declare what the test needs: {skipped}") from skipped
    return False
