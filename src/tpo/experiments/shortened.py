"""A search that ends early: what a method would have returned after its first answers, from the order of its draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tpo.experiments.bank import Expected, at_tokens, overall
from tpo.experiments.outcomes import QueryOutcome
from tpo.experiments.results import ModelResults, main_value


def after(outcome: QueryOutcome, n: int) -> Expected:
    """The best of a search's first answers, and what the search had written by then.

    What the critic and the editor wrote is known in total only. It counts before the first answer of each later step,
    in equal parts.

    Args:
        outcome: one query of the method, with an answer that is measured.
        n: how many answers were drawn; all there are where the search has fewer.
    """
    drawn = outcome.candidates[:n]
    measured = [(one, value) for one in outcome.candidates if (value := main_value(one)) is not None]
    # Where all of the first answers failed, the next one takes their place.
    some = [(one, value) for one, value in measured if one in drawn] or measured[:1]
    _, value = max(some, key=lambda pair: (not pair[0].leaked, -math.inf if pair[0].reward is None else pair[0].reward))
    between = max(outcome.completion - sum(one.tokens for one in outcome.candidates), 0)
    later = {one.step for one in outcome.candidates if one.step}
    begun = len(later & {one.step for one in drawn}) / len(later) if later else 1.0
    return Expected(value, sum(one.tokens for one in drawn) + begun * between, len(drawn))


def shortened(
    results: ModelResults, method: str, queries: Sequence[str], tokens: float
) -> tuple[float, list[Expected]]:
    """A method that ends after n answers, where n makes it spend so many completion tokens for a query on average.

    Args:
        results: the model's outcomes.
        method: its label.
        queries: some that it has a measured answer to.
        tokens: what the other side spent on average.

    Returns:
        n and the result for each query; all answers where they cost less.
    """

    def curve(n: int) -> list[Expected]:
        return [overall([after(one, n) for one in results.outcomes(method, query)]) for query in queries]

    most = max(len(one.candidates) for query in queries for one in results.outcomes(method, query))
    return at_tokens(curve, most, tokens)
