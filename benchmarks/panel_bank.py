"""What a panel of models gains and loses against each of its members, offline, on answers that were drawn once.

    python benchmarks/panel_bank.py docs/results/ifeval/outcomes.jsonl --method best15 --models 0.5b 1.5b [--maximum 1]

The outcomes are those of `tpo experiment`; the method is a best-of-n that drew all of its answers. The panel's answers
come from its members in turn, as `--policy a=… --policy b=…` shares them out; another member begins each time, so that
none gets all ties or more answers. The reward picks the best. With a maximum, the same is shown for answers drawn one
by one, none after the first with the largest reward. Means over random orders of the answers, queries that all members
have; the difference is paired by query, from the member that keeps most at the same number of answers. Completion
tokens are shown for each member.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tpo.experiments.outcomes import CandidateOutcome, read_outcomes
from tpo.stats import difference_of
from tpo.tables import shown

ORDERS = 200
COUNTS = (2, 4, 6, 10, 15)

Banks = Mapping[str, Sequence[CandidateOutcome]]


class Brought(NamedTuple):
    """What one query brings: the grade of the answer that is chosen, and tokens by member."""

    value: float
    tokens: dict[str, float]
    wins: dict[str, float]


def brought(banks: Banks, members: Sequence[str], count: int, maximum: float | None) -> Brought:
    """The best of so many answers to a query, drawn from the members in turn.

    Args:
        banks: the answers of each member.
        members: who draws.
        count: answers in all.
        maximum: draw one by one, and none after an answer with this reward; None draws all at once.
    """
    chance = random.Random(0)
    values: list[float] = []
    tokens, wins = dict.fromkeys(members, 0.0), dict.fromkeys(members, 0.0)
    for begin in range(ORDERS):
        orders = {member: chance.sample(banks[member], len(banks[member])) for member in members}
        taken: list[tuple[str, CandidateOutcome]] = []
        for place in range(count):
            member = members[(begin + place) % len(members)]
            taken.append((member, orders[member][place // len(members)]))
            if maximum is not None and (taken[-1][1].reward or 0.0) >= maximum:
                break
        chosen, best = max(taken, key=lambda one: one[1].reward or 0.0)
        values.append(best.reward or 0.0 if best.value is None else best.value)
        wins[chosen] += 1 / ORDERS
        for member, one in taken:
            tokens[member] += one.tokens / ORDERS
    return Brought(fmean(values), tokens, wins)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--method", required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--maximum", type=float)
    given = parser.parse_args(arguments)
    found: dict[str, dict[str, Sequence[CandidateOutcome]]] = {model: {} for model in given.models}
    for one in read_outcomes(given.outcomes):
        if one.method == given.method and one.model in found:
            found[one.model].setdefault(one.query, one.candidates)
    queries = sorted(set.intersection(*(set(banks) for banks in found.values())))
    if not queries:
        print("There is no query that all models have.", file=sys.stderr)
        return 2
    print(f"{len(queries)} queries\n")
    print("| answers | drawn | who | kept, % | panel above it | answers chosen | completion tokens |")
    print("| ---: | --- | --- | ---: | ---: | --- | --- |")
    for maximum in dict.fromkeys((None, given.maximum)):
        for count in COUNTS:
            sides = {model: [model] for model in given.models} | {"panel": list(given.models)}
            each = {
                side: [brought({m: found[m][query] for m in members}, members, count, maximum) for query in queries]
                for side, members in sides.items()
            }
            panel = [one.value for one in each["panel"]]
            for side, members in sides.items():
                values = [one.value for one in each[side]]
                gap = "–" if side == "panel" else shown(difference_of(panel, values, 100), 1, signed=True)
                wins = ", ".join(f"{member} {fmean(one.wins[member] for one in each[side]):.0%}" for member in members)
                tokens = ", ".join(
                    f"{member} {fmean(one.tokens[member] for one in each[side]):.0f}" for member in members
                )
                how = "at once" if maximum is None else "until one keeps all"
                print(f"| {count} | {how} | {side} | {100 * fmean(values):.1f} | {gap} | {wins} | {tokens} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
