"""Strengths from preferences: Bradley–Terry for pairs, Plackett–Luce for rankings.

Both are one model: a contestant is chosen from several with a probability in proportion to its strength (Plackett,
1975; Luce, 1959; Bradley and Terry, 1952, for two). A ranking is a row of such choices: the best of all, the best
of the rest, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

# Each contestant also plays this many games against a virtual one of strength 0, half won and half lost. They keep the
# strength of one that won or lost every game finite, connect contestants that never met, and hardly move the others.
PRIOR = 0.1

_STEPS = 60
_STILL = 1e-11


class Chosen(NamedTuple):
    """One choice.

    Attributes:
        best: the contestant that was chosen.
        among: the contestants to choose from, `best` included.
        weight: how much it counts; a verdict of 70 % is a choice of 0.7 and one of 0.3.
    """

    best: int
    among: tuple[int, ...]
    weight: float = 1.0


def match(first: int, second: int, won: float) -> list[Chosen]:
    """The choices of one comparison.

    Args:
        first: a contestant.
        second: another.
        won: how far the first was preferred, 0 to 1.
    """
    pair = (first, second)
    return [Chosen(first, pair, won), Chosen(second, pair, 1.0 - won)]


def ranking(order: Sequence[int]) -> list[Chosen]:
    """The choices of one ranking, best first."""
    return [Chosen(best, tuple(order[place:])) for place, best in enumerate(order[:-1])]


def strengths(count: int, choices: Iterable[Chosen], prior: float = PRIOR) -> list[float]:
    """The likeliest log-strengths, 0 being average (maximum a posteriori, by Newton's method).

    Args:
        count: contestants, numbered from 0.
        choices: all choices.
        prior: games against the virtual contestant.

    Returns:
        A finite number for each contestant, higher for stronger; the difference of two is the log-odds that the one
        is preferred to the other.
    """
    decided = _merged(choices)
    values = [0.0] * count
    now = _likelihood(values, decided, prior)
    for _ in range(_STEPS):
        slope, curve = _derivatives(values, decided, prior)
        step = _solved(curve, slope)
        size = 1.0
        # The likelihood is concave, so that a step that is short enough always leads up, but for rounding.
        while True:
            tried = [value + size * move for value, move in zip(values, step, strict=True)]
            then = _likelihood(tried, decided, prior)
            if then >= now - _STILL * (1 + abs(now)) or size < _STILL:
                break
            size /= 2
        values, now = tried, then
        if max(map(abs, step), default=0.0) < _STILL:
            break
    # Equal records are to be equal numbers, whatever the rounding on the way.
    return [round(value, 9) + 0.0 for value in values]


def _merged(choices: Iterable[Chosen]) -> list[Chosen]:
    """Equal choices as one, in an order that does not depend on that of the games: sums differ in their last bits."""
    weights: dict[tuple[int, tuple[int, ...]], list[float]] = {}
    for best, among, weight in choices:
        if weight > 0:
            weights.setdefault((best, tuple(sorted(among))), []).append(weight)
    return [Chosen(*choice, math.fsum(each)) for choice, each in sorted(weights.items())]


def _likelihood(values: Sequence[float], choices: Sequence[Chosen], prior: float) -> float:
    total = 0.0
    for best, among, weight in choices:
        top = max(values[i] for i in among)
        total += weight * (values[best] - top - math.log(sum(math.exp(values[i] - top) for i in among)))
    # log(s) + log(1 - s) of the logistic s, written so that it does not overflow.
    return total - prior / 2 * sum(abs(value) + 2 * math.log1p(math.exp(-abs(value))) for value in values)


def _derivatives(
    values: Sequence[float], choices: Sequence[Chosen], prior: float
) -> tuple[list[float], list[list[float]]]:
    """The slope of the likelihood, and its curvature with the sign turned (positive definite)."""
    count = len(values)
    slope = [0.0] * count
    curve = [[0.0] * count for _ in range(count)]
    for best, among, weight in choices:
        top = max(values[i] for i in among)
        odds = [math.exp(values[i] - top) for i in among]
        whole = sum(odds)
        slope[best] += weight
        for i, odd in zip(among, odds, strict=True):
            share = odd / whole
            slope[i] -= weight * share
            curve[i][i] += weight * share
            for j, other in zip(among, odds, strict=True):
                curve[i][j] -= weight * share * other / whole
    for i, value in enumerate(values):
        # tanh is the logistic of twice the argument, moved; it does not overflow.
        against = math.tanh(value / 2)
        slope[i] -= prior / 2 * against
        curve[i][i] += prior / 4 * (1 - against * against) + 1e-12
    return slope, curve


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    square = np.reshape(matrix, (len(right), len(right)))
    try:
        solution = np.linalg.solve(square, right)
    except np.linalg.LinAlgError:  # against very many games the prior is lost in rounding
        solution = np.linalg.lstsq(square, right)[0]
    return [float(value) for value in solution]
