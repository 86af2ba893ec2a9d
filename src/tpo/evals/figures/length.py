"""Gain against length: whether answers got better, or only longer. The paper's raw win rates rise four to five times as
fast as its length-controlled ones."""

from __future__ import annotations

import math
from statistics import StatisticsError, correlation, fmean, median

from tpo.evals.figures.data import Group, Run
from tpo.evals.figures.plot import COLOURS, GREY, MARKERS, Plot, legend, new_figure
from tpo.stats import Estimate
from tpo.tables import DASH, shown

NEEDS = "a run with a reward and two samples or more for a query"
MOST_DRAWN = 5_000
RATIOS = (*(2.0**power for power in range(-8, -1)), 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, *(2.0**p for p in range(1, 9)))
MOST_TICKS = 7


def length(group: Group) -> Plot | None:
    """Draw each query's gain over its first sample against how much longer the answer is."""
    names = group.names()
    found = {names[run.path]: points(run) for run in group.runs if run.width > 1 or run.depth > 0}
    found = {label: some for label, some in found.items() if some}
    if not found:
        return None
    figure, axes = new_figure()
    by_run = {}
    for number, (label, some) in enumerate(found.items()):
        x, y = zip(*some[:MOST_DRAWN], strict=True)
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, MARKERS[number % len(MARKERS)], color=colour, alpha=0.55, ms=3, mew=0, ls="none", label=label)
        by_run[label] = about(some)
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    low, high = axes.get_xlim()
    ratios = [ratio for ratio in RATIOS if low <= math.log2(ratio) <= high]
    if len(ratios) > MOST_TICKS:  # powers of two are enough where the range is wide
        ratios = [ratio for ratio in ratios if math.log2(ratio).is_integer()][:: 1 + len(ratios) // (3 * MOST_TICKS)]
    axes.set_xticks([math.log2(ratio) for ratio in ratios], [f"{ratio:g}×" for ratio in ratios])
    axes.set_xlim(low, high)
    axes.set_xlabel("length of the answer / first sample")
    axes.set_ylabel("gain in reward")
    legend(axes)
    summaries = "; ".join(
        f"{label}: {one['median_ratio']:.2f} times as long in the median, correlation of gain with log length "
        f"{_shown(one['correlation'], 2)}, gain where the answer is not longer "
        f"{_shown(one['gain_not_longer'], 3)} ({one['not_longer']} of {one['queries']} queries)"
        for label, one in by_run.items()
    )
    caption = f"Each point is a query: gain in reward over the first sample, against length in characters. {summaries}."
    marks = [{"series": label, "log2_ratio": x, "gain": y} for label, some in found.items() for x, y in some]
    return Plot("length", "Gain against length", caption, figure, {"points": found, "runs": by_run}, marks)


def points(run: Run) -> list[tuple[float, float]]:
    """For each query whose texts are not empty: the binary logarithm of the length ratio, and the gain."""
    return [
        (math.log2(query.characters / query.first.characters), query.reward - query.first.reward)
        for _, query in sorted(run.queries.items())
        if query.characters and query.first.characters
    ]


def about(some: list[tuple[float, float]]) -> dict[str, float | None]:
    """What the points come to: median length ratio, correlation, and the mean gain where nothing got longer."""
    x, y = ([point[axis] for point in some] for axis in (0, 1))
    kept = [gain for ratio, gain in some if ratio <= 0]
    try:
        together: float | None = correlation(x, y)
    except StatisticsError:  # fewer than two points, or all alike
        together = None
    return {
        "queries": len(some),
        "median_ratio": 2 ** median(x),
        "correlation": together,
        "not_longer": len(kept),
        "gain_not_longer": fmean(kept) if kept else None,
    }


def _shown(value: float | None, digits: int) -> str:
    return DASH if value is None else shown(Estimate(value), digits, signed=True)
