"""What is drawn of a run: the distribution of gain, gain against length, and what they come to in a sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tpo.view.columns import Columns, Floats

BINS = 32
# More dots than these nobody can tell apart.
DOTS = 3000


def histogram(values: Floats, bins: int = BINS) -> dict[str, Any] | None:
    """How numbers are distributed; the edges are round numbers.

    Args:
        values: the numbers; NaN are left out.
        bins: how many bars, about.

    Returns:
        `edges` (one more than there are bars) and `counts`; None where there is no number.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    step = _round_step((high - low) / bins) if high > low else 1.0
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = np.arange(first, last + 1) * step
    # By index, so that a number on an edge belongs to the bar right of it whatever its last bit.
    counts = np.bincount(np.clip(np.floor(known / step + 1e-9).astype(np.int64) - first, 0, last - first - 1))
    counts = np.pad(counts, (0, last - first - len(counts)))
    return {"edges": [round(float(edge), 10) for edge in edges], "counts": counts.tolist()}


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def gain_and_length(columns: Columns, gain: Floats) -> dict[str, Any] | None:
    """Whether what was gained is only length.

    Args:
        columns: the run.
        gain: what each query gained in reward.

    Returns:
        dots (an even choice where there are very many) as number of the query, change in characters and gain; the rank
        correlation of the two; and the mean gain of the queries whose answer did not grow. None without any gain.
    """
    known = np.flatnonzero(np.isfinite(gain))
    if not len(known):
        return None
    grown = (columns.length - columns.first_length)[known].astype(np.float64)
    gained = gain[known]
    shown = np.linspace(0, len(known) - 1, min(len(known), DOTS)).round().astype(np.int64)
    not_longer = gained[grown <= 0]
    changed = grown != 0
    return {
        "number": known[shown].tolist(),
        "length": grown[shown].tolist(),
        "gain": [round(value, 6) for value in gained[shown].tolist()],
        "of": len(known),
        "correlation": _rank_correlation(grown[changed], gained[changed]),
        "longer": float((grown > 0).mean()),
        "shorter": float((grown < 0).mean()),
        "gain_longer": _mean(gained[grown > 0]),
        "gain_not_longer": _mean(not_longer),
    }


def _mean(values: Floats) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None


def _rank_correlation(one: Floats, other: Floats) -> float | None:
    """Spearman's: the correlation of the ranks, equal numbers sharing theirs."""
    if len(one) < 3:
        return None
    ranks = np.array([_ranks(one), _ranks(other)])
    if not ranks.std(axis=1).all():
        return None
    return round(float(np.corrcoef(ranks)[0, 1]), 4)


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: Floats = (ends - (counts - 1) / 2)[inverse]
    return shared
