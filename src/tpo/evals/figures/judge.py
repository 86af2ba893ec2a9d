"""Over-optimisation: whether what the reward gained is a gain for a held-out judge too, or the search exploits the
reward (Gao, Schulman and Hilton, arXiv 2210.10760)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from tpo.engine.result import HeldOut
from tpo.evals.figures.curves import band_of
from tpo.evals.figures.data import FinishedQuery, Group, Run
from tpo.evals.figures.plot import GREY, Band, Plot, draw_band, legend, marks_of, new_figure
from tpo.stats import mean_of

TITLE = "Reward and held-out judge"
NEEDS = "a run with --judge, and twenty queries that it scored"
GROUPS = 8
# Queries that a group has at least.
GROUP_SIZE = 10


class JudgedQuery(NamedTuple):
    """A query that a held-out judge scored.

    Attributes:
        query: the query.
        gain: what the answer gained over the first sample in reward.
        first: the judge's score of the first sample.
        answer: its score of the answer.
    """

    query: FinishedQuery
    gain: float
    first: float
    answer: float

    @property
    def judged_gain(self) -> float:
        """What the answer gained by the judge."""
        return self.answer - self.first


def judged_queries(run: Run, ids: Sequence[str] | None = None) -> list[JudgedQuery]:
    """The queries of a run whose first sample and answer have a score of the judge."""
    found = []
    for id in sorted(run.queries) if ids is None else ids:
        query = run.queries[id]
        match query.held_out:
            case HeldOut(first=float(first), answer=float(answer)):
                found.append(JudgedQuery(query, query.reward - query.first.reward, first, answer))
    return found


def judge(group: Group) -> Plot | None:
    """Draw the gain by the judge against the gain in reward, as means of queries with a similar gain in reward."""
    names = group.names()
    lines = {names[run.path]: band for run in group.runs if (band := by_gain(judged_queries(run))) is not None}
    if not lines:
        return None
    figure, axes = new_figure()
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    axes.set_xlabel("gain in reward")
    axes.set_ylabel("gain by the held-out judge")
    legend(axes)
    caption = (
        "Each point is the mean of queries with a similar gain in reward over the first sample, with the 95 % interval "
        "of what the held-out judge, which chose nothing, makes of the same answers. A line that falls to the right "
        "means that the search exploits the reward."
    )
    numbers = {"lines": {label: band._asdict() for label, band in lines.items()}}
    return Plot("judge", TITLE, caption, figure, numbers, marks_of(lines))


def by_gain(found: Sequence[JudgedQuery]) -> Band | None:
    """Means of groups of queries, from the least to the largest gain in reward; None of too few queries."""
    count = min(GROUPS, len(found) // GROUP_SIZE)
    if count < 2:
        return None
    ordered = sorted(found, key=lambda one: one.gain)
    cuts = [len(ordered) * part // count for part in range(count + 1)]
    groups = [ordered[begin:end] for begin, end in itertools.pairwise(cuts)]
    gains = [mean_of([one.gain for one in group]).value for group in groups]
    return band_of(gains, [mean_of([one.judged_gain for one in group]) for group in groups])
