"""Scaling by width and by depth: reward against the samples that it took (the paper's figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from tpo.evals.figures.curves import band_of
from tpo.evals.figures.data import CandidateSummary, FinishedQuery, Group, Run
from tpo.evals.figures.plot import Band, Plot, draw_band, legend, marks_of, new_figure
from tpo.stats import mean_of

NEEDS = "a run of width 2 or more, and queries that all such runs answered"


def scaling(group: Group) -> Plot | None:
    """Draw a line for width, read off the widest pool of first samples, and one for the depth of each run with steps.

    Width: the expected best of k first samples, for every k, without drawing any anew. Depth: the best until each step,
    at the samples drawn until then.
    """
    wide = [run for run in group.runs if run.width > 1]
    ids = group.shared(wide)
    if not wide or not ids:
        return None
    names = group.names()
    widest = max(wide, key=lambda run: run.width)
    lines = {"best of k first samples": by_width(widest, ids)}
    for run in sorted((run for run in wide if run.depth > 0 and run.method != "best-of-n"), key=lambda run: run.width):
        lines[f"{names[run.path]}, by depth"] = by_depth(run, ids)
    figure, axes = new_figure()
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    most = max(band.x[-1] for band in lines.values())
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(12) if 2**power <= most]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("samples")
    axes.set_ylabel("best reward")
    legend(axes)
    caption = (
        f"Mean reward against samples, with 95 % intervals over {len(ids)} queries. Width: the expected best of k of "
        f"the {widest.width} first samples of {names[widest.path]}. Depth: the best until each step; critiques are not "
        f"counted as samples."
    )
    numbers = {"queries": len(ids), "lines": {label: band._asdict() for label, band in lines.items()}}
    return Plot("scaling", "Width and depth", caption, figure, numbers, marks_of(lines))


def by_width(run: Run, ids: Sequence[str]) -> Band:
    """The mean of the expected best of k first samples, for every k."""
    firsts = [[seen for seen in run.queries[id].candidates if seen.step == 0] for id in ids]
    widths = range(1, min(map(len, firsts)) + 1)
    means = [mean_of([expected_best(seen, k) for seen in firsts], 1.0) for k in widths]
    return band_of([float(k) for k in widths], means)


def by_depth(run: Run, ids: Sequence[str]) -> Band:
    """The mean of the best until each step, against the mean number of samples until then."""
    steps = range(run.depth + 1)
    samples = [mean_of([float(_until(run.queries[id], step)) for id in ids], 1.0).value for step in steps]
    means = [mean_of([run.queries[id].best_by(step) for id in ids], 1.0) for step in steps]
    return band_of(samples, means)


def expected_best(candidates: Sequence[CandidateSummary], k: int) -> float:
    """The expected reward of the best of k candidates drawn from these without putting any back.

    The i-th smallest of n is the best of comb(i - 1, k - 1) of the comb(n, k) draws.
    """
    ordered, draws = sorted(candidates, key=lambda seen: seen.rank), comb(len(candidates), k)
    return sum(seen.reward * (comb(place, k - 1) / draws) for place, seen in enumerate(ordered))


def _until(query: FinishedQuery, step: int) -> int:
    return sum(seen.step <= step for seen in query.candidates)
