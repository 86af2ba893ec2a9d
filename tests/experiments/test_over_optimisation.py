"""The over-optimisation figure: which queries it is over where some have no score by the held-out judge."""

from __future__ import annotations

from tpo.experiments.figures import over_optimisation
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.results import ModelResults


def bank(query: str, *judged: float | None) -> QueryOutcome:
    """A query's answers with rewards 0, 1, 2, … and their scores by the judge."""
    seen = [CandidateOutcome(0, float(place), 10, 40, judge=judge) for place, judge in enumerate(judged)]
    return QueryOutcome("m", "bank", 1, query, seen[-1].reward, {}, 10, 5, 1, 1, 1.0, 40, "depth", seen)


def results(*outcomes: QueryOutcome) -> ModelResults:
    return ModelResults("m", outcomes, ["bank"], [], "bank", None)


def test_queries_without_scores_are_left_out_and_counted() -> None:
    some = [bank("a", 0.0, 1.0), bank("b", 1.0, 0.0), bank("c", None, None)]
    plot = over_optimisation(results(*some))
    assert plot is not None
    marks = [(mark["series"], mark["n"], mark["mean"]) for mark in plot.marks]
    # Best of two: the second of each.
    assert [(name, n, round(mean, 9)) for name, n, mean in marks] == [
        ("optimised reward", 1, 0.5),
        ("optimised reward", 2, 1.0),
        ("held-out judge", 1, 0.5),
        ("held-out judge", 2, 0.5),
    ]
    assert "over the 2 of 3 queries that have all of these scores" in plot.caption


def test_all_queries_are_just_counted() -> None:
    plot = over_optimisation(results(bank("a", 0.0, 1.0), bank("b", 1.0, 0.0)))
    assert plot is not None
    assert "over 2 queries, with" in plot.caption


def test_a_few_missing_scores_cost_no_query_and_many_do() -> None:
    most = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, None]
    plot = over_optimisation(results(bank("a", *most), bank("b", *most[:5], *[None] * 5)))
    assert plot is not None
    assert "for n from 1 to 9," in plot.caption and "over the 1 of 2 queries" in plot.caption
    assert over_optimisation(results(bank("b", *most[:5], *[None] * 5))) is None
