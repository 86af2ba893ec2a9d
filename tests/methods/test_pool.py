"""The pool's rules, and what the reference implementation trips over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.methods import Pool


def pool(*candidates: tuple[str, float | None]) -> Pool:
    made = Pool()
    made.add(Candidate(f"0.{i}", 0, text, reward) for i, (text, reward) in enumerate(candidates))
    return made


def test_ties_go_to_the_earliest() -> None:
    tied = pool(("a", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.0))
    assert tied.chosen.id == "0.0"
    assert tied.rejected is not None
    assert tied.rejected.id == "0.2"


def test_the_best_few_are_ranked_by_the_same_rule() -> None:
    tied = pool(("a", 1.0), ("b", 2.0), ("c", 1.0), ("b", 2.0), ("", None), ("d", None))
    assert [one.text for one in tied.ranked(2)] == ["b", "a"]
    assert [one.text for one in tied.ranked()] == ["b", "a", "c", "d"]


def test_a_candidate_without_a_reward_neither_wins_nor_serves_as_contrast() -> None:
    mixed = pool(("unscored", None), ("bad", -1e9), ("good", 1.0))
    assert mixed.chosen.text == "good"
    assert mixed.rejected is not None
    assert mixed.rejected.text == "bad"


def test_duplicates_stay_on_record_but_out_of_the_contrast() -> None:
    repeated = pool(("same", 1.0), ("same", 0.5))
    assert len(repeated.candidates) == 2
    assert repeated.rejected is None
    assert repeated.add([Candidate("1.0", 1, "same", 2.0)]) == []
    assert len(repeated.candidates) == 3


def test_without_rewards_the_first_text_is_the_answer() -> None:
    assert pool(("", None), ("text", None), ("more", None)).chosen.text == "text"
    assert pool(("", None), ("", None)).chosen.id == "0.0"


@given(st.lists(st.tuples(st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_there_is_always_an_answer_and_the_rejected_one_is_worse(
    entries: list[tuple[str, float | None]],
) -> None:
    made = pool(*entries)
    chosen, rejected = made.chosen, made.rejected
    rewards = [reward for _, reward in entries if reward is not None]
    assert chosen.reward == max(rewards, default=None)
    if rejected is not None:
        assert chosen.reward is not None
        assert rejected.reward is not None
        assert rejected.reward < chosen.reward
        assert rejected.text != chosen.text
