"""When to stop drawing: at the largest reward that there is, or when one more answer is expected to gain too little.

The expected gain is that of one more draw under a normal model with unknown mean and variance (a normal-inverse-gamma
prior, whose predictive distribution is Student's t). The rule looks one answer ahead. It is of the family of BEACON
(arXiv 2510.15945).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from tpo.candidate import Candidate
from tpo.methods.actions import Sample
from tpo.methods.pool import Pool
from tpo.prompts.prompt import Prompt

# Without a known maximum the scale of rewards is known from the rewards alone, which takes a few.
LEAST_WITHOUT_MAXIMUM = 3
LEAST = 2


class RewardPrior(NamedTuple):
    """What is believed of rewards: their mean, the weight of the mean, the weight of the variance, the variance."""

    mean: float
    mean_weight: float = 1.0
    variance_weight: int = 1
    variance: float = 0.1

    def after(self, rewards: Sequence[float]) -> RewardPrior:
        """What is believed when these rewards were seen, too."""
        n = len(rewards)
        if not n:
            return self
        mean = sum(rewards) / n
        squares = sum((reward - mean) * (reward - mean) for reward in rewards)
        weight, freedom = self.mean_weight + n, self.variance_weight + n
        between = n * self.mean_weight * (self.mean - mean) * (self.mean - mean) / weight
        return RewardPrior(
            (self.mean_weight * self.mean + n * mean) / weight,
            weight,
            freedom,
            (self.variance_weight * self.variance + squares + between) / freedom,
        )

    def gain_over(self, best: float) -> float:
        """By how much the next reward is expected to exceed the best so far: of Student's t, the part above it."""
        scale = math.sqrt(self.variance * (1 + 1 / self.mean_weight))
        lead = self.mean - best
        if scale == 0 or not math.isfinite(scale):
            return max(lead, 0.0) if math.isfinite(lead) else 0.0
        u, freedom = lead / scale, self.variance_weight
        if freedom < 2:
            return math.inf
        density = math.exp(
            math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - (freedom + 1) / 2 * math.log1p(u * u / freedom)
        ) / math.sqrt(freedom * math.pi)
        return lead * _student(u, freedom) + scale * (freedom + u * u) / (freedom - 1) * density


def expected_gain(rewards: Sequence[float], prior: RewardPrior) -> float:
    """By how much one more answer is expected to exceed the best so far, in units of reward.

    Args:
        rewards: the rewards so far, at least one.
        prior: what was believed before.
    """
    return prior.after(rewards).gain_over(max(rewards))


def _student(t: float, freedom: int) -> float:
    """The distribution function of Student's t for a whole number of degrees (Abramowitz and Stegun, 26.7.3)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + inside) / 2


class StopRule:
    """Says when there are enough answers.

    Args:
        price: the reward that one answer has to be expected to gain; 0 never stops for lack of gain.
        maximum: the largest reward that there is, where it is known.
    """

    def __init__(self, price: float = 0.0, maximum: float | None = None) -> None:
        self._price = price
        self._maximum = maximum

    def is_perfect(self, candidate: Candidate) -> bool:
        """Whether no answer can be better: it has the largest reward, and repeats no words of ours."""
        if self._maximum is None or candidate.reward is None or candidate.leaked is not None:
            return False
        return candidate.reward >= self._maximum

    def enough(self, pool: Pool) -> bool:
        """Whether the pool holds all that is worth drawing."""
        if pool.candidates and self.is_perfect(pool.chosen):
            return True
        rewards = [one.reward for one in pool.candidates if one.reward is not None and one.leaked is None]
        return self.is_unprofitable(rewards)

    def is_unprofitable(self, rewards: Sequence[float]) -> bool:
        """Whether one more answer is expected to gain less than its price."""
        least = LEAST if self._maximum is not None else LEAST_WITHOUT_MAXIMUM
        if self._price <= 0 or len(rewards) < least:
            return False
        return self.knows_scale(rewards) and expected_gain(rewards, usual_prior(rewards, self._maximum)) < self._price

    def knows_scale(self, rewards: Sequence[float]) -> bool:
        """Whether there is a scale to measure a price by: the maximum, or rewards that differ.

        A coarse reward often begins with several that are equal.
        """
        return self._maximum is not None or len(set(rewards)) > 1

    def settled(self, rewards: Sequence[float]) -> bool:
        """Whether such rewards are enough, for answers of which no more is known."""
        perfect = self._maximum is not None and max(rewards, default=-math.inf) >= self._maximum
        return perfect or self.is_unprofitable(rewards)


def usual_prior(rewards: Sequence[float], maximum: float | None) -> RewardPrior:
    """What is believed before the first reward: half of the maximum, give or take a third of it.

    Where the maximum is not known, level and spread are taken from the rewards themselves.
    """
    if maximum is not None and maximum > 0:
        return RewardPrior(maximum / 2, variance=0.1 * maximum * maximum)
    mean = sum(rewards) / max(len(rewards), 1)
    squares = sum((reward - mean) * (reward - mean) for reward in rewards)
    return RewardPrior(mean, variance=squares / max(len(rewards) - 1, 1))


class Drawn(NamedTuple):
    """What drawing a step's answers brought.

    Attributes:
        fresh: the answers whose texts are new.
        enough: the pool holds all that is worth drawing.
        repeated: there were answers, and all of them were known. Failures alone show nothing: the step may be tried
            again.
    """

    fresh: list[Candidate]
    enough: bool
    repeated: bool


def waves(wave: int | Sequence[int], width: int) -> Iterator[int]:
    """The sizes of the waves that a step's answers are drawn in.

    Args:
        wave: the size of each wave, or the sizes of the first ones, of which the last repeats; 0 draws all at once.
        width: how many answers in all.
    """
    first = [wave or width] if isinstance(wave, int) else wave
    for size in chain(first, repeat(first[-1])):
        if width <= 0:
            return
        yield min(size, width)
        width -= size


def draw(
    prompt: Prompt,
    width: int,
    pool: Pool,
    rule: StopRule,
    wave: int | Sequence[int] = 0,
    temperature: float | None = None,
) -> Generator[Sample, list[Candidate], Drawn]:
    """Draw up to `width` answers into a pool, in waves, until there are enough.

    Args:
        prompt: what to answer.
        width: how many answers at most.
        pool: takes them.
        rule: decides when there are enough.
        wave: how many to draw at once, as `waves` takes it.
        temperature: sampling temperature; the run's unless given.
    """
    fresh: list[Candidate] = []
    answered = False
    for size in waves(wave, width):
        candidates = yield Sample(prompt, size, temperature=temperature)
        answered = answered or any(one.text or one.message is not None for one in candidates)
        fresh += pool.add(candidates)
        if rule.enough(pool):
            return Drawn(fresh, True, answered and not fresh)
    return Drawn(fresh, False, answered and not fresh)
