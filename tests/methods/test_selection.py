"""Selection rules, by the numbers of their papers that can be counted by hand, and over any pool."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import conversation
from tpo.methods import Ask, BudgetSpent, Outcome, Pool, Reply, Sample, Search, find_method
from tpo.methods.hedging import MOST, hedged
from tpo.methods.kinds import marked_result, similarities
from tpo.methods.selection import _RULES, TEMPLATES, mbr_scores, parse_selection, soft_odds
from tpo.prompts import PromptSet

QUERY = conversation("How do I clean a table?")
PROMPTS = PromptSet(method=[TEMPLATES])


def answers(*rewards: float | None, texts: list[str] | None = None, **parts: float) -> list[Candidate]:
    return [
        Candidate(f"0.{i}", 0, texts[i] if texts else f"number {i}", reward, parts) for i, reward in enumerate(rewards)
    ]


def search_for(rule: str, width: int, seed: int = 0, required: list[str] | None = None) -> Search:
    search = find_method("best-of-n").start(QUERY, width=width, depth=0, prompts=PROMPTS)
    return parse_selection(rule).applied(search, QUERY, PROMPTS, random.Random(seed), required or [])


def chosen_by(rule: str, candidates: list[Candidate], seed: int = 0, required: list[str] | None = None) -> Candidate:
    search = search_for(rule, len(candidates), seed, required)
    assert isinstance(next(search), Sample)
    with pytest.raises(StopIteration) as end:
        search.send(candidates)
    outcome: Outcome = end.value.value
    return outcome.chosen


def test_soft_by_hand() -> None:
    assert soft_odds([0, 1, 2], 1.0) == pytest.approx([0.0900, 0.2447, 0.6652], abs=5e-5)
    assert soft_odds([0, 1, 2], 0.0) == pytest.approx([1 / 3] * 3)
    assert chosen_by("soft:1000", answers(0.1, 0.9, 0.5)).id == "0.1"
    picks = Counter(chosen_by("soft:0", answers(0.1, 0.9, 0.5), seed).id for seed in range(300))
    assert min(picks.values()) > 60


def test_mbr_by_hand() -> None:
    alike = [[1, 0.2, 0.3], [0.2, 1, 0.8], [0.3, 0.8, 1]]
    assert mbr_scores([1, 0.9, 0.2], alike, 0.5) == pytest.approx([1.25, 1.2333, 0.55], abs=5e-5)
    scores = mbr_scores([1, 0.9, 0.2], alike, 1.0)
    assert scores.index(max(scores)) == 1
    assert scores[1] == pytest.approx(1.567, abs=5e-4)


def test_mbr_prefers_what_others_contain_too() -> None:
    texts = ["buy my soap today", "wipe the table with a damp cloth", "wipe the table with a wet cloth"]
    assert chosen_by("mbr:0", answers(1.0, 0.9, 0.2, texts=texts)).id == "0.0"
    assert chosen_by("mbr:2", answers(1.0, 0.9, 0.2, texts=texts)).id == "0.1"


def test_majority_takes_the_best_of_the_frequent_kinds() -> None:
    by_parts = [
        Candidate("0.0", 0, "a", 1.0, {"fox": 1.0, "short": 1.0}),
        Candidate("0.1", 0, "b", 0.6, {"fox": 1.0, "short": 0.0}),
        Candidate("0.2", 0, "c", 0.7, {"fox": 1.0, "short": 0.0}),
    ]
    assert chosen_by("majority:0.5", by_parts).id == "0.2"
    assert chosen_by("majority:0", by_parts).id == "0.0"
    texts = ["four", "It is 5 apples.", "It is 5 apples!", "seven"]
    assert chosen_by("majority", answers(1.0, 0.2, 0.3, 0.9, texts=texts)).text == "It is 5 apples!"


def test_majority_counts_the_results_that_answers_mark() -> None:
    texts = [
        r"Each eats 7, so \boxed{7}",
        r"3 + 2 = 5, and the result is \boxed{5}",
        "Four plus one.\n**Answer: 5.0**",
        "So the answer is 5 apples.",
        "No idea.",
    ]
    assert chosen_by("majority:1", answers(1.0, 0.2, 0.4, 0.3, 0.9, texts=texts)).text == texts[2]
    # Most mark no result: then only the texts count, and of five different ones the best is the answer.
    texts = ["nothing", "It is unclear.", "Who could know?", r"\boxed{5}", r"Surely \boxed{5}"]
    assert chosen_by("majority:1", answers(1.0, 0.2, 0.4, 0.3, 0.9, texts=texts)).text == texts[0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (r"\boxed{1,200}", "1200"),
        (r"\boxed{\$1200.00}", "1200"),
        ("The answer is 1200 dollars.", "1200"),
        ("**Answer:** 1,200", "1200"),
        (r"\boxed{1/2}", "1/2"),
        ("Answer: 0.5", "1/2"),
        ("Answer: Paris.", "paris"),
        ("The answer is 1/0.", "1/0"),
        (f"Answer: {'9' * 5000}", "9" * 5000),
        (r"it is \boxed{", None),
        ("so it is 5", None),
    ],
)
def test_results_in_one_spelling(text: str, result: str | None) -> None:
    assert marked_result(text) == result


@given(st.text())
def test_any_text_has_a_result_or_none(text: str) -> None:
    for form in (text, f"Answer: {text}", rf"\boxed{{{text}}}", f"The answer is {text}."):
        assert marked_result(form) is None or marked_result(form)


def test_hedged_takes_the_best_of_some() -> None:
    assert chosen_by("hedged:500", answers(0.1, 0.9, 0.5)).id == "0.1"
    picks = Counter(chosen_by("hedged:0", answers(0.1, 0.9, 0.5), seed).id for seed in range(300))
    assert min(picks.values()) > 60


def poisson_worth(mean: float) -> float:
    """The mean over 1 + a Poisson number of N / ((N+12)(N+13))."""
    chance, total = math.exp(-mean), 0.0
    for n in range(1, 200):
        total += chance * n / ((n + 12) * (n + 13))
        chance *= mean / n
    return total


def test_hedge_tuning_by_hand() -> None:
    # The true value u^12 (1-u) of the quantile u makes N / ((N+12)(N+13)), which is largest at the root of 156.
    quantiles = [(i + 0.5) / 3000 for i in range(3000)]
    true = [u**12 * (1 - u) for u in quantiles]
    assert hedged(quantiles, true, "best-of-n") == pytest.approx(156**0.5, rel=0.01)
    # Best of Poisson: the best of 1 + k with chance e^-mean mean^k / k!, of which no other mean makes more.
    mean = hedged(quantiles, true)
    worth = {shift: poisson_worth(mean * shift) for shift in (0.97, 1.0, 1.03)}
    assert max(worth, key=worth.__getitem__) == 1.0
    assert hedged(quantiles, quantiles) == MOST
    assert hedged(quantiles, [-u for u in quantiles], "best-of-n") == 1.0
    with pytest.raises(ValueError, match="3000 rewards and 2 truths"):
        hedged(quantiles, [1.0, 2.0])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=8), st.randoms())
def test_the_number_to_trust_a_reward_with_is_the_same_in_any_order(
    pairs: list[tuple[int, int]], rng: random.Random
) -> None:
    mixed = rng.sample(pairs, len(pairs))
    numbers = [hedged([x for x, _ in some], [y for _, y in some]) for some in (pairs, mixed)]
    assert numbers[0] == numbers[1]


def test_a_reward_that_ties_everywhere_is_not_trusted() -> None:
    assert hedged([1, 1, 1, 1], [0, 0, 1, 1]) == hedged([1, 1, 1, 1], [1, 1, 0, 0]) == 0.0


def played(search: Any, candidates: list[Candidate], judge: Any) -> tuple[Candidate, list[int]]:
    """The winner of a knockout, and the number of comparisons of each round."""
    next(search)
    rounds: list[int] = []
    try:
        asks = search.send(candidates)
        while True:
            rounds.append(len(asks))
            assert all(isinstance(ask, Ask) and ask.prompt.role == "critic" for ask in asks)
            asks = search.send([Reply(judge(ask.prompt.messages[-1]["content"])) for ask in asks])
    except StopIteration as end:
        return end.value.chosen, rounds


def test_knockout_compares_three_times_among_four_and_finds_the_judges_favourite() -> None:
    def judge(shown: str) -> str:
        return (
            f"Verdict: {'A' if shown.index('number 2') < shown.index('Answer B') else 'B'}"
            if "number 2" in shown
            else "tie"
        )

    winner, rounds = played(search_for("knockout:1", 4), answers(0.9, 0.5, 0.1, 0.4), judge)
    assert winner.id == "0.2"
    assert rounds == [2, 1]


def test_a_judge_that_is_right_four_times_in_five_finds_the_right_one_of_four_with_its_square() -> None:
    dice = random.Random(5)

    def judge(shown: str) -> str:
        right_first = "number 2" in shown.partition("Answer B")[0]
        if "number 2" not in shown:
            return "Verdict: A"
        return f"Verdict: {'A' if right_first == (dice.random() < 0.8) else 'B'}"

    won = sum(
        played(search_for("knockout:1", 4, seed), answers(0.9, 0.5, 0.1, 0.4), judge)[0].id == "0.2"
        for seed in range(400)
    )
    assert won / 400 == pytest.approx(0.64, abs=0.07)


def test_a_judge_that_likes_the_first_place_decides_nothing() -> None:
    winner, rounds = played(search_for("knockout", 3), answers(0.2, 0.9, 0.4), lambda shown: "Verdict: A")
    assert winner.id == "0.1"  # disagreement is a tie, and the reward decides ties
    assert rounds == [2, 2]


def test_equal_texts_do_not_meet() -> None:
    winner, rounds = played(
        search_for("knockout", 3), answers(0.2, 0.9, 0.9, texts=["a", "b", "b"]), lambda shown: "Verdict: tie"
    )
    assert (winner.id, rounds) == ("0.1", [2])


def test_what_is_required_comes_before_the_rule() -> None:
    candidates = [
        Candidate("0.0", 0, "a", 0.9, {"max-words=5": 1.0}),
        Candidate("0.1", 0, "b", 0.2, {"max-words=5": 0.0}),
        Candidate("0.2", 0, "c", 0.8, {"max-words=5": 1.0}),
    ]
    picks = {chosen_by("soft:0", candidates, seed, ["max-words=5"]).id for seed in range(40)}
    assert picks == {"0.0", "0.2"}


@pytest.mark.parametrize("rule", list(_RULES))
def test_failures_and_leaks_are_never_chosen(rule: str) -> None:
    candidates = [
        Candidate("0.0", 0, "good", 0.1),
        Candidate("0.1", 0, "", None, error="failed"),
        Candidate("0.2", 0, "a leak", 0.9, leaked="a leak"),
        Candidate("0.3", 0, "unscored", None),
    ]
    assert {chosen_by(rule, candidates, seed).id for seed in range(10)} == {"0.0"}


@pytest.mark.parametrize(
    "text", ["worst", "", "soft:", "soft:hot", "soft:-1", "soft:nan", "majority:2", "knockout:1.5", "best:1", "mbr:1:2"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="The selection rule is"):
        parse_selection(text)


def test_a_rule_has_one_label() -> None:
    assert [parse_selection(text).label for text in ("best", "soft", "soft:10.0", " mbr : 1 ")] == [
        "best",
        "soft:10",
        "soft:10",
        "mbr:1",
    ]


def test_similarity() -> None:
    table = similarities(["a b", "a b", "c d", ""])
    assert table[0][1] == pytest.approx(1.0)
    assert table[0][2] == table[0][3] == 0.0
    assert table[3][3] == 1.0


TEXTS = st.text(max_size=8) | st.sampled_from(["wipe it", "wipe it", "scrub it"])
POOLS = st.lists(st.tuples(TEXTS, st.none() | st.floats(-1e300, 1e300), st.booleans()), min_size=1, max_size=8)


@pytest.mark.parametrize("rule", list(_RULES))
@settings(max_examples=200, deadline=None)
@given(POOLS, st.lists(TEXTS | st.sampled_from(["A", "B", "Verdict: tie"]), min_size=1, max_size=5))
def test_any_pool_has_an_answer_and_replay_is_the_same(
    rule: str, pool: list[tuple[str, float | None, bool]], replies: list[str]
) -> None:
    candidates = [
        Candidate(f"0.{i}", 0, text, reward, leaked=text if leaks and text else None)
        for i, (text, reward, leaks) in enumerate(pool)
    ]

    def run() -> Candidate:
        number = 0

        def judge(shown: str) -> str:
            nonlocal number
            number += 1
            return replies[number % len(replies)]

        return played(search_for(rule, len(candidates), 3), candidates, judge)[0]

    assert run() == run()
    assert run() in candidates


def test_a_search_that_is_closed_closes_the_method() -> None:
    closed = []

    def watched() -> Search:
        try:
            yield Sample(PROMPTS.render("answer", QUERY), 1)
        finally:
            closed.append(True)
        return Outcome(Candidate("0.0", 0, "a"), "depth")

    search: Generator[Any, Any, Any] = parse_selection("soft").applied(watched(), QUERY, PROMPTS, random.Random(0))
    next(search)
    search.close()
    assert closed == [True]


def test_a_method_that_catches_the_end_of_its_budget_may_do_so_under_a_rule() -> None:
    def thrifty() -> Search:
        pool = Pool()
        try:
            while True:
                pool.add((yield Sample(PROMPTS.render("answer", QUERY), 2)))
        except BudgetSpent:
            pool.add((yield Sample(PROMPTS.render("answer", QUERY), 1)))
        return Outcome(pool.chosen, "budget")

    search = parse_selection("soft:1000").applied(thrifty(), QUERY, PROMPTS, random.Random(0))
    next(search)
    search.send(answers(0.1, 0.2))
    last = search.throw(BudgetSpent())
    assert isinstance(last, Sample)
    assert last.width == 1
    best = Candidate("1.0", 1, "best", 0.9)
    with pytest.raises(StopIteration) as end:
        search.send([best])
    assert end.value.value == Outcome(best, "budget")
    # One that does not catch it ends with the rule's choice among what is there.
    waves = find_method("best-of-n").start(QUERY, width=4, depth=0, prompts=PROMPTS, settings={"wave": 2})
    plain = parse_selection("soft:1000").applied(waves, QUERY, PROMPTS, random.Random(0))
    next(plain)
    plain.send(answers(0.1, 0.9))
    with pytest.raises(StopIteration) as end:
        plain.throw(BudgetSpent())
    assert (end.value.value.chosen.reward, end.value.value.stop) == (0.9, "budget")
