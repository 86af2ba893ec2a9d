"""Stability: how far rewards of repeated generations spread (the paper's figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev

from tpo.evals.figures.curves import band_of
from tpo.evals.figures.data import Group, Run
from tpo.evals.figures.plot import Band, Plot, draw_band, draw_level, legend, marks_of, new_figure
from tpo.stats import mean_of

NEEDS = "a run of width 2 or more with steps"


def stability(group: Group) -> Plot | None:
    """Draw the standard deviation among the answers of a step, which were all drawn from the same prompt.

    Runs that differ in nothing but their seeds are repetitions: the deviation of their answers is a dashed level.
    """
    runs = [run for run in group.runs if run.width > 1 and run.depth > 0 and run.method != "best-of-n"]
    ids = group.shared(runs)
    names = group.names()
    lines = {names[run.path]: band for run in runs if (band := within_steps(run, ids)) is not None}
    levels = {}
    for several in repetitions(group.runs):
        if shared := group.shared(several):
            levels[f"{several[0].label}, answers of {len(several)} runs"] = between_runs(several, shared)
    if not lines:
        return None
    figure, axes = new_figure()
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    for number, (label, level) in enumerate(levels.items()):
        draw_level(axes, level, label, number)
    axes.set_xlabel("step")
    axes.set_ylabel("standard deviation of reward")
    axes.set_xticks(range(max(run.depth for run in runs) + 1))
    axes.set_ylim(bottom=0)
    legend(axes)
    caption = (
        f"Standard deviation of reward among the answers that one step draws from the same prompt, averaged over up to "
        f"{len(ids)} queries, with 95 % intervals. Step 0 is the policy by itself. A step with a single scored answer "
        f"shows nothing and is left out."
    )
    if levels:
        caption += " Dashed: deviation of a query's answer between runs that differ only in their seeds."
    numbers = {"queries": len(ids), "lines": {k: band._asdict() for k, band in lines.items()}, "levels": levels}
    return Plot("stability", "Stability", caption, figure, numbers, marks_of(lines, levels))


def within_steps(run: Run, ids: Sequence[str]) -> Band | None:
    """The mean deviation within each step; None where no step has two answers."""
    x, means = [], []
    for step in range(run.depth + 1):
        rewards = [[seen.reward for seen in run.queries[id].candidates if seen.step == step] for id in ids]
        spreads = [stdev(one) for one in rewards if len(one) > 1]
        if spreads:
            x.append(float(step))
            means.append(mean_of(spreads, 1.0))
    return band_of(x, means) if x else None


def between_runs(runs: Sequence[Run], ids: Sequence[str]) -> float:
    """The mean deviation of a query's answer between runs."""
    return mean_of([stdev([run.queries[id].reward for run in runs]) for id in ids], 1.0).value


def repetitions(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in nothing but their seeds, two or more of a kind."""
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        recipe = dict(run.identity.recipe)
        settings = recipe.get("settings")
        bare = {**recipe, "seed": None}
        if isinstance(settings, dict):
            bare["settings"] = {**settings, "seed": None}
        kinds.setdefault(repr(sorted(bare.items(), key=lambda item: item[0])), []).append(run)
    return [several for several in kinds.values() if len(several) > 1]
