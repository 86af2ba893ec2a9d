"""How often a reward agrees with people, beside a baseline that only counts letters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tpo.checks.preferences import Pair
from tpo.messages import Conversation, answered
from tpo.rewards.call import score
from tpo.rewards.protocol import Reward, is_relative

BATCH = 32


async def score_gaps(reward: Reward, pairs: Sequence[Pair]) -> list[float]:
    """How much higher a reward scores the first answer of each pair; NaN where an answer gets no score.

    Raises:
        RewardError: the reward failed.
    """
    if is_relative(reward):
        scores = [await score(reward, _both(pair)) for pair in pairs]
        return [one.value - two.value for one, two in scores]
    gaps: list[float] = []
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        flat = await score(reward, [one for pair in some for one in _both(pair)])
        gaps += [one.value - two.value for one, two in zip(flat[::2], flat[1::2], strict=True)]
    return gaps


async def agreement(reward: Reward, pairs: Sequence[Pair]) -> list[float]:
    """1 where the reward prefers the same answer as people, 0 where the other, one half where neither.

    A pair whose answers get no finite score counts one half: the reward does not know.
    """
    gaps = await score_gaps(reward, pairs)
    return [agrees(verdict(gap), pair) for gap, pair in zip(gaps, pairs, strict=True)]


def agreement_of_length(pairs: Sequence[Pair]) -> list[float]:
    """The same for preferring the longer answer."""
    return [agrees(verdict(length_gap(pair)), pair) for pair in pairs]


def _both(pair: Pair) -> list[Conversation]:
    return [answered(pair.query, pair.first), answered(pair.query, pair.second)]


def length_gap(pair: Pair) -> float:
    """How many characters longer the first answer is."""
    return float(len(pair.first) - len(pair.second))


def verdict(gap: float) -> float:
    """1 where the first answer is preferred, 0 the second; one half where they are equal or the gap is no number."""
    return 0.5 if not abs(gap) >= 1e-12 else float(gap > 0)


def agrees(verdict: float, pair: Pair) -> float:
    """How far a verdict agrees with people's: 1, 0, or one half for none."""
    return 0.5 if verdict == 0.5 else float((verdict > 0.5) == (pair.human > 0.5))


def share(hits: Sequence[float]) -> str:
    """A share with its 95 % Wilson interval, in percent."""
    n, z = len(hits), 1.96
    mean = math.fsum(hits) / n
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return f"{100 * mean:.1f} [{100 * (centre - half):.1f}, {100 * (centre + half):.1f}]"


def difference(ours: Sequence[float], others: Sequence[float]) -> str:
    """The mean paired difference with its 95 % interval, in percentage points."""
    gaps = [a - b for a, b in zip(ours, others, strict=True)]
    mean = math.fsum(gaps) / len(gaps)
    if len(gaps) == 1:
        return f"{100 * mean:+.1f}"
    spread = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
    return f"{100 * mean:+.1f} ± {100 * 1.96 * spread:.1f}"
