"""Test-time training curves: the reward of the best answer so far, by step (the paper's figures 3 and 8 to 10)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from tpo.evals.figures.data import Group, Run
from tpo.evals.figures.plot import Band, Plot, draw_band, draw_level, legend, marks_of, new_figure
from tpo.stats import Estimate, mean_of

NEEDS = "a run with steps: --method tpo or revision, --depth 1 or more, and queries that all runs answered"


def curves(group: Group) -> Plot | None:
    """Draw the curves of all runs with steps, over the queries that they share.

    Levels without steps are dashed: each policy's own first sample, and best-of-n where there is such a run.
    """
    stepping = [run for run in group.runs if run.depth > 0 and run.method != "best-of-n"]
    flat = [run for run in group.runs if run.method == "best-of-n"]
    ids = group.shared(stepping + flat)
    if not stepping or not ids:
        return None
    names = group.names()
    lines = {names[run.path]: by_step(run, ids) for run in stepping}
    levels = {f"{run.policy}, first sample": _first(run, ids) for run in reversed(stepping)}
    levels |= {names[run.path]: fmean(run.queries[id].reward for id in ids) for run in flat}
    figure, axes = new_figure()
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    for number, (label, level) in enumerate(levels.items()):
        draw_level(axes, level, label, number)
    axes.set_xlabel("step")
    axes.set_ylabel("best reward so far")
    axes.set_xticks(range(max(run.depth for run in stepping) + 1))
    legend(axes)
    caption = (
        f"Mean reward of the best answer until each step, with 95 % intervals over the {len(ids)} queries that all of "
        f"these runs answered. Step 0 is best-of-N of the first samples; a search that ended early keeps its answer. "
        f"The first sample is the policy without alignment."
    )
    numbers = {"queries": len(ids), "lines": {k: band._asdict() for k, band in lines.items()}, "levels": levels}
    return Plot("curves", "Reward by step", caption, figure, numbers, marks_of(lines, levels))


def by_step(run: Run, ids: Sequence[str]) -> Band:
    """The mean of the best reward until each step."""
    steps = list(range(run.depth + 1))
    means = [mean_of([run.queries[id].best_by(step) for id in ids], 1.0) for step in steps]
    return band_of([float(step) for step in steps], means)


def band_of(x: list[float], means: Sequence[Estimate]) -> Band:
    """Estimates as a line; one without an interval has none of width."""
    y = [one.value for one in means]
    low = [one.value if one.low is None else one.low for one in means]
    high = [one.value if one.high is None else one.high for one in means]
    return Band(x, y, low, high)


def _first(run: Run, ids: Sequence[str]) -> float:
    return fmean(run.queries[id].first.reward for id in ids)
