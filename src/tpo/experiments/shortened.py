"""A search that ends early: what a method would have returned after its first answers, from the order of its draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from tpo.candidate import Rank
from tpo.experiments.bank import Expected, at_tokens, overall
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.results import ModelResults, Worth


def after(outcome: QueryOutcome, n: int, worth: Worth) -> Expected:
    """The best of a search's first answers, and what the search had written by then.

    What the critic and the editor wrote is known in total only. It counts before the first answer to each later
    prompt, in equal parts.

    Args:
        outcome: one of those of `searches`.
        n: how many answers were drawn; all there are where the search has fewer.
        worth: what a candidate is worth.
    """
    drawn = outcome.candidates[:n]
    # Where all of the first answers failed, the next one takes their place.
    some = _measured(drawn, worth) or _measured(outcome.candidates, worth)[:1]
    _, value = max(some, key=lambda pair: pair[0])
    between = max(outcome.completion - sum(one.tokens for one in outcome.candidates), 0)
    later = list(accumulate(len(some) for some in outcome.rounds[:-1]))  # where each round after the first begins
    begun = sum(start < n for start in later) / len(later) if later else 1.0
    return Expected(value, sum(one.tokens for one in drawn) + begun * between, len(drawn))


def _measured(candidates: Sequence[CandidateOutcome], worth: Worth) -> list[tuple[Rank, float]]:
    """What the answers that did not fail are ordered by in a search, the best having the largest, and their values."""
    return [(one.rank, value) for one in candidates if (value := worth(one)) is not None]


def searches(results: ModelResults, method: str, query: str) -> list[QueryOutcome]:
    """The searches of a method for an answer to a query, one for each seed, without those whose answers all failed."""
    return [one for one in results.outcomes(method, query) if _measured(one.candidates, results.worth)]


def shortened(
    results: ModelResults, method: str, queries: Sequence[str], tokens: float
) -> tuple[float, list[Expected]]:
    """A method that ends after n answers, where n makes it spend so many completion tokens for a query on average.

    Args:
        results: the model's outcomes.
        method: its label.
        queries: some that it has `searches` for.
        tokens: what the other side spent on average.

    Returns:
        n and the result for each query; all answers where they cost less.
    """

    def curve(n: int) -> list[Expected]:
        return [overall([after(one, n, results.worth) for one in some]) for some in found]

    found = [searches(results, method, query) for query in queries]
    most = max(len(one.candidates) for some in found for one in some)
    return at_tokens(curve, most, tokens)
