"""Training data: which answers of a pool become what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.engine.records import Plan, SamplingSettings, Started
from tpo.engine.result import Result, Step
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.options import ExportFormat, ExportOptions, PairRule
from tpo.runs.answers import Answer
from tpo.runs.export import Export
from tpo.runs.history import QueryHistory

QUERY: Conversation = [{"role": "user", "content": "Why?"}]


def told(
    *pool: Candidate, query: Conversation = QUERY, reward: str | None = "r", error: str | None = None
) -> QueryHistory:
    """A story with this pool."""
    plan = Plan(query, "tpo", 5, 2, SamplingSettings(), "p", {}, reward)
    result = None
    if pool:
        steps = [Step(0, None, None, None, None, list(pool))]
        result = Result(pool[0].text, pool[0].reward, "tpo", 5, 2, "depth", steps, {}, 1.0, pool[0].id, [])
    return QueryHistory("q", "k" * 16, [Started(plan, "0", "")], result, Answer("q", "k" * 16, 0, error=error))


def pool(*rewards: float | None, **more: Any) -> list[Candidate]:
    """Candidates `a0`, `a1`, … with these rewards."""
    return [Candidate(f"0.{place}", 0, f"a{place}", reward, **more) for place, reward in enumerate(rewards)]


def exported(story: QueryHistory, format: ExportFormat = ExportFormat.DPO, **options: Any) -> list[dict[str, Any]]:
    """The rows of one story, in plain text."""
    return list(Export(ExportOptions(format=format, **{"plain": True} | options)).of([story]))


def why(story: QueryHistory, format: ExportFormat = ExportFormat.DPO, **options: Any) -> str:
    """Why there are no rows."""
    export = Export(ExportOptions(format=format, **options))
    assert list(export.of([story])) == []
    (reason,) = export.left_out
    return reason


def test_a_pair_is_the_best_and_the_worst() -> None:
    (row,) = exported(told(*pool(2.0, 5.0, None, 1.0, 5.0)))
    assert row == {
        "id": "q",
        "prompt": "Why?",
        "chosen": "a1",
        "rejected": "a3",
        "score_chosen": 5.0,
        "score_rejected": 1.0,
    }


def test_chat_messages_are_the_default() -> None:
    query: Conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
    ]
    (row,) = exported(told(*pool(2.0, 1.0), query=query), plain=False)
    assert row["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "a0"}]
    assert row["rejected"] == [{"role": "assistant", "content": "a1"}]


def test_each_worse_answer_from_the_worst_on() -> None:
    story = told(*pool(1.0, 4.0, 2.0, 4.0, 3.0), Candidate("0.9", 0, " a2\n", 2.5))
    rows = exported(story, pairs=PairRule.BEST_EACH)
    assert [(row["chosen"], row["rejected"]) for row in rows] == [("a1", "a0"), ("a1", "a2"), ("a1", "a4")]
    assert [row["rejected"] for row in exported(story, pairs=PairRule.BEST_EACH, max_pairs=2)] == ["a0", "a2"]
    assert [row["rejected"] for row in exported(story, pairs=PairRule.BEST_EACH, min_gap=2.0)] == ["a0", "a2"]


def test_equal_texts_and_equal_rewards_make_no_pair() -> None:
    assert why(told(*pool(1.0, 1.0))) == "without a worse answer"
    assert why(told(Candidate("0.0", 0, "same", 2.0), Candidate("0.1", 0, "same ", 1.0))) == "without a worse answer"
    assert why(told(*pool(2.0, 1.0)), min_gap=1.5) == "without a worse answer by so much"


def test_failed_empty_and_unscored_answers_are_neither_chosen_nor_rejected() -> None:
    bad = [Candidate("1.0", 0, "", 9.0), Candidate("1.1", 0, "b", 9.0, error="broken"), Candidate("1.2", 0, "c")]
    bad += [Candidate("1.3", 0, " \n", -9.0), Candidate("1.4", 0, "d", -9.0, error="broken")]
    (row,) = exported(told(*pool(2.0, 1.0), *bad))
    assert (row["chosen"], row["rejected"]) == ("a0", "a1")
    assert why(told(*bad)) == "without an answer that has a reward"


def test_an_answer_with_words_of_our_prompt_is_not_chosen() -> None:
    leaked = Candidate("1.0", 1, "<improved_answer>", 9.0, leaked="<improved_answer>")
    (row,) = exported(told(*pool(2.0, 1.0), leaked))
    assert (row["chosen"], row["rejected"]) == ("a0", "a1")
    (row,) = exported(told(leaked, *pool(2.0)), ExportFormat.SFT, improved_only=True)
    assert row["completion"] == "a0"


@pytest.mark.parametrize("format", list(ExportFormat))
def test_an_answer_with_words_of_our_prompt_is_not_chosen_where_no_other_is_whole(format: ExportFormat) -> None:
    cut = Candidate("0.0", 0, "half an", 0.4, finish_reason="length")
    leaked = Candidate("0.1", 0, "the improved answer", 0.9, leaked="improved answer")
    worse = Candidate("0.2", 0, "the improved answer!", 0.1, leaked="improved answer")
    assert "all cut off" in why(told(cut, leaked, worse), format)
    assert "words of tpo's prompts" in why(told(leaked, worse), format)
    rows = exported(told(cut, leaked, worse), format, keep_cut=True)
    assert rows[0].get("chosen", rows[0].get("completion")) == "half an"
    assert all("improved" not in row["completion"] for row in rows if row.get("label"))


@pytest.mark.parametrize("finish", ["length", "budget", "deadline", "interrupt"])
def test_an_answer_that_was_cut_off_is_chosen_only_on_request(finish: str) -> None:
    cut = Candidate("1.0", 0, "half an", 9.0, finish_reason=finish)
    assert [row["chosen"] for row in exported(told(*pool(2.0, 1.0), cut))] == ["a0"]
    assert [row["chosen"] for row in exported(told(*pool(2.0, 1.0), cut), keep_cut=True)] == ["half an"]
    assert "--keep-cut" in why(told(cut))
    worst = Candidate("1.0", 0, "half an", 0.0, finish_reason=finish)
    assert [row["rejected"] for row in exported(told(*pool(2.0, 1.0), worst))] == ["half an"]


def test_sft_takes_the_best_answer() -> None:
    (row,) = exported(told(*pool(2.0, 5.0, 1.0)), ExportFormat.SFT)
    assert row == {"id": "q", "prompt": "Why?", "completion": "a1", "score": 5.0}
    assert exported(told(*pool(2.0)), ExportFormat.SFT, min_reward=2.0)
    assert why(told(*pool(2.0)), ExportFormat.SFT, min_reward=2.5) == "with no answer of reward 2.5 or more"
    assert exported(told(*pool(2.0, 3.0)), ExportFormat.SFT, improved_only=True)
    assert "no better than the first" in why(told(*pool(3.0, 3.0)), ExportFormat.SFT, improved_only=True)
    assert "no better than the first" in why(told(*pool(None, 3.0)), ExportFormat.SFT, improved_only=True)


def test_sft_of_a_run_without_a_reward_takes_the_answer() -> None:
    (row,) = exported(told(*pool(None), reward=None), ExportFormat.SFT)
    assert (row["completion"], row["score"]) == ("a0", None)
    assert why(told(*pool(None), reward=None)) == "without a worse answer"


def test_kto_labels_the_best_and_the_rejected() -> None:
    rows = exported(told(*pool(2.0, 5.0, 1.0)), ExportFormat.KTO)
    assert [(row["completion"], row["label"], row["score"]) for row in rows] == [("a1", True, 5.0), ("a2", False, 1.0)]
    rows = exported(told(*pool(2.0, 5.0, 1.0)), ExportFormat.KTO, pairs=PairRule.BEST_EACH)
    assert [row["label"] for row in rows] == [True, False, False]


def test_queries_that_do_not_fit_are_left_out_with_a_reason() -> None:
    image: Conversation = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    called: Conversation = [
        *QUERY,
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "tool", "content": "4"},
    ]
    for query in (image, called):
        assert why(told(*pool(2.0, 1.0), query=query)) == "with tool calls, or with more than text"
    assert why(told(*pool(2.0, 1.0), error="refused")) == "that failed"
    assert why(told()) == "that failed"


def test_a_chat_is_no_plain_text_and_is_left_out() -> None:
    chat: Conversation = [{"role": "system", "content": "Be brief."}, *QUERY]
    export = Export(ExportOptions(format=ExportFormat.SFT, plain=True))
    rows = list(export.of([told(*pool(1.0)), told(*pool(1.0), query=chat), told(*pool(2.0))]))
    assert [row["prompt"] for row in rows] == ["Why?", "Why?"]
    assert dict(export.left_out) == {"that are chats, which are no plain text (without --plain they are exported)": 1}


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}


@pytest.mark.parametrize("format", list(ExportFormat))
def test_answers_that_call_tools_or_were_filtered_are_no_training_data(format: ExportFormat) -> None:
    bad = [
        Candidate("0.7", 0, "<tool_call>f</tool_call>", 9.0, message=CALL),
        Candidate("0.8", 0, "I was cut off by a f", 8.0, finish_reason="content_filter"),
        Candidate("0.9", 0, "<tool_call>f</tool_call>", -9.0, message=CALL),
    ]
    rows = exported(told(*bad, *pool(2.0, 1.0)), format)
    assert not [row for row in rows if "tool_call" in str(row) or "filter" in str(row) or "cut off" in str(row)]
    assert len(rows) == (2 if format is ExportFormat.KTO else 1)
    assert why(told(bad[0]), format) == "whose answers call tools"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"format": ExportFormat.SFT, "min_gap": 1.0}, "for dpo and kto"),
        ({"format": ExportFormat.SFT, "pairs": PairRule.BEST_EACH}, "for dpo and kto"),
        ({"format": ExportFormat.DPO, "min_gap": -1.0}, "at least 0"),
        ({"format": ExportFormat.DPO, "min_gap": float("nan")}, "at least 0"),
        ({"format": ExportFormat.DPO, "pairs": PairRule.BEST_EACH, "max_pairs": 0}, "at least 1"),
        ({"format": ExportFormat.DPO, "max_pairs": 3}, "best-each"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Export(ExportOptions(**options))


CANDIDATES = st.builds(
    Candidate,
    id=st.integers(0, 99).map(str),
    step=st.just(0),
    text=st.sampled_from(["", " ", "a", "a ", "b", "c", "Ω\n"]) | st.text(),
    reward=st.none() | st.floats(-9, 9),
    finish_reason=st.sampled_from(["stop", "length", "error"]),
    error=st.none() | st.just("broken"),
)


@given(st.lists(CANDIDATES, min_size=1, max_size=8), st.sampled_from(PairRule), st.floats(0, 3), st.booleans())
def test_whatever_the_pool_a_pair_is_a_pair(pool: list[Candidate], pairs: PairRule, gap: float, keep: bool) -> None:
    rows = exported(told(*pool), pairs=pairs, min_gap=gap, keep_cut=keep)
    by_text = {(c.text, c.reward): c for c in pool if c.error is None and (keep or c.finish_reason != "length")}
    assert len({row["rejected"].strip() for row in rows}) == len(rows)
    for row in rows:
        assert row["score_chosen"] > row["score_rejected"]
        assert row["score_chosen"] - row["score_rejected"] >= gap
        assert row["chosen"].strip() != row["rejected"].strip()
        assert row["chosen"].strip()
        assert row["rejected"].strip()
        best = by_text[row["chosen"], row["score_chosen"]]
        assert all(c.reward is None or c.reward <= row["score_chosen"] for c in by_text.values() if c.text.strip()), (
            best
        )
