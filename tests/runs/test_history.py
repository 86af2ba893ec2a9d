"""A run's stories: interleaved, gone on with, failed, unfinished, torn."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeModel, FakeReward, numbered, said
from runs.kit import Breaker, make_run
from tpo.engine.records import Ended, Resumed, Started
from tpo.errors import InputError, JournalError, ModelError
from tpo.models.protocol import Receiver, Request
from tpo.runs.answers import read_answers
from tpo.runs.history import histories, query_history
from tpo.runs.status import run_status
from tpo.runs.store import read_lines

QUERIES = ["Apples?", "Zebras?", "Cherries?", "Dates?"]


def failing(word: str, after: int = 0) -> FakeModel:
    """A model that refuses calls about a word, but for the first few."""
    answer, calls = numbered(), 0

    def answers(request: Request, index: int) -> str | ModelError:
        nonlocal calls
        if word in said(request) or any(word in str(m["content"]) for m in request.messages):
            calls += 1
            if calls > after:
                return ModelError(f"refused: {word}")
        return answer(request, index)

    return FakeModel(answers)


class Slow(FakeModel):
    """A model that other queries overtake."""

    async def generate(self, request: Request, receiver: Receiver) -> None:
        await asyncio.sleep(0.01)
        await super().generate(request, receiver)


async def test_each_query_is_read_once_though_their_lines_are_interleaved(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUERIES, Slow(numbered()), concurrency=20)
    keys = [line.key for line in read_lines(run / "journal.jsonl", lambda key: True)]
    assert sum(one != other for one, other in pairwise(keys)) > len(QUERIES)
    told = list(histories(run))
    assert sorted(one.id for one in told) == ["q0", "q1", "q2", "q3"]
    answers = {answer.id: answer for answer in read_answers(run / "answers.jsonl")}
    for one in told:
        assert one.answer == answers[one.id]
        assert one.result is not None
        assert one.ended is not None
        assert (one.result.answer, one.result.reward) == (one.answer.answer, one.answer.reward)
        assert (one.key, one.error, one.ended.stop) == (one.answer.key, None, "depth")
        assert one.plan is not None
        assert one.plan.query[0]["content"] == QUERIES[int(one.id[1])]
        assert query_history(run, one.id) == one


async def test_a_failed_query_that_was_tried_again_is_read_once_and_whole(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUERIES, failing("Zebras", after=2))
    first = query_history(run, "q1")
    assert first.error is not None
    assert "refused: Zebras" in first.error
    await make_run(tmp_path, QUERIES, retry_failed=True)
    (again,) = [one for one in histories(run) if one.id == "q1"]
    assert [type(r) for r in again.records if isinstance(r, Ended | Resumed)] == [Ended, Resumed, Ended]
    assert len(again.records) > len(first.records)
    assert (again.error, query_history(run, "q1")) == (None, again)
    assert len(list(histories(run))) == len(QUERIES)


async def test_a_finished_query_whose_answer_a_crash_took_is_read_once(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUERIES)
    lines = (run / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (run / "answers.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    lost = msgspec.json.decode(lines[-1])["id"]
    without = {one.id: one.answer for one in histories(run)}
    assert without.pop(lost) is None
    assert None not in without.values()
    assert query_history(run, lost).result is not None
    await make_run(tmp_path, QUERIES)
    assert sorted(one.id for one in histories(run)) == ["q0", "q1", "q2", "q3"]
    assert query_history(run, lost).answer is not None


async def test_an_interrupted_query_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    class Stuck(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            if "Cherries?" in said(request):
                await asyncio.sleep(3600)
            await super().generate(request, receiver)

    run = await make_run(tmp_path, QUERIES[:3], Stuck(numbered()), watcher=Breaker(2))
    assert sorted(one.id for one in histories(run)) == ["q0", "q1"]
    left = query_history(run, "q2")
    assert (left.answer, left.ended, left.error, left.result) == (None, None, None, None)
    assert isinstance(left.records[0], Started)
    found = run_status(run)
    assert (found.state, found.summary.left, found.counted) == ("unfinished", 1, True)


async def test_a_query_that_got_no_answer_at_all_is_read_with_its_error(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUERIES[:2], failing("Apples"))
    told = query_history(run, "q0")
    assert told.result is None
    assert told.error is not None
    assert "refused: Apples" in told.error
    assert {one.id: one.result is None for one in histories(run)} == {"q0": True, "q1": False}
    found = run_status(run)
    assert (found.state, found.summary.done, found.summary.failed) == ("failed", 1, 1)


@pytest.mark.parametrize("torn", [1, 30, 90])
async def test_a_torn_last_line_is_left_out(tmp_path: Path, torn: int) -> None:
    run = await make_run(tmp_path, QUERIES[:2])
    journal = run / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-torn])
    (run / "answers.jsonl").unlink()
    told = list(histories(run))
    assert len(told) == 1
    other = ({"q0", "q1"} - {told[0].id}).pop()
    assert query_history(run, other).ended is None


async def test_a_journal_is_not_kept_in_memory(tmp_path: Path) -> None:
    run = await make_run(tmp_path, [f"{number}?" for number in range(30)], concurrency=1)
    read = iter(histories(run))
    next(read)
    begun = read.gi_frame.f_locals["begun"]  # type: ignore[attr-defined]
    most = max(len(begun) for _ in read)
    assert most <= 2


async def test_a_row_whose_query_changed_before_it_was_answered(tmp_path: Path) -> None:
    run = await make_run(tmp_path, ["old?"])
    (run / "answers.jsonl").unlink()
    (run / "summary.json").unlink()
    await make_run(tmp_path, ["new?"])
    told = query_history(run, "q0")
    assert told.plan is not None
    assert told.plan.query[0]["content"] == "new?"
    (run / "answers.jsonl").unlink()
    assert query_history(run, "q0").records == told.records


async def test_unknown_ids_are_reported_with_those_that_are_near(tmp_path: Path) -> None:
    run = await make_run(tmp_path, [{"id": f"alpaca-{number}", "prompt": "Why?"} for number in range(9)])
    with pytest.raises(InputError, match=r"has begun no query 'alpaka-3'; near are .*alpaca-3"):
        query_history(run, "alpaka-3")
    with pytest.raises(InputError, match="near are alpaca-0, alpaca-1, alpaca-2, alpaca-3, alpaca-4"):
        query_history(run, "alp")
    with pytest.raises(InputError, match="its ids are like alpaca-"):
        query_history(run, "zzzzzz")
    (run / "answers.jsonl").unlink()
    with pytest.raises(InputError, match=r"near are .*alpaca-3"):
        query_history(run, "alpaka-3")


async def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, complaint in (
        (tmp_path, "has no run.json"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "no", "is not"),
    ):
        with pytest.raises(InputError, match=complaint):
            query_history(path, "1")
        with pytest.raises(InputError, match=complaint):
            list(histories(path))


async def test_damage_in_the_middle_is_reported_with_its_line(tmp_path: Path) -> None:
    run = await make_run(tmp_path, QUERIES[:2])
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4][:40] + b"\n"
    (run / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match="line 5"):
        list(histories(run))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1, max_size=3))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    count = -1

    def answer(request: Request, index: int) -> str:
        nonlocal count
        count += 1
        return f"{texts[count % len(texts)]} {count}"

    folder = tmp_path_factory.mktemp("texts")
    run = asyncio.run(make_run(folder, texts_asked(texts), FakeModel(answer), FakeReward(len), depth=0))
    for one in histories(run):
        assert one.plan is not None
        assert one.result is not None
        assert one.result.answer in {c.text for c in one.result.candidates}
        assert one.plan.query == [{"role": "user", "content": f"Why {texts[int(one.id[1])]}?"}]
        assert query_history(run, one.id) == one


def texts_asked(texts: list[str]) -> list[str]:
    return [f"Why {text}?" for text in texts]
