"""What is drawn of a run: the distribution of gain, also by step, and gain and reward against length and tokens."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from tpo.stats import mean_of
from tpo.view.columns import Columns, Floats, Integers

BINS = 32
# More dots than these overlap.
DOTS = 1500


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
        dots (an even choice where there are very many) as row of the query, change in characters (`x`) and gain (`y`);
        the rank correlation of the two, and over how many queries, which are those whose length changed; and the mean
        gain of the queries whose answer did not grow. None without any gain.
    """
    known = np.flatnonzero(np.isfinite(gain))
    if not len(known):
        return None
    grown = (columns.length - columns.first_length)[known].astype(np.float64)
    gained = gain[known]
    not_longer = gained[grown <= 0]
    changed = grown != 0
    return _dots(columns.row[known], grown, gained) | {
        "correlation": _rank_correlation(grown[changed], gained[changed]),
        "correlated": int(changed.sum()),
        "longer": float((grown > 0).mean()),
        "shorter": float((grown < 0).mean()),
        "gain_longer": _mean(gained[grown > 0]),
        "gain_not_longer": _mean(not_longer),
    }


def tokens_and_reward(columns: Columns) -> dict[str, Any] | None:
    """What the answers cost, against their rewards.

    Args:
        columns: the run.

    Returns:
        dots as row of the query, tokens of all roles (`x`) and reward (`y`), their rank correlation and over how many
        queries it is. None without any reward.
    """
    known = np.flatnonzero(np.isfinite(columns.reward) & (columns.failed == 0))
    if not len(known):
        return None
    tokens, rewards = columns.spent[known].astype(np.float64), columns.reward[known]
    correlation = {"correlation": _rank_correlation(tokens, rewards), "correlated": len(known)}
    return _dots(columns.row[known], tokens, rewards) | correlation


# Groups of queries, from the least to the largest gain, and how many queries a group has at least.
GROUPS = 8
GROUP_SIZE = 10


def held_out_gain(columns: Columns) -> dict[str, Any] | None:
    """Whether what the reward gained is also a gain for the held-out judge.

    Args:
        columns: the run.

    Returns:
        dots as row of the query, gain over the first sample in reward (`x`) and by the judge (`y`), their rank
        correlation and over how many queries it is. `groups`: the same in groups of queries by their gain in reward, as
        the mean of `x` and an estimate of `y`. `steps`: by the step that found the answer, estimates of both gains in
        standard deviations of the first samples' scores, since the two have different scales; empty where one of the
        two has no spread. None without a query that has both gains.
    """
    gain, judged = columns.gain("first"), columns.judged_gain()
    known = np.flatnonzero(np.isfinite(gain) & np.isfinite(judged))
    if not len(known):
        return None
    x, y = gain[known], judged[known]
    parts = min(GROUPS, len(known) // GROUP_SIZE)
    groups = np.array_split(np.argsort(x, kind="stable"), parts) if parts > 1 else []
    spreads = [float(scores[known].std()) for scores in (columns.first, columns.judged_first)]
    found = columns.found[known]
    steps = [
        {"step": int(step), "queries": int((found == step).sum())}
        | {
            name: msgspec.to_builtins(mean_of((gains[found == step] / spread).tolist()).rounded(4))
            for name, gains, spread in zip(("reward", "judge"), (x, y), spreads, strict=True)
        }
        for step in np.unique(found[found >= 0])
        if all(spreads)
    ]
    return _dots(columns.row[known], x, y) | {
        "correlation": _rank_correlation(x, y),
        "correlated": len(known),
        "both": round(float(((x > 0) & (y > 0)).mean()), 4),
        "apart": round(float(((x > 0) & (y < 0)).mean()), 4),
        "groups": [
            {"x": round(float(x[group].mean()), 6)} | msgspec.to_builtins(mean_of(y[group].tolist()).rounded(6))
            for group in groups
        ],
        "steps": steps,
    }


# Quantiles of the gain at a step.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def gain_by_step(columns: Columns, over: str) -> list[dict[str, Any]]:
    """How the gain is distributed after each step.

    Args:
        columns: the run.
        over: what it is measured from, as `Columns.gain` takes it.

    Returns:
        for each step its number, how many queries have rewards there, the quantiles of `QUANTILES`, and how many
        queries found their answer at this step.
    """
    start = np.where(columns.failed == 1, np.nan, columns.first if over == "first" else columns.best_first)
    steps = []
    for step in range(int(columns.steps.max(initial=0))):
        gain = columns.best_at(step) - start
        known = gain[np.isfinite(gain)]
        if len(known):
            quantiles = [round(float(value), 6) for value in np.quantile(known, QUANTILES)]
            found = int(((columns.found == step) & (columns.failed == 0)).sum())
            steps.append({"step": step, "queries": len(known), "quantiles": quantiles, "found": found})
    return steps


def _dots(rows: Integers, x: Floats, y: Floats) -> dict[str, Any]:
    """Dots of a chart; an even choice where there are more than `DOTS`."""
    shown = np.linspace(0, len(rows) - 1, min(len(rows), DOTS)).round().astype(np.int64)
    return {
        "row": rows[shown].tolist(),
        "x": x[shown].tolist(),
        "y": [round(value, 6) for value in y[shown].tolist()],
        "of": len(rows),
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
