"""When to stop drawing: at the largest reward that there is, or when one more answer is expected to gain too little.

The expected gain is that of one more draw under a normal model with unknown mean and variance (a normal-inverse-gamma
prior, whose predictive distribution is Student's t). The rule looks one answer ahead. It is of the family of BEACON
(arXiv 2510.15945).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import NamedTuple

from tpo.candidate import Candidate
from tpo.methods.actions import Sample
from tpo.methods.pool import Pool
from tpo.prompts.prompt import Prompt

# Without a known maximum the scale of rewards is known from the rewards alone, which takes a few.
LEAST_WITHOUT_MAXIMUM = 3
LEAST = 2


class RewardPrior(NamedTuple):
    """What is believed of rewards before the first: mean, weight of the mean, weight of the variance, variance."""

    mean: float
    mean_weight: float = 1.0
    variance_weight: int = 1
    variance: float = 0.1


def expected_gain(rewards: Sequence[float], prior: RewardPrior) -> float:
    """By how much one more answer is expected to exceed the best so far, in units of reward.

    Args:
        rewards: the rewards so far, at least one.
        prior: what was believed before.
    """
    n, mean, best = len(rewards), math.fsum(rewards) / len(rewards), max(rewards)
    squares = math.fsum((reward - mean) ** 2 for reward in rewards)
    weight, freedom = prior.mean_weight + n, prior.variance_weight + n
    centre = (prior.mean_weight * prior.mean + n * mean) / weight
    between = n * prior.mean_weight * (prior.mean - mean) ** 2 / weight
    variance = (prior.variance_weight * prior.variance + squares + between) / freedom
    scale = math.sqrt(variance * (1 + 1 / weight))
    if scale == 0 or not math.isfinite(scale):
        return max(centre - best, 0.0) if math.isfinite(centre) else 0.0
    u = (centre - best) / scale
    density = math.exp(
        math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - (freedom + 1) / 2 * math.log1p(u * u / freedom)
    ) / math.sqrt(freedom * math.pi)
    return (centre - best) * _student(u, freedom) + scale * (freedom + u * u) / (freedom - 1) * density


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
        """Whether no answer can have a larger reward."""
        return self._maximum is not None and candidate.reward is not None and candidate.reward >= self._maximum

    def enough(self, pool: Pool) -> bool:
        """Whether the pool holds all that is worth drawing."""
        if pool.candidates and self.is_perfect(pool.chosen):
            return True
        rewards = [one.reward for one in pool.candidates if one.reward is not None and one.leaked is None]
        least = LEAST if self._maximum is not None else LEAST_WITHOUT_MAXIMUM
        if self._price <= 0 or len(rewards) < least:
            return False
        return expected_gain(rewards, self._prior(rewards)) < self._price

    def _prior(self, rewards: Sequence[float]) -> RewardPrior:
        if self._maximum is not None and self._maximum > 0:
            return RewardPrior(self._maximum / 2, variance=0.1 * self._maximum**2)
        mean = math.fsum(rewards) / len(rewards)
        return RewardPrior(mean, variance=math.fsum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1))


class Drawn(NamedTuple):
    """What drawing a step's answers brought.

    Attributes:
        fresh: the answers that say something new.
        enough: the pool holds all that is worth drawing.
        repeated: there were answers, and all of them were known. Failures alone show nothing: the step may be tried
            again.
    """

    fresh: list[Candidate]
    enough: bool
    repeated: bool


def draw(
    prompt: Prompt, width: int, pool: Pool, rule: StopRule, wave: int = 0
) -> Generator[Sample, list[Candidate], Drawn]:
    """Draw up to `width` answers into a pool, in waves, until there are enough.

    Args:
        prompt: what to answer.
        width: how many answers at most.
        pool: takes them.
        rule: says when there are enough.
        wave: how many to draw at once; 0 draws all at once.
    """
    fresh: list[Candidate] = []
    answered = False
    left = width
    while left > 0:
        size = min(wave, left) if wave > 0 else left
        candidates = yield Sample(prompt, size)
        answered = answered or any(one.text or one.message is not None for one in candidates)
        fresh += pool.add(candidates)
        left -= size
        if rule.enough(pool):
            return Drawn(fresh, True, answered and not fresh)
    return Drawn(fresh, False, answered and not fresh)
