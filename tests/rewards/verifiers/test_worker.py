"""The worker process: results, faults, work that hangs or crashes."""

from __future__ import annotations

import pytest

from tpo.errors import RewardError
from tpo.rewards.verifiers.worker import Worker, WorkerStopped


def test_calls_in_one_process_give_results() -> None:
    worker = Worker("os:getpgid", 60.0)
    first, second = worker(0), worker(0)
    assert first == second


def test_what_the_task_raises_is_reported() -> None:
    with pytest.raises(RewardError, match="os:chdir failed: FileNotFoundError"):
        Worker("os:chdir", 60.0)("/no/such/folder")


@pytest.mark.parametrize("task", ["no_such_module:f", "os:no_such_function"])
def test_a_task_that_is_not_there_is_reported(task: str) -> None:
    with pytest.raises(RewardError, match="no_such"):
        Worker(task, 60.0)(1)


def test_work_that_hangs_is_stopped_and_the_next_call_works() -> None:
    worker = Worker("time:sleep", 1.0)
    with pytest.raises(WorkerStopped):
        worker(10**6)
    assert worker(0) is None


def test_work_that_kills_its_process_is_reported_and_the_next_call_works() -> None:
    worker = Worker("os:_exit", 60.0)
    for _ in range(2):
        with pytest.raises(WorkerStopped):
            worker(1)


def test_what_the_task_prints_is_no_reply() -> None:
    assert Worker("builtins:print", 60.0)('{"result": 1}') is None
