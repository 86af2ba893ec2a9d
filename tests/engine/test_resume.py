"""The journal: replay gives the same object, and a run continues from any place it was broken off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kit import drive
from fakes import FakeModel, FakeReward, numbered
from tpo.api import replay
from tpo.engine.journal import Journal, TraceFile, read_journal
from tpo.engine.limits import Budget
from tpo.engine.log import cut_torn_line
from tpo.engine.records import (
    Called,
    Ended,
    Plan,
    Rated,
    Record,
    Replied,
    Resumed,
    Sampled,
    SamplingSettings,
    Scored,
    Started,
)
from tpo.engine.result import Result, result_of
from tpo.errors import JournalError, ModelError, ModelUnavailable
from tpo.messages import Conversation
from tpo.models.protocol import Request, Usage
from tpo.rewards import call
from tpo.rewards.protocol import Score


def by_seed(request: Request, index: int) -> str:
    return f"answer to seed {(request.seed or 0) % 1000}"


async def test_a_replayed_trace_gives_the_same_result(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    result = await drive(FakeModel(by_seed), seed=3, journal=Journal(TraceFile(path)))
    assert replay(path) == result


async def test_a_run_broken_off_anywhere_goes_on_without_paying_twice(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    whole = FakeModel(by_seed)
    reward = FakeReward(lambda t: float(sum(map(ord, t))))
    expected = await drive(whole, reward, seed=3, journal=Journal(TraceFile(path)))
    records, _ = read_journal(path)
    for kept in range(1, len(records)):
        past = records[:kept]
        model, again = FakeModel(by_seed), FakeReward(reward.value)
        journal = Journal(None, past)
        result = await drive(model, again, seed=3, journal=journal)
        assert (result.answer, result.reward, result.stop) == (expected.answer, expected.reward, "depth")
        assert result.steps == expected.steps
        paid = sum(isinstance(record, Sampled | Replied) for record in past)
        assert len(model.requests) == len(whole.requests) - paid
        scored = {record.id for record in past if isinstance(record, Scored)}
        assert len(again.scored) == len(set(reward.scored)) - len(scored)


async def test_a_resumed_run_counts_what_was_spent_before() -> None:
    journal = Journal()
    await drive(FakeModel(by_seed), seed=3, journal=journal)
    cut = next(i for i, r in enumerate(journal.records) if isinstance(r, Replied))
    resumed = await drive(FakeModel(by_seed), seed=3, journal=Journal(None, journal.records[: cut + 1]))
    assert resumed.usage["policy"].calls == 3
    assert resumed.usage["critic"].calls == 4


async def test_a_resumed_run_whose_budget_is_spent_still_has_its_answers() -> None:
    journal = Journal()
    expected = await drive(FakeModel(by_seed), seed=3, budget=Budget(tokens=120), journal=journal)
    assert expected.stop == "budget"
    model = FakeModel(by_seed)
    again = await drive(model, seed=3, budget=Budget(tokens=120), journal=Journal(None, journal.records))
    assert model.requests == []
    assert (again.answer, again.reward, again.stop) == (expected.answer, expected.reward, "budget")
    more = await drive(FakeModel(by_seed), seed=3, budget=Budget(tokens=10_000), journal=Journal(None, journal.records))
    assert more.stop == "depth"


class Judging(FakeReward):
    """A judge whose calls use tokens."""

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        call.spend(100, 0, 5)
        return await super().score(conversations)


@pytest.mark.parametrize("select", ["best", "knockout:1"])
async def test_a_run_that_was_killed_anywhere_ends_as_one_that_was_not(select: str) -> None:
    def answer(request: Request, index: int) -> str:
        return "Verdict: B" if "Verdict" in str(request.messages) else by_seed(request, index)

    async def run(tokens: int, journal: Journal) -> Result:
        budget, judge = Budget(tokens=tokens), Judging(lambda text: -float(len(text)), "judge")
        model = FakeModel(answer)
        return await drive(model, seed=3, journal=journal, budget=budget, judge=judge, select=select, depth=1)

    free = Journal()
    await run(10_000, free)
    spent = sum(record.usage.total for record in free.records if isinstance(record, Called) and record.role != "judge")
    for tokens in (spent + 1, spent, spent - 1, spent // 2):
        whole = Journal()
        expected = await run(tokens, whole)
        assert expected.stop == ("depth" if tokens > spent else "budget")
        last = max(place for place, record in enumerate(whole.records) if isinstance(record, Sampled | Called))
        # Killed after the search was over and before its end was written down, the judge's scores included.
        for kept in range(last, len(whole.records)):
            again = await run(tokens, Journal(None, whole.records[:kept]))
            assert (again.answer, again.stop) == (expected.answer, expected.stop)
            assert again.held_out == expected.held_out


async def test_failed_answers_are_drawn_again_on_resume() -> None:
    journal = Journal()
    await drive(FakeModel(by_seed), method="best-of-n", seed=3, journal=journal)
    lost: dict[type, dict[str, Any]] = {
        Sampled: {"error": "lost", "text": ""},
        Scored: {"error": "lost", "reward": None},
    }
    broken: list[Record] = [
        msgspec.structs.replace(r, **lost[type(r)]) if isinstance(r, Sampled | Scored) and r.index == 1 else r
        for r in journal.records
        if not isinstance(r, Ended)
    ]
    model = FakeModel(by_seed)
    result = await drive(model, method="best-of-n", seed=3, journal=Journal(None, broken))
    assert len(model.requests) == 1
    assert all(c.error is None for c in result.candidates)


async def test_an_answer_that_replaces_a_cut_off_one_does_not_get_its_reward() -> None:
    journal = Journal()
    whole = await drive(FakeModel(by_seed), method="best-of-n", width=1, seed=3, journal=journal)
    drawn = next(record for record in journal.records if isinstance(record, Sampled))
    scored = next(record for record in journal.records if isinstance(record, Scored))
    # Stopped before any reward, continued, and killed between the whole answer and its score.
    begun = journal.records[: journal.records.index(drawn)]
    cut = msgspec.structs.replace(drawn, text=drawn.text[:3], finish_reason="interrupt")
    past = [*begun, cut, msgspec.structs.replace(scored, reward=99.0), Ended("interrupt", cut.id, 1.0)]
    past += [Resumed(1.0, "now"), drawn]
    model, reward = FakeModel(by_seed), FakeReward(lambda text: float(len(text)))
    result = await drive(model, reward, method="best-of-n", width=1, seed=3, journal=Journal(None, past))
    assert (result.answer, result.reward) == (whole.answer, whole.reward)
    assert (model.requests, reward.scored) == ([], [drawn.text])


async def test_an_answer_that_parts_were_scored_after_is_not_drawn_again() -> None:
    calls, lost = 0, 0

    def answer(request: Request, index: int) -> str | ModelError:
        nonlocal calls
        calls += 1
        return ModelUnavailable("lost") if request.seed == lost else f"{calls} first.\n\n{calls} second."

    probe = FakeModel(by_seed)
    await drive(probe, method="best-of-n", width=2, seed=3)
    lost = probe.requests[1].seed or 0
    whole = await drive(FakeModel(answer), method="segments", width=2, depth=1, seed=3)
    assert [c.error for c in whole.steps[0].candidates] == [None, "lost"]
    cut = next(place for place, record in enumerate(whole.trace) if isinstance(record, Rated))
    model = FakeModel(by_seed)
    begun = Journal(None, whole.trace[: cut + 1])
    resumed = await drive(model, method="segments", width=2, depth=1, seed=3, journal=begun)
    assert [c.error for c in resumed.steps[0].candidates] == [None, "lost"]
    assert lost not in [request.seed for request in model.requests]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Sampled,
        turn=st.integers(0),
        action=st.integers(0),
        index=st.integers(0),
        step=st.integers(0),
        id=st.text(),
        text=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
        finish_reason=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
        tokens=st.integers(0, 10**9),
    ),
    st.builds(Replied, st.integers(0), st.integers(0), st.integers(0), st.just("loss"), st.text()),
    st.builds(
        Scored,
        st.integers(0),
        st.integers(0),
        st.integers(0),
        st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
)
STARTED = Started(Plan([{"role": "user", "content": "hi"}], "tpo", 1, 0, SamplingSettings(), "p", {}, None), "0", "now")


@given(st.lists(RECORDS, max_size=5), st.integers(min_value=0))
def test_any_text_survives_the_file_and_a_torn_line_costs_only_itself(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "trace.jsonl"
    journal = Journal(TraceFile(path))
    for record in (STARTED, *records):
        journal.append(record)
    journal.close()
    assert read_journal(path) == ([STARTED, *records], None)
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    kept = first + cut % (len(data) - first + 1)
    path.write_bytes(data[:kept])
    read, torn = read_journal(path)
    whole = data[:kept].count(b"\n")
    assert read == [STARTED, *records][:whole]
    assert (torn is None) == data[:kept].endswith(b"\n")
    cut_torn_line(path)
    more = Journal(TraceFile(path), read)
    more.append(STARTED)
    more.close()
    assert read_journal(path) == ([*read, STARTED], None)


def test_a_file_that_is_no_trace_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    for text, complaint in (
        ("hello\n", "line 1"),
        ("{}\n", "line 1"),
        ("", "does not begin"),
        (msgspec.json.encode(Ended("depth", None, 0.0)).decode() + "\n", "does not begin"),
        (msgspec.json.encode(STARTED).decode() + "\n[1]\n", "line 2"),
    ):
        path.write_text(text)
        with pytest.raises(JournalError, match=complaint):
            read_journal(path)
    with pytest.raises(JournalError, match="cannot be read"):
        read_journal(tmp_path / "nowhere")
    path.write_text(msgspec.json.encode(STARTED).decode() + "\n")
    with pytest.raises(JournalError, match="no answer yet"):
        replay(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_reported_and_ends_the_run() -> None:
    with pytest.raises(JournalError, match="No space left on device"):
        await drive(FakeModel(numbered()), journal=Journal(TraceFile(Path("/dev/full"))))


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written"):
        TraceFile(tmp_path)


def test_seconds_of_overlapping_calls_count_once() -> None:
    calls = [Called(0, 0, "policy", began, 2.0, Usage(completion_tokens=1)) for began in (0.0, 1.0, 5.0)]
    sampled = Sampled(0, 0, 0, 0, "0.0", "hi", "stop", 1)
    usage = result_of([STARTED, *calls, sampled]).usage["policy"]
    assert (usage.calls, usage.completion_tokens, usage.seconds) == (3, 3, 5.0)
