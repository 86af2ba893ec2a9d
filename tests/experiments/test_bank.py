"""Rules on a bank: small cases worked out by hand, and formulas against every order of the draws."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.experiments.bank import Draw, at_tokens, best_of, first_at, hedged, overall, soft, stopped
from tpo.messages import conversation
from tpo.methods import Pool, find_method
from tpo.methods.selection import parse_selection
from tpo.methods.stopping import StopRule
from tpo.methods.stopping import draw as draw_waves
from tpo.prompts import PromptSet
from tpo.prompts.prompt import Prompt

PROMPTS = PromptSet()


def bank(*rewards: float, tokens: int = 10) -> list[Draw]:
    return [Draw(reward, reward, tokens) for reward in rewards]


def test_best_of_two_of_one_two_three_is_eight_thirds() -> None:
    # The pairs are (1,2), (1,3), (2,3): (2 + 3 + 3) / 3.
    found = best_of(bank(1, 2, 3), 2)
    assert found.value == pytest.approx(8 / 3)
    assert (found.tokens, found.draws) == (20, 2)


def test_the_number_of_samples_to_trust_a_reward_with_by_hand() -> None:
    # Of the true value u^12 (1-u) the best of N keeps N / ((N+12)(N+13)): 1/50 with 12 and with 13, which no N beats.
    some = [Draw(u, u**12 * (1 - u), 1) for u in (i / 4001 for i in range(1, 4001))]
    worth = {n: best_of(some, n).value for n in (6, 11, 12, 13, 14, 30)}
    assert worth == pytest.approx({n: n / ((n + 12) * (n + 13)) for n in worth}, rel=5e-3)
    assert worth[12] == pytest.approx(worth[13], rel=1e-3)


def test_equal_rewards_share_their_chance() -> None:
    # Both have the highest reward, and either may be drawn first: half of 0 and 1.
    assert best_of([Draw(1, 0, 5), Draw(1, 1, 5)], 2).value == pytest.approx(0.5)


def test_the_first_at_the_maximum_by_hand() -> None:
    # One hit of three. Draws: 1 with chance 1/3, 2 with 1/3, 3 with 1/3.
    found = first_at([Draw(1, 1, 4), Draw(0, 0, 10), Draw(0, 0, 20)], 1.0, 3)
    assert found.value == pytest.approx(1)
    assert found.draws == pytest.approx(2)
    # The hit always, and each miss in half of the orders: 4 + 5 + 10.
    assert found.tokens == pytest.approx(19)


def test_a_bank_without_a_hit_is_drawn_to_the_end() -> None:
    assert first_at(bank(0, 0, 0), 1.0, 2) == pytest.approx((0, 20, 2))
    assert first_at(bank(1, 1), 1.0, 2) == pytest.approx((1, 10, 1))


draws = st.lists(
    st.builds(
        Draw, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 9), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@given(draws, st.integers(1, 5))
def test_formulas_are_the_mean_over_all_orders(some: list[Draw], n: int) -> None:
    n = min(n, len(some))
    orders = list(itertools.permutations(some))

    def until_a_hit(order: tuple[Draw, ...]) -> list[Draw]:
        hits = [place for place, one in enumerate(order[:n]) if one.reward >= 1 and not one.leaked]
        return list(order[: hits[0] + 1 if hits else n])

    best = [max(order[:n], key=lambda one: (not one.leaked, one.reward)).value for order in orders]
    assert best_of(some, n).value == pytest.approx(fmean(best))
    first = first_at(some, 1.0, n)
    assert first.value == pytest.approx(fmean(best))
    assert first.draws == pytest.approx(fmean(len(until_a_hit(order)) for order in orders))
    assert first.tokens == pytest.approx(fmean(sum(d.tokens for d in until_a_hit(order)) for order in orders))


def test_a_stop_rule_that_never_stops_is_best_of_n() -> None:
    found = stopped(bank(0, 0.25, 0.5, 0.75), StopRule(), 4)
    assert (found.value, found.tokens, found.draws) == pytest.approx((0.75, 40, 4))


def test_a_stop_rule_with_the_maximum_is_the_first_at_it() -> None:
    some = bank(1, 0, 0, 0)
    found, exact = stopped(some, StopRule(0.0, 1.0), 4), first_at(some, 1.0, 4)
    assert found.value == exact.value
    assert found.draws == pytest.approx(exact.draws, abs=0.3)  # a mean over seeded orders
    assert stopped(some, StopRule(0.0, 1.0), 4, wave=4).draws == 4


def test_a_price_that_no_answer_is_worth_stops_at_two() -> None:
    # With a known maximum the rule may end after two answers, and not before.
    assert stopped(bank(0.2, 0.4, 0.6, 0.8), StopRule(10.0, 1.0), 4).draws == 2


def test_equal_tokens_lie_between_two_n() -> None:
    banks = [bank(0, 1), bank(0, 0)]

    def curve(n: int) -> list:  # type: ignore[type-arg]
        return [best_of(one, n) for one in banks]

    n, each = at_tokens(curve, 2, 15)
    assert n == pytest.approx(1.5)
    # Half way between best-of-1 (0.5 and 0) and best-of-2 (1 and 0).
    assert [one.value for one in each] == pytest.approx([0.75, 0])
    assert overall(each).tokens == pytest.approx(15)
    assert at_tokens(curve, 2, 500)[0] == 2
    assert at_tokens(curve, 2, 1)[0] == 1


def test_soft_by_hand() -> None:
    # Quantiles 1/6, 3/6, 5/6, so with sharpness 3 the odds are e^-1 : 1 : e.
    odds = [math.exp(-1), 1, math.exp(1)]
    found = soft([Draw(1, 10, 4), Draw(2, 20, 5), Draw(3, 0, 6)], 3.0)
    assert found == pytest.approx(((10 * odds[0] + 20 * odds[1]) / sum(odds), 15, 3))
    assert soft(bank(1, 2, 3), 0.0).value == pytest.approx(2)


def test_hedged_by_hand() -> None:
    # One of (1, 2, 3) with chance e^-1, the best of two with e^-1, all three with the rest: 2, 8/3 and 3.
    one = math.exp(-1)
    found = hedged(bank(1, 2, 3), 1.0)
    assert found == pytest.approx((2 * one + 8 / 3 * one + 3 * (1 - 2 * one), 30, 3))
    assert hedged(bank(1, 2, 3), 0.0).value == pytest.approx(2)
    assert hedged(bank(1, 2, 3), 500.0).value == pytest.approx(3)
    assert hedged(bank(7), 8.0).value == 7


@pytest.mark.parametrize(
    "more", [[], [Draw(1.0, 3.0, 1, leaked=True)], [Draw(0.7, 0.0, 1, leaked=True), Draw(0.2, 5.0, 1, leaked=True)]]
)
def test_the_selection_rules_choose_by_these_chances(more: list[Draw]) -> None:
    some, number = [Draw(0.1, 1.0, 1), Draw(0.5, 0.0, 1), Draw(0.5, 0.4, 1), Draw(0.9, 0.2, 1), *more], 1.5
    candidates = [
        Candidate(f"0.{i}", 0, f"text {i}", one.reward, leaked="Answer 1" if one.leaked else None)
        for i, one in enumerate(some)
    ]
    values = {f"0.{i}": one.value for i, one in enumerate(some)}
    for label, formula in (("soft", soft), ("hedged", hedged)):
        rule, query = parse_selection(f"{label}:{number}"), conversation("How?")
        picked = []
        for seed in range(300):
            search = find_method("best-of-n").start(query, width=len(some), depth=0, prompts=PROMPTS)
            chosen = rule.applied(search, query, PROMPTS, random.Random(seed))
            next(chosen)
            # Which of equals is first is chance.
            shuffled = random.Random(seed).sample(candidates, len(candidates))
            with pytest.raises(StopIteration) as end:
                chosen.send(shuffled)
            picked.append(values[end.value.value.chosen.id])
        assert formula(some, number).value == pytest.approx(fmean(picked), abs=0.05)


def test_where_all_answers_repeat_our_words_the_best_of_them_is_chosen() -> None:
    some = [Draw(1, 10, 4, leaked=True), Draw(2, 20, 5, leaked=True)]
    assert soft(some, 0.0).value == hedged(some, 0.0).value == best_of(some, 2).value == 20


@settings(max_examples=25, deadline=None)
@given(draws, st.integers(1, 5), st.integers(1, 3), st.sampled_from([0.01, 0.2, 1.0]), st.sampled_from([None, 1.0]))
def test_a_stop_rule_is_the_mean_over_all_orders(
    some: list[Draw], n: int, wave: int, price: float, maximum: float | None
) -> None:
    n = min(n, len(some))
    rule = StopRule(price, maximum)
    results = []
    for order in itertools.permutations(some):
        # As a method does it: a pool that grows by waves.
        pool = Pool()
        search = draw_waves(Prompt("answer", "policy", [], str), n, pool, rule, wave)
        taken = 0
        wish = next(search)
        with contextlib.suppress(StopIteration):
            while True:
                part = order[taken : taken + wish.width]
                names = [f"0.{taken + i}" for i in range(len(part))]
                taken += len(part)
                wish = search.send(
                    [
                        Candidate(name, 0, name, one.reward, leaked="Answer 1" if one.leaked else None)
                        for name, one in zip(names, part, strict=True)
                    ]
                )
        chosen = order[int(pool.chosen.id.split(".")[1])]
        results.append((chosen.value, sum(one.tokens for one in order[:taken]), taken))
    assert stopped(some, rule, n, wave) == pytest.approx(tuple(fmean(column) for column in zip(*results, strict=True)))
