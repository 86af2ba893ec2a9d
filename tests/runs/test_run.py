"""Runs: going on, refusing, failing in part, and what the disk and the servers do on bad days."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeModel, FakeReward, numbered, said
from runs.kit import Breaker, by_number, make_run, reported
from tpo.engine import driver
from tpo.engine.records import Prompted, Sampled
from tpo.errors import InputError, JournalError, ModelError, ModelUnavailable, RewardUnavailable
from tpo.http import retry
from tpo.models.protocol import Receiver, Request
from tpo.runs.answers import read_answers
from tpo.runs.directory import unlocated
from tpo.runs.store import read_lines

QUESTIONS = [f"Question {number}?" for number in range(8)]
GONE = ModelUnavailable("nobody there", unreachable=True)


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]


async def test_every_query_gets_its_answer_and_the_summary_adds_up(tmp_path: Path) -> None:
    report = await reported(tmp_path, QUESTIONS)
    answers = {line["id"]: line for line in lines_of(tmp_path / "run")}
    assert set(answers) == {f"q{number}" for number in range(8)}
    one = answers["q3"]
    assert one["reward"] == by_number(one["answer"]) == one["steps"][-1]["best"]
    assert one["first"]["reward"] == by_number(one["first"]["answer"])
    assert [step["step"] for step in one["steps"]] == [0, 1]
    summary = report.summary
    assert (summary.total, summary.done, summary.failed, summary.left) == (8, 8, 0, 0)
    assert summary.usage["policy"].calls == 8 * 3 and summary.usage["critic"].calls == 8 * 2
    assert summary.calls == sum(used.calls for used in summary.usage.values())
    assert summary.steps[1].wins is not None
    assert summary.steps[1].wins.value == 1.0  # numbers only grow
    assert summary.reward is not None
    assert summary.reward.value == pytest.approx(sum(line["reward"] for line in answers.values()) / 8)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["done"] == 8


async def test_a_finished_run_is_left_alone_without_asking_anybody(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUESTIONS)
    before = (run / "journal.jsonl").read_bytes()
    dead = FakeModel(lambda request, index: GONE)
    report = await reported(tmp_path, QUESTIONS, dead)
    assert report.idle and not dead.requests
    assert (run / "journal.jsonl").read_bytes() == before


async def test_new_rows_are_answered_and_old_ones_kept(tmp_path: Path) -> None:
    await make_run(tmp_path, QUESTIONS[:5])
    model = FakeModel(numbered())
    report = await reported(tmp_path, QUESTIONS, model)
    assert report.summary.done == 8
    assert len(model.requests) == 3 * 8


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"width": 4}, "width was 3 and is 4"),
        ({"depth": 2}, "depth was 1 and is 2"),
        ({"method": "best-of-n"}, "method was 'tpo' and is 'best-of-n'"),
        ({"max_tokens": 9}, "settings.max_tokens was 1024 and is 9"),
        ({"seed": None}, "settings.seed was 1 and is not set"),
        ({"quorum": 2}, "settings.quorum was not set and is 2"),
        ({"budget_tokens": 500}, "budget.tokens was not set and is 500"),
        ({"model": FakeModel(numbered(), name="other")}, "models.policy was 'fake' and is 'other'"),
        ({"reward": FakeReward(by_number, name="other")}, "reward was 'fake-reward' and is 'other'"),
    ],
)
async def test_another_configuration_is_refused_with_the_difference(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    await make_run(tmp_path, QUESTIONS[:2])
    with pytest.raises(InputError, match="another configuration") as refused:
        await make_run(tmp_path, QUESTIONS[:2], **change)
    assert complaint in str(refused.value)


async def test_other_data_is_refused(tmp_path: Path) -> None:
    await make_run(tmp_path, QUESTIONS)
    with pytest.raises(InputError, match=r"answers to 3 queries that are not in .*data.jsonl: q5, q6, q7"):
        await make_run(tmp_path, QUESTIONS[:5])


async def test_fresh_puts_aside_what_is_there(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUESTIONS[:2])
    old = (run / "answers.jsonl").read_bytes()
    (run / "answers.parquet").write_bytes(b"a table")
    for width in (4, 5):
        await make_run(tmp_path, QUESTIONS[:2], width=width, fresh=True)
    assert (run / "before-1" / "answers.jsonl").read_bytes() == old
    assert (run / "before-1" / "answers.parquet").exists() and not (run / "answers.parquet").exists()
    assert json.loads((run / "before-2" / "run.json").read_text())["recipe"]["width"] == 4
    assert len(lines_of(run)) == 2


async def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    report = await reported(tmp_path, QUESTIONS, watcher=Breaker(3), concurrency=6)
    assert report.stopped and report.summary.left
    model = FakeModel(numbered("again"))
    report = await reported(tmp_path, QUESTIONS, model)
    assert not report.stopped and report.summary.done == 8
    paid = [line.record for line in read_lines(tmp_path / "run" / "journal.jsonl", lambda key: True)]
    assert len({line["id"] for line in lines_of(tmp_path / "run")}) == 8
    assert sum(isinstance(record, Sampled) for record in paid) >= 8 * 6


async def test_one_bad_query_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    numbers = numbered()

    def answer(request: Request, index: int) -> str | ModelError:
        return ModelError("this one is refused") if "Question 3" in said(request) else numbers(request, index)

    report = await reported(tmp_path, QUESTIONS, FakeModel(answer))
    assert (report.summary.done, report.summary.failed) == (7, 1)
    assert report.summary.errors == {"this one is refused": 1}
    (bad,) = [line for line in lines_of(tmp_path / "run") if line["error"]]
    assert (bad["id"], bad["answer"], bad["error"]) == ("q3", None, "this one is refused")
    # As it stands it is finished; on request it is tried again.
    assert (await reported(tmp_path, QUESTIONS, FakeModel(numbered()))).idle
    model = FakeModel(numbered())
    again = await reported(tmp_path, QUESTIONS, model, retry_failed=True)
    assert (again.summary.done, again.summary.failed) == (8, 0)
    assert len(model.requests) == 8


async def test_a_bug_in_a_reward_costs_its_query_alone(tmp_path: Path) -> None:
    def value(text: str) -> float | Exception:
        return RuntimeError("oops") if text.endswith(" 7") else by_number(text)

    report = await reported(tmp_path, QUESTIONS, reward=FakeReward(value))
    assert report.summary.failed == 1
    assert report.summary.done == 7


@pytest.mark.usefixtures("_no_waiting")
async def test_a_server_that_is_gone_for_long_costs_nothing(tmp_path: Path) -> None:
    numbers = numbered()
    gone = 0

    def answer(request: Request, index: int) -> str | ModelError:
        nonlocal gone
        if 40 <= len(model.requests) < 400:
            gone += 1
            return ModelUnavailable("nobody there", unreachable=True)
        return numbers(request, index)

    model = FakeModel(answer)
    report = await reported(tmp_path, QUESTIONS, model)
    assert gone > 300
    assert (report.summary.done, report.summary.failed) == (8, 0)
    assert report.summary.retries == gone


@pytest.mark.usefixtures("_no_waiting")
async def test_a_server_that_stays_away_ends_the_run_and_not_the_queries(tmp_path: Path) -> None:
    numbers = numbered()

    def answer(request: Request, index: int) -> str | ModelError:
        if len(model.requests) > 30:
            return ModelUnavailable("nobody there", unreachable=True)
        return numbers(request, index)

    model = FakeModel(answer)
    with pytest.raises(ModelUnavailable, match="nobody there"):
        await reported(tmp_path, QUESTIONS, model, patience=0.05)
    assert not [line for line in lines_of(tmp_path / "run") if line["error"]]
    report = await reported(tmp_path, QUESTIONS)
    assert (report.summary.done, report.summary.failed) == (8, 0)


async def test_a_reward_that_stays_away_ends_the_run_and_not_the_queries(tmp_path: Path) -> None:
    away = FakeReward(lambda text: RewardUnavailable("nobody there"))
    with pytest.raises(RewardUnavailable):
        await reported(tmp_path, QUESTIONS, reward=away, patience=0.01)
    model = FakeModel(numbered())
    report = await reported(tmp_path, QUESTIONS, model)
    assert (report.summary.done, report.summary.failed) == (8, 0)
    assert len(model.requests) < 8 * 8  # what was drawn before was not drawn again


@pytest.mark.usefixtures("_no_waiting")
async def test_a_query_that_breaks_the_server_each_time_is_given_up(tmp_path: Path) -> None:
    numbers = numbered()

    def answer(request: Request, index: int) -> str | ModelError:
        return ModelUnavailable("500") if "Question 3" in said(request) else numbers(request, index)

    report = await reported(tmp_path, QUESTIONS, FakeModel(answer))
    assert (report.summary.done, report.summary.failed) == (7, 1)


async def test_the_clock_may_go_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await reported(tmp_path, QUESTIONS, watcher=Breaker(3), concurrency=4)
    monkeypatch.setattr(driver, "_now", lambda: "1999-01-01T00:00:00+00:00")
    report = await reported(tmp_path, QUESTIONS)
    assert report.summary.done == 8
    assert all(line["seconds"] >= 0 for line in lines_of(tmp_path / "run"))


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUESTIONS[:1])
    hold = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(); input()"
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", hold, str(run / "lock")), stdin=pipe, stdout=pipe
    )
    assert other.stdout is not None
    await other.stdout.readline()
    with pytest.raises(InputError, match="Another process is at work"):
        await make_run(tmp_path, QUESTIONS)
    other.kill()
    await other.wait()
    await make_run(tmp_path, QUESTIONS)


@pytest.mark.parametrize("file", ["journal.jsonl", "answers.jsonl"])
async def test_a_torn_last_line_costs_only_itself(tmp_path: Path, file: str) -> None:
    await reported(tmp_path, QUESTIONS, watcher=Breaker(3), concurrency=4)
    path = tmp_path / "run" / file
    path.write_bytes(path.read_bytes()[:-5])
    report = await reported(tmp_path, QUESTIONS)
    assert report.summary.done == 8
    assert len({answer.id for answer in read_answers(tmp_path / "run" / "answers.jsonl")}) == 8


async def test_answers_that_a_crash_took_come_back_from_the_journal(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUESTIONS)
    before = {line["id"]: line["answer"] for line in lines_of(run)}
    (run / "answers.jsonl").unlink()
    model = FakeModel(numbered("other"))
    await make_run(tmp_path, QUESTIONS, model)
    assert not model.requests
    assert {line["id"]: line["answer"] for line in lines_of(run)} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_reported_and_what_is_there_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "journal.jsonl").symlink_to("/dev/full")
    with pytest.raises(JournalError, match="No space left on device"):
        await make_run(tmp_path, QUESTIONS)
    assert not lines_of(run)
    (run / "journal.jsonl").unlink()
    assert (await reported(tmp_path, QUESTIONS)).summary.done == 8


async def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        await make_run(tmp_path, QUESTIONS)


async def test_bad_rows_stop_everything_before_any_call_or_are_left_out(tmp_path: Path) -> None:
    model = FakeModel(numbered())
    rows: list[str | dict[str, Any]] = [*QUESTIONS[:2], {"id": "x", "prompt": ""}, {"id": "y", "prompt": 7}]
    with pytest.raises(InputError, match=r"(?s)2 rows are no query.*data.jsonl, line 3.*line 4.*--on-bad-row skip"):
        await make_run(tmp_path, rows, model)
    assert not model.requests
    report = await reported(tmp_path, rows, model, skip_bad_rows=True)
    assert (report.summary.total, report.summary.done, report.summary.bad_rows) == (2, 2, 2)


async def test_answers_in_the_order_of_the_data_and_as_a_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    waits = {"Question 0?": 60, "Question 2?": 30}

    class Slow(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            for _ in range(waits.get(said(request), 0)):
                await asyncio.sleep(0)
            await super().generate(request, receiver)

    run = await make_run(tmp_path, QUESTIONS, Slow(numbered()), input_order=True, parquet=True)
    assert [line["row"] for line in lines_of(run)] == list(range(8))
    table = parquet.read_table(run / "answers.parquet").to_pylist()
    assert [row["answer"] for row in table] == [line["answer"] for line in lines_of(run)]
    assert {used["role"] for used in table[0]["usage"]} == {"policy", "critic", "editor", "reward"}


async def test_a_straggler_is_left_behind(tmp_path: Path) -> None:
    class Straggling(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            if (request.seed or 0) % 5 == 0:
                await asyncio.sleep(3600)
            await super().generate(request, receiver)

    # Every place has its own seeds; of five in a row, one never comes back.
    report = await reported(tmp_path, QUESTIONS, Straggling(numbered()), width=5, depth=1, quorum=3, method="best-of-n")
    assert report.summary.done == 8
    records = [line.record for line in read_lines(tmp_path / "run" / "journal.jsonl", lambda key: True)]
    left = [record for record in records if isinstance(record, Sampled) and record.finish_reason == "left-behind"]
    assert len(left) >= 8
    assert all("3 of 5 answers were there" in (record.error or "") for record in left)


async def test_calls_of_deeper_searches_go_first(tmp_path: Path) -> None:
    model = FakeModel(numbered())
    await make_run(tmp_path, [f"Question {number}?" for number in range(30)], model, concurrency=3, width=1)
    finished_first = [line["row"] for line in lines_of(tmp_path / "run")][:5]
    assert max(finished_first) < 10
    assert model.most_live == 3


async def test_no_more_queries_are_open_than_sequences_may_be_live(tmp_path: Path) -> None:
    class Watched(FakeReward):
        most = 0

        async def score(self, conversations: Any) -> Any:
            records = [line.record for line in read_lines(tmp_path / "run" / "journal.jsonl", lambda key: True)]
            begun = sum(isinstance(record, Prompted) and record.turn == 0 for record in records)
            Watched.most = max(Watched.most, begun - len(lines_of(tmp_path / "run")))
            await asyncio.sleep(0.02)
            return await super().score(conversations)

    await make_run(tmp_path, [f"Question {number}?" for number in range(30)], reward=Watched(by_number), concurrency=4)
    assert Watched.most <= 4


def test_a_server_that_moves_is_the_same_and_nothing_secret_is_written() -> None:
    assert unlocated({"a": ["x"], "b": "vllm:http://me:secret@host:8000/classify?x=1"}) == {
        "a": ["x"],
        "b": "vllm:http:///classify?x=1",
    }
