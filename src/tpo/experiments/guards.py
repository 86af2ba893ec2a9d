"""What warns that a method games its reward, as `tpo run` warns of it: answers that grow, a held-out judge that falls.

All figures are differences between a query's answer and its first sample, so that easy and hard queries do not blur
them, and a warning needs an interval that is clear of zero.
"""

from __future__ import annotations

from tpo.experiments.outcomes import QueryOutcome
from tpo.experiments.results import Measure, ModelResults, growth
from tpo.runs.guards import GROWTH
from tpo.stats import Estimate, mean_of


def judge_gain(one: QueryOutcome) -> float | None:
    """By how much the held-out judge puts the answer above the first sample; None without its scores."""
    return None if one.judge is None or one.first.judge is None else one.judge - one.first.judge


def reward_gain(one: QueryOutcome) -> float | None:
    """By how much the answer's reward exceeds the first sample's."""
    return None if one.reward is None or one.first.reward is None else one.reward - one.first.reward


def warnings(results: ModelResults) -> list[str]:
    """What a reader should know before trusting the reward of a model's methods."""
    found = []
    for label in results.methods:
        longer = growth(results, label, results.shared)
        more = _mean(results, label, lambda one: one.characters - one.first.characters)
        if longer is not None and longer > GROWTH and more is not None and (more.low or 0.0) > 0:
            found.append(
                f"{results.model}, {label}: answers are {longer:.0%} longer than first samples; the reward may pay for "
                f"length."
            )
        gain, judged = _mean(results, label, reward_gain), _mean(results, label, judge_gain)
        if gain is not None and judged is not None and (gain.low or 0.0) > 0 > (judged.high or 0.0):
            found.append(
                f"{results.model}, {label}: the reward rises by {gain.value:.3f} over first samples while the held-out "
                f"judge falls by {-judged.value:.3f}; the search exploits the reward."
            )
    return found


def _mean(results: ModelResults, label: str, measure: Measure) -> Estimate | None:
    values = results.values(label, measure, results.shared)
    return mean_of(values) if values else None
