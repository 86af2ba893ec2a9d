"""A stop for a reward of unknown scale: its price in standard deviations of the rewards so far, on drawn answers.

    python benchmarks/stop_by_spread.py docs/results/ifeval-held-out/outcomes.jsonl --method best15

The reward is the held-out judge of the outcomes, `surface` there, which varies freely as a reward model does. Values
are in standard deviations of a query's rewards, so that queries count alike. Best-of-n draws as many answers as the
stop does on average. No call is made.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev, stdev

from tpo.experiments.bank import Draw, Expected, at_tokens, best_of, overall, stopped
from tpo.experiments.outcomes import QueryOutcome, read_outcomes
from tpo.methods.stopping import LEAST_WITHOUT_MAXIMUM, StopRule
from tpo.stats import difference_of

PRICES = (0.05, 0.1, 0.15, 0.2, 0.3)
WAVES = ((1,), (2,), (2, 5, 8))


class SpreadStop(StopRule):
    """The stop rule with a price in standard deviations."""

    def __init__(self, price: float) -> None:
        super().__init__()
        self.in_deviations = price

    def settled(self, rewards: Sequence[float]) -> bool:
        """Whether such rewards are enough."""
        if len(rewards) < LEAST_WITHOUT_MAXIMUM:
            return False
        return StopRule(self.in_deviations * stdev(rewards)).settled(rewards)


def bank_of(outcome: QueryOutcome) -> list[Draw]:
    """The answers of a query, by the judge; empty where it told none from another."""
    scores = [seen.judge for seen in outcome.candidates if seen.judge is not None]
    spread = pstdev(scores) if scores else 0.0
    # An answer costs one, so that equal costs are equal numbers of answers.
    return [Draw(score / spread, score / spread, 1.0) for score in scores] if spread else []


def plain_best(banks: Sequence[Sequence[Draw]], n: int) -> list[Expected]:
    """Best-of-n for each query."""
    return [best_of(bank, n) for bank in banks]


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--method", default="best15")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    outcomes = [one for one in read_outcomes(given.outcomes) if one.method == given.method and one.seed == given.seed]
    for model in sorted({one.model for one in outcomes}):
        banks = [bank for one in outcomes if one.model == model and (bank := bank_of(one))]
        size = min(map(len, banks))
        equal_answers = partial(plain_best, banks)
        plain = [best_of(bank, 1).value for bank in banks]
        full = [best_of(bank, size).value for bank in banks]
        print(f"{model}: {len(banks)} queries, best of {size} is {fmean(full) - fmean(plain):.2f} above one answer\n")
        print("| price | waves | answers | below all | above best-of-n with as many |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for waves in WAVES:
            for price in PRICES:
                found = [stopped(bank, SpreadStop(price), size, waves) for bank in banks]
                values = [one.value for one in found]
                _, equal = at_tokens(equal_answers, size, overall(found).tokens)
                lost = fmean(full) - fmean(values)
                gain = difference_of(values, [one.value for one in equal], 1)
                print(
                    f"| {price:g} | {','.join(map(str, waves))} | {overall(found).draws:.1f} | {lost:.2f} | "
                    f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |"
                )
        print()


if __name__ == "__main__":
    main()
