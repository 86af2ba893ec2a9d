"""One budget for all queries against the same number of answers for each, offline, on answers that were drawn once.

    python benchmarks/total_budget.py docs/results/ifeval/outcomes.jsonl --method best15 --maximum 1

The outcomes are those of `tpo experiment`; the method is a best-of-n that drew all of its answers. Answers are drawn
one by one, and no query draws on after an answer with the largest reward. For each number of answers that all queries
may draw, the shared budget (`tpo run --total-budget-tokens`) is what these take on average. Means over random orders of
the answers; tokens are completion tokens of a query.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tpo.experiments.outcomes import CandidateOutcome, read_outcomes
from tpo.runs.total_budget import QueryAccount, next_round


class Spent(NamedTuple):
    """What the answers of all queries came to: mean reward, mean grade, tokens of a query."""

    reward: float
    value: float
    tokens: float


def came_to(banks: Sequence[Sequence[CandidateOutcome]], drawn: Sequence[int]) -> Spent:
    """The best of the first answers of each query.

    Args:
        banks: the answers to each query, in the order in which they are drawn.
        drawn: how many of them were drawn.
    """
    taken = [bank[:count] for bank, count in zip(banks, drawn, strict=True)]
    best = [max(some, key=lambda one: one.reward or 0.0) for some in taken]
    return Spent(
        fmean(one.reward or 0.0 for one in best),
        fmean(one.reward or 0.0 if one.value is None else one.value for one in best),
        sum(one.tokens for some in taken for one in some) / len(banks),
    )


def equal(banks: Sequence[Sequence[CandidateOutcome]], count: int, maximum: float | None) -> Spent:
    """So many answers for each query, fewer where one has the largest reward."""
    return came_to(banks, [_until(bank[:count], maximum) for bank in banks])


def shared(banks: Sequence[Sequence[CandidateOutcome]], budget: float, maximum: float | None) -> Spent:
    """So many tokens for all queries."""
    drawn = [1] * len(banks)
    while True:
        waiting = {
            row: QueryAccount(tuple(one.reward or 0.0 for one in taken), sum(one.tokens for one in taken), count, count)
            for row, count in enumerate(drawn)
            if count < _until(banks[row], maximum) and (taken := banks[row][:count])
        }
        chosen = next_round(waiting, budget - came_to(banks, drawn).tokens * len(banks), maximum)
        if not chosen:
            return came_to(banks, drawn)
        for row in chosen:
            drawn[row] += 1


def _until(bank: Sequence[CandidateOutcome], maximum: float | None) -> int:
    """How many answers are drawn until one has the largest reward, or all are."""
    hits = (place for place, one in enumerate(bank, 1) if maximum is not None and (one.reward or 0.0) >= maximum)
    return next(hits, len(bank))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--method", required=True)
    parser.add_argument("--maximum", type=float)
    parser.add_argument("--orders", type=int, default=200)
    given = parser.parse_args(arguments)
    answers = [one.candidates for one in read_outcomes(given.outcomes) if one.method == given.method]
    if not answers:
        print(f"There is no outcome of {given.method}.", file=sys.stderr)
        return 2
    dice = random.Random(0)
    orders = [[dice.sample(bank, len(bank)) for bank in answers] for _ in range(given.orders)]
    print(f"{len(answers)} queries\n")
    print("| answers each | tokens | reward | grade | shared: tokens | reward | grade |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in range(2, min(map(len, answers)) + 1):
        same = _mean([equal(banks, count, given.maximum) for banks in orders])
        budget = same.tokens * len(answers)
        other = _mean([shared(banks, budget, given.maximum) for banks in orders])
        cells = [f"{one.tokens:.0f} | {one.reward:.3f} | {one.value:.3f}" for one in (same, other)]
        print(f"| {count} | {' | '.join(cells)} |")
    return 0


def _mean(some: Sequence[Spent]) -> Spent:
    return Spent(*(fmean(column) for column in zip(*some, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
