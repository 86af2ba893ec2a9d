"""Lifts: by how much the answers to a method's prompts exceed plain ones, as the earlier queries of a run showed.

Only answers of the same wave are compared. A later wave is drawn because the answers before it were not good enough, so
these are worse than new ones would be, and in comparison with them every prompt would seem to help.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from tpo.methods.stopping import usual_prior

# In standard deviations: a larger difference, of an outlier, counts as this one.
LARGEST = 5.0
# The prompt that shows the query alone.
PLAIN_PROMPT = "answer"

# The rewards of a wave's answers, by the prompt that they were drawn from.
Wave = Mapping[str, Sequence[float]]


class Lift(NamedTuple):
    """By how much the answers to a prompt exceed plain ones.

    Attributes:
        weight: how many answers beside as many plain ones would show as much.
        mean: the mean difference, in standard deviations of a query's rewards.
    """

    weight: float
    mean: float

    def blended(self, expected: float, weight: float) -> float:
        """The difference that is believed in where another one was expected before.

        Args:
            expected: the difference that was expected.
            weight: of that, in answers.
        """
        return (weight * expected + self.weight * self.mean) / (weight + self.weight)


# By the name of the prompt.
Lifts: TypeAlias = Mapping[str, Lift]


def lifts_of(waves: Iterable[Wave], maximum: float | None) -> dict[str, Lift]:
    """The lift of each prompt in one query.

    Args:
        waves: the query's rewards.
        maximum: the largest reward that there is, where it is known.

    Returns:
        the lifts of the prompts that had answers in the same wave as plain ones.
    """
    waves = list(waves)
    known = maximum is not None and maximum > 0
    squares, freedom = (usual_prior([], maximum).variance, 1) if known else (0.0, 0)
    for wave in waves:
        for rewards in wave.values():
            mean = _mean(rewards)
            squares += sum((one - mean) * (one - mean) for one in rewards)
            freedom += len(rewards) - 1
    scale = math.sqrt(squares / freedom) if freedom else 0.0
    if not 0 < scale < math.inf:
        return {}
    found: dict[str, list[Lift]] = {}
    for wave in waves:
        plain = wave.get(PLAIN_PROMPT)
        for name, rewards in wave.items():
            if plain and name != PLAIN_PROMPT:
                weight = 2 * len(rewards) * len(plain) / (len(rewards) + len(plain))
                difference = (_mean(rewards) - _mean(plain)) / scale
                found.setdefault(name, []).append(Lift(weight, min(max(difference, -LARGEST), LARGEST)))
    return {name: together(lifts) for name, lifts in found.items()}


def _mean(rewards: Sequence[float]) -> float:
    # Rewards may be so large that their sum is infinite, and `fmean` fails then.
    return sum(rewards) / len(rewards)


def together(lifts: Sequence[Lift]) -> Lift:
    """What several lifts of a prompt show together."""
    weight = math.fsum(one.weight for one in lifts)
    return Lift(weight, math.fsum(one.weight * one.mean for one in lifts) / weight)
