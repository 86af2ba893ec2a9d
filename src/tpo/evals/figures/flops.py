"""FLOPs against training: after how many queries test-time alignment has cost as much as a DPO run of the paper's size
(the paper's section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tpo.evals.costs import PETA, TRAINING_LENGTH, TRAINING_SAMPLES, cost_of, parameters_of, training_of
from tpo.evals.figures.data import Group
from tpo.evals.figures.plot import COLOURS, Plot, draw_level, legend, new_figure, powers

NEEDS = (
    "parameter counts of all models, and token counts of the reward: names with their size (Llama-3.1-70B), or "
    "--parameters policy=70B"
)


def flops(group: Group, given: Mapping[str, float]) -> Plot | None:
    """Draw the FLOPs of each run, at its mean cost of a query, against those of training its policy.

    Args:
        group: the runs.
        given: parameter counts by role, where the models' names do not have them.
    """
    names = group.names()
    costs: dict[str, float] = {}
    trainings: dict[str, float] = {}
    for run in group.runs:
        parameters = parameters_of(given, run.models)
        seconds = sum(query.seconds for query in run.queries.values())
        cost = cost_of([query.usage for query in run.queries.values()], seconds, len(run.queries), parameters)
        training = training_of(parameters, {names[run.path]: cost} if cost is not None else {})
        if cost is not None and cost.flops and training is not None:
            costs[names[run.path]] = cost.flops
            trainings[f"DPO of {run.policy}"] = training.flops
    if not costs:
        return None
    even = {label: max(trainings.values()) / cost for label, cost in costs.items()}
    most = 10 * max(even.values())
    figure, axes = new_figure()
    for number, (label, each) in enumerate(costs.items()):
        axes.plot([1, most], [each / PETA, most * each / PETA], color=COLOURS[number % len(COLOURS)], label=label)
        axes.plot(
            [even[label]], [max(trainings.values()) / PETA], color=COLOURS[number % len(COLOURS)], marker="o", ls="none"
        )
    for number, (label, level) in enumerate(trainings.items()):
        draw_level(axes, level / PETA, label, number)
    axes.set_xscale("log")
    axes.set_yscale("log")
    powers(axes.xaxis)
    powers(axes.yaxis)
    axes.set_xlabel("queries")
    axes.set_ylabel("PFLOPs")
    legend(axes)
    shown = "; ".join(f"{label}: {count:,.0f} queries" for label, count in even.items())
    caption = (
        f"FLOPs of all roles by the number of queries, from the tokens that were really read and written (2 per "
        f"parameter and token), against DPO on {TRAINING_SAMPLES:,} samples of {TRAINING_LENGTH:,} tokens (8 per "
        f"parameter and token). Dots are where both have cost the same: {shown}. A reward "
        f"that reports no tokens counts as nothing."
    )
    numbers = {"per_query": costs, "training": trainings, "break_even_queries": even}
    marks: list[dict[str, Any]] = [
        {"series": label, "flops_per_query": cost, "break_even_queries": even[label]} for label, cost in costs.items()
    ]
    marks += [{"series": label, "training_flops": level} for label, level in trainings.items()]
    return Plot("flops", "FLOPs against training", caption, figure, numbers, marks)
