"""Searches that end early, by hand: five answers, advice of 30 tokens, then two more and again 30 tokens of advice."""

from __future__ import annotations

import msgspec
import pytest

from tpo.evals.benchmarks.protocol import Column
from tpo.experiments.differences import gaps_at_equal_tokens
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.results import ModelResults
from tpo.experiments.shortened import after, shortened


def outcome(method: str, query: str, rewards: list[list[float | None]], completion: int) -> QueryOutcome:
    """A search whose answers took 10 tokens each; a list of rewards for each step."""
    seen = [CandidateOutcome(step, reward, 10, 40) for step, some in enumerate(rewards) for reward in some]
    best = max(reward for some in rewards for reward in some if reward is not None)
    return QueryOutcome("m", method, 1, query, best, {}, completion, 5, 1, 1, 1.0, 40, "depth", seen)


def by_reward(seen: CandidateOutcome) -> float | None:
    return seen.reward


SEARCH = outcome("tpo", "a", [[0.1, 0.3], [0.2, 0.6], [0.9]], completion=50 + 60)


@pytest.mark.parametrize(
    ("n", "value", "tokens"),
    [(1, 0.1, 10), (2, 0.3, 20), (3, 0.3, 60), (4, 0.6, 70), (5, 0.9, 110), (9, 0.9, 110)],
)
def test_advice_is_paid_before_the_first_answer_of_its_step(n: int, value: float, tokens: float) -> None:
    found = after(SEARCH, n, by_reward)
    assert (found.value, found.tokens) == pytest.approx((value, tokens))


def test_advice_is_paid_before_its_first_answer_and_not_before_each_wave() -> None:
    waves = outcome("tpo", "a", [[0.1], [0.3], [0.2], [0.6], [0.9]], completion=50 + 60)
    rounds = [0, 0, 1, 1, 2]
    waves.candidates[:] = [
        msgspec.structs.replace(one, round=number) for one, number in zip(waves.candidates, rounds, strict=True)
    ]
    assert [after(waves, n, by_reward).tokens for n in (1, 2, 3, 4, 5)] == pytest.approx([10, 20, 60, 70, 110])


def test_an_answer_with_words_of_ours_ranks_last_and_failed_ones_count_their_tokens() -> None:
    leaked = [CandidateOutcome(0, 0.9, 10, 40, leaked=True), CandidateOutcome(0, 0.2, 10, 40)]
    search = outcome("tpo", "a", [[0.9]], completion=20)
    search.candidates[:] = leaked
    assert after(search, 2, by_reward).value == 0.2
    failed = outcome("tpo", "a", [[None, 0.4]], completion=20)
    assert after(failed, 1, by_reward)[:2] == pytest.approx((0.4, 10))


def test_a_search_that_failed_with_one_seed_is_left_out() -> None:
    failed = msgspec.structs.replace(SEARCH, seed=2, reward=None, candidates=[CandidateOutcome(0, None, 10, 40)] * 2)
    cheap = outcome("words", "a", [[0.5, 0.4]], completion=20)
    results = ModelResults("m", [SEARCH, failed, cheap], ["tpo", "words"], [], None, None)
    (gap,) = gaps_at_equal_tokens(results, ["tpo"])
    assert gap.gap.value == pytest.approx(0.5 - 0.3)
    graded = [msgspec.structs.replace(one, values={"grade": 0.0}) for one in (failed, cheap)]
    results = ModelResults("m", graded, ["tpo", "words"], [Column("grade", "grade", "%", "by hand")], None, None)
    assert results.methods == ["tpo", "words"]
    assert gaps_at_equal_tokens(results, ["tpo"]) == []


def test_an_answer_with_a_grade_and_no_reward_ranks_below_one_with_words_of_ours() -> None:
    seen = [CandidateOutcome(0, None, 10, 40, 1.0), CandidateOutcome(0, 0.9, 10, 40, 0.25, leaked=True)]
    assert after(msgspec.structs.replace(SEARCH, candidates=seen), 2, lambda one: one.value).value == 0.25


def test_two_searches_share_a_mean_of_tokens() -> None:
    other = outcome("tpo", "b", [[0.0, 0.2], [0.4, 0.4], [0.4]], completion=110)
    results = ModelResults("m", [SEARCH, other], ["tpo"], [], None, None)
    # Three answers cost 60 tokens and four 70, so 65 is half of each.
    n, each = shortened(results, "tpo", ["a", "b"], 65)
    assert n == pytest.approx(3.5)
    assert [one.value for one in each] == pytest.approx([(0.3 + 0.6) / 2, (0.4 + 0.4) / 2])


def test_a_cheaper_method_is_compared_with_a_baseline_that_ends_early() -> None:
    cheap = outcome("words", "a", [[0.5, 0.4]], completion=20)
    results = ModelResults("m", [SEARCH, cheap], ["tpo", "words"], [], None, None)
    (gap,) = gaps_at_equal_tokens(results, ["tpo"])
    assert (gap.method, gap.other, gap.note) == ("words", "tpo, ended early", "after 2.0 answers")
    assert gap.gap.value == pytest.approx(0.5 - 0.3)
    # Nothing is said of a baseline that costs less, since it cannot be made longer.
    assert gaps_at_equal_tokens(results, ["words"]) == []
