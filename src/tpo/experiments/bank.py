"""A bank: many answers to each query, drawn once, on which selection and stop rules are evaluated without any call.

The order in which answers were drawn is chance, so every rule gets the mean over all orders: by formula where there is
one, else over every order of a small bank, and seeded ones of a large bank.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tpo.candidate import Rank, rank
from tpo.methods.selection import quantiles, soft_odds
from tpo.methods.stopping import StopRule, waves

PERMUTATIONS = 200


class Draw(NamedTuple):
    """An answer in the bank.

    Attributes:
        reward: what a rule sees.
        value: what it is measured by: the reward itself, a grade, or a held-out reward.
        tokens: completion tokens that it took.
        leaked: it repeats words of our prompts, and ranks below all others.
    """

    reward: float
    value: float
    tokens: float
    leaked: bool = False

    @property
    def rank(self) -> Rank:
        """What answers are ordered by: the best has the largest."""
        return rank(self.reward, leaked=self.leaked)


class Expected(NamedTuple):
    """What a rule is expected to bring for one query.

    Attributes:
        value: of the answer that is returned.
        tokens: completion tokens of all answers that were drawn.
        draws: how many these are.
    """

    value: float
    tokens: float
    draws: float


def best_of(bank: Sequence[Draw], n: int) -> Expected:
    """The answer with the highest reward of n, drawn from the bank without replacement.

    The estimator is unbiased: sum over ranks i of C(i-1, n-1) / C(M, n) times the value of rank i, where equal ranks
    share their chances, since the first of them is returned and the order is chance.

    Args:
        bank: M answers to one query.
        n: from 1 to M.

    Raises:
        ValueError: n is out of range.
    """
    size = len(bank)
    if not 1 <= n <= size:
        raise ValueError(f"n is {n}; the bank holds {size} answers")
    ranked = sorted(bank, key=lambda one: one.rank)
    chances = [math.comb(rank, n - 1) / math.comb(size, n) for rank in range(size)]
    value, start = 0.0, 0
    while start < size:
        end = start
        while end < size and ranked[end].rank == ranked[start].rank:
            end += 1
        value += sum(chances[start:end]) * sum(one.value for one in ranked[start:end]) / (end - start)
        start = end
    return Expected(value, n * sum(one.tokens for one in bank) / size, n)


def first_at(bank: Sequence[Draw], maximum: float, n: int) -> Expected:
    """Draw one by one until an answer reaches the maximum, n at most.

    Args:
        bank: M answers to one query.
        maximum: the largest reward that there is.
        n: from 1 to M.
    """
    size = len(bank)
    hits = [one for one in bank if one.reward >= maximum and not one.leaked]
    misses = [one for one in bank if one.reward < maximum or one.leaked]
    hit_tokens, miss_tokens = sum(one.tokens for one in hits), sum(one.tokens for one in misses)
    tokens = draws = 0.0
    for drawn in range(n):
        # The chance that none of the answers so far reached the maximum; the next one is any of the rest then.
        still = math.comb(len(misses), drawn) / math.comb(size, drawn)
        if not still:
            break
        left = miss_tokens * (1 - drawn / len(misses)) if misses else 0.0
        tokens += still * (hit_tokens + left) / (size - drawn)
        draws += still
    return Expected(best_of(bank, n).value, tokens, draws)


def stopped(bank: Sequence[Draw], rule: StopRule, n: int, wave: int | Sequence[int] = 1, seed: int = 0) -> Expected:
    """Draw in waves until a stop rule has enough, n at most; the mean over orders of the bank.

    Args:
        bank: M answers to one query.
        rule: decides after each wave.
        n: from 1 to M.
        wave: answers drawn at once, as a method's `wave`.
        seed: of the orders, where there are too many for all.
    """
    orders = list(_orders(bank, seed))
    # Rewards are often few and alike, and the rule does not depend on their order.
    settled = functools.cache(rule.settled)
    value = tokens = draws = 0.0
    for order in orders:
        count = 0
        for size in waves(wave, n):
            count += size
            if settled(tuple(sorted(one.reward for one in order[:count] if not one.leaked))):
                break
        taken = order[:count]
        value += max(taken, key=lambda one: one.rank).value
        tokens += sum(one.tokens for one in taken)
        draws += count
    return Expected(value / len(orders), tokens / len(orders), draws / len(orders))


def _orders(bank: Sequence[Draw], seed: int) -> Iterable[Sequence[Draw]]:
    if math.factorial(len(bank)) <= PERMUTATIONS:
        return itertools.permutations(bank)
    draw = random.Random(seed)
    return (draw.sample(bank, len(bank)) for _ in range(PERMUTATIONS))


def soft(bank: Sequence[Draw], sharpness: float) -> Expected:
    """Soft best-of-n over the whole bank (`--select soft`): each answer by its chance.

    Args:
        bank: M answers to one query.
        sharpness: the rule's number.
    """
    some = _choosable(bank)
    odds = soft_odds(quantiles([one.reward for one in some]), sharpness)
    value = math.fsum(chance * one.value for chance, one in zip(odds, some, strict=True))
    return Expected(value, sum(one.tokens for one in bank), len(bank))


def hedged(bank: Sequence[Draw], mean: float) -> Expected:
    """The best of 1 + Poisson(mean) random answers of the whole bank (`--select hedged`).

    Random answers of the bank are draws without replacement, so this is best-of-n over the chances of each n.

    Args:
        bank: M answers to one query.
        mean: the rule's number.
    """
    some = _choosable(bank)
    chances = [
        math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) if mean else float(k == 0) for k in range(len(some))
    ]
    # More than there are is all of them.
    chances[-1] = max(1 - math.fsum(chances[:-1]), 0.0)
    value = math.fsum(chance * best_of(some, n).value for n, chance in enumerate(chances, 1))
    return Expected(value, sum(one.tokens for one in bank), len(bank))


def _choosable(bank: Sequence[Draw]) -> list[Draw]:
    """The answers that a selection rule chooses from: those without words of ours; where all have some, the best."""
    best = max(one.rank for one in bank)
    return [one for one in bank if not one.leaked] or [one for one in bank if one.rank == best]


def overall(queries: Sequence[Expected]) -> Expected:
    """The mean over queries."""
    return Expected(*(math.fsum(column) / len(queries) for column in zip(*queries, strict=True)))


def at_tokens(curve: Callable[[int], Sequence[Expected]], most: int, tokens: float) -> tuple[float, list[Expected]]:
    """What a rule brings where it may spend so many tokens for a query on average.

    Between two n the rule takes the larger one for a share of the time, which is a rule as well.

    Args:
        curve: the rule's result for each query at a given n; its tokens rise with n.
        most: the largest n.
        tokens: mean completion tokens for a query.

    Returns:
        n, and the result for each query; the largest n where that costs less.
    """
    before = curve(1)
    if overall(before).tokens >= tokens:
        return 1.0, list(before)
    for n in range(2, most + 1):
        now = curve(n)
        low, high = overall(before).tokens, overall(now).tokens
        if high >= tokens and high > low:
            part = (tokens - low) / (high - low)
            mixed = [
                Expected(*(a + part * (b - a) for a, b in zip(one, other, strict=True)))
                for one, other in zip(before, now, strict=True)
            ]
            return n - 1 + part, mixed
        before = now
    return float(most), list(before)
