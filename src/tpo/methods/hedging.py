"""How many samples a reward can be trusted with (HedgeTune, arXiv 2506.19248).

With a reward that only stands for what is wanted, the true value first rises and then falls with the number of samples.
Given labelled samples of one policy, the best number is where its derivative is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Literal

MOST = 512.0


def hedged(
    rewards: Sequence[float], truths: Sequence[float], kind: Literal["best-of-n", "poisson"] = "poisson"
) -> float:
    """The setting under which the true value is largest.

    Args:
        rewards: of each labelled sample of a policy, in any order and over any queries whose rewards are comparable.
        truths: what each is really worth, by people or a strong judge.
        kind: "best-of-n" for N, "poisson" for the mean of `--select hedged:MEAN`.

    Returns:
        the number; `MOST` where more is always better, and 0 (N: 1) where one sample is best.

    Raises:
        ValueError: there are not as many truths as rewards, or fewer than two.
    """
    if len(rewards) != len(truths) or len(rewards) < 2:
        raise ValueError(f"{len(rewards)} rewards and {len(truths)} truths: give one of each for two samples or more.")
    quantiles = [(place + 0.5) / len(rewards) for place in range(len(rewards))]
    # The reward cannot tell samples apart that tie: each is worth the mean of them.
    tied: dict[float, list[float]] = {}
    for reward, truth in sorted(zip(rewards, truths, strict=True)):
        tied.setdefault(reward, []).append(truth)
    true = [fmean(group) for group in tied.values() for _ in group]
    # A constant moves no root; with it, rounding would decide where all are worth the same.
    true = [value - true[0] for value in true]
    least = 1.0 if kind == "best-of-n" else 0.0
    density, score = (_of_best, _of_best_score) if kind == "best-of-n" else (_of_poisson, _of_poisson_score)

    def slope(setting: float) -> float:
        weights = [density(u, setting) for u in quantiles]
        scores = [score(u, setting) for u in quantiles]
        # The score has mean zero; on a finite sample only after its mean is taken off.
        mean = _dot(weights, scores) / sum(weights)
        return _dot(weights, [(one - mean) * value for one, value in zip(scores, true, strict=True)])

    return _root(slope, least, MOST)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _of_best(u: float, n: float) -> float:
    return n * math.pow(u, n - 1)


def _of_best_score(u: float, n: float) -> float:
    return 1 / n + math.log(u)


def _of_poisson(u: float, mean: float) -> float:
    return (mean * u + 1) * math.exp(mean * (u - 1))


def _of_poisson_score(u: float, mean: float) -> float:
    return u / (mean * u + 1) + u - 1


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling slope is zero, by bisection; an end where it is not."""
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2
