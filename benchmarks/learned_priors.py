"""Priors learned from a run's earlier queries against the fixed ones, offline, on answers that were drawn once.

    python benchmarks/learned_priors.py stop docs/results/ifeval*/outcomes.jsonl
    python benchmarks/learned_priors.py adaptive docs/results/ifeval*/outcomes.jsonl

`stop` lets queries come in random orders and draws the answers of best-of-15 one by one, until the largest reward or an
expected gain below the price. `adaptive` lets the bandit draw from what was drawn once, with replacement: plain ones
from best-of-15, the others from the later steps of `restate`, `words` and `tpo`. Where a method needed no later step,
its answers count as plain ones. Differences are those of prompts with all rules kept, in points, at equal tokens.

Written down before the first computation (2026-11-29):

1. Bayes stop. Hypothesis: the fixed prior (a mean of half of the maximum) overrates weak models, so that a prior
   from the finished queries of the run gives up on hopeless queries sooner and spends more where there is hope.
   Prediction: at the tokens of the fixed prior with price 0.01, 0.02 and 0.05 it keeps all rules in at least 1 point
   more prompts on at least two of the three models. False if it is below that, and useless where it loses.
   The form in which the weight of the mean is the ratio of the variance within queries to that between them gains at
   least as much as a fixed weight of 1.
2. Adaptive. Hypothesis: the fixed lifts (a restated rule helps by half a standard deviation) are wrong for the 135M,
   and a lift learned from the run is not. Prediction: with lifts that are learned from answers of the same wave, the
   share of plain answers after the first wave grows by a half or more on the 135M within its queries, and at equal
   tokens learned lifts lose on no model more than 1 point against the fixed ones. False if plain sampling does not
   get more, or a model loses more.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pvariance
from typing import NamedTuple

from tpo.candidate import Candidate
from tpo.experiments.bank import Draw
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome, read_outcomes
from tpo.methods.adaptive import ARMS, COSTS, PRIOR_WEIGHT, Arm
from tpo.methods.adaptive import LIFTS as PRIOR
from tpo.methods.bandit import PLAIN, Bandit
from tpo.methods.lifts import PLAIN_PROMPT, Lifts, Wave, lifts_of, together
from tpo.methods.stopping import LEAST, RewardPrior, usual_prior
from tpo.stats import mean_of

MAXIMUM = 1.0
PRICES = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)
SHOWN = (0.01, 0.02, 0.05)
USUAL_PRICE = 0.05
USUAL = usual_prior([], MAXIMUM)

# The rewards of each finished query.
Finished = Sequence[Sequence[float]]


class Point(NamedTuple):
    """What a rule brought at one price: for each query the share of orders with all rules kept, and mean tokens."""

    kept: list[float]
    tokens: list[float]


def pooled(weight: int) -> Callable[[Finished], RewardPrior]:
    """Mean and variance of all rewards, with the weight of one answer for the mean and `weight` for the variance."""

    def prior(finished: Finished) -> RewardPrior:
        rewards = [one for some in finished for one in some]
        known = RewardPrior(USUAL.mean, 1.0, 1, USUAL.variance).after(rewards)
        return RewardPrior(known.mean, 1.0, weight, known.variance)

    return prior


def hierarchical(finished: Finished, fixed_weight: float | None = None) -> RewardPrior:
    """The mean over queries, the variance within them; the mean weighs the ratio of that to the variance between.

    The usual prior counts as one query, and as one degree of freedom of either variance.
    """
    means = [fmean(some) for some in finished]
    mean = (USUAL.mean + sum(means)) / (1 + len(means))
    squares = sum((one - center) ** 2 for some, center in zip(finished, means, strict=True) for one in some)
    within = (USUAL.variance + squares) / (1 + sum(len(some) - 1 for some in finished))
    noise = fmean(within / len(some) for some in finished) if finished else 0.0
    spread = (USUAL.variance + sum((one - mean) ** 2 for one in means)) / (1 + len(means))
    between = max(spread - noise, within / 10)
    weight = fixed_weight or min(max(within / between, 0.1), 10.0)
    return RewardPrior(mean, weight, 2, max(within, 1e-6))


def banks_of(outcomes: Sequence[QueryOutcome], model: str) -> list[list[Draw]]:
    """The answers of best-of-15, by query."""
    return [
        [Draw(one.reward or 0.0, one.value or 0.0, one.tokens, one.leaked) for one in outcome.candidates]
        for outcome in sorted(outcomes, key=lambda one: one.query)
        if outcome.model == model and outcome.method == "best15"
    ]


def drawn_until(bank: Sequence[Draw], prior: RewardPrior, price: float) -> int:
    """How many answers are drawn, one by one, until the largest reward or a gain below the price."""
    gain = gain_after if prior == USUAL else _gain_after
    rewards: list[float] = []
    for count, one in enumerate(bank, 1):
        rewards.append(one.reward)
        if one.reward >= MAXIMUM:
            return count
        if price and count >= LEAST and gain(prior, tuple(sorted(rewards))) < price:
            return count
    return len(bank)


def _gain_after(prior: RewardPrior, rewards: tuple[float, ...]) -> float:
    return prior.after(rewards).gain_over(rewards[-1])


gain_after = functools.cache(_gain_after)


def curve(
    banks: Sequence[Sequence[Draw]], learn: Callable[[Finished], RewardPrior], orders: int, *, known: bool
) -> list[Point]:
    """A point for each price, the mean over random orders of queries and answers.

    Args:
        banks: the answers to each query.
        learn: the prior, from the rewards of the queries before.
        orders: how many.
        known: learn from all answers of all other queries, which is more than a run can know.
    """
    points = []
    for price in PRICES:
        kept, tokens = [0.0] * len(banks), [0.0] * len(banks)
        dice = random.Random(0)
        for _ in range(orders):
            finished: list[list[float]] = []
            for place in dice.sample(range(len(banks)), len(banks)):
                order = dice.sample(banks[place], len(banks[place]))
                others = [[one.reward for one in bank] for at, bank in enumerate(banks) if at != place] if known else []
                taken = order[: drawn_until(order, learn(others or finished), price)]
                finished.append([one.reward for one in taken])
                kept[place] += max(taken, key=lambda one: one.rank).value / orders
                tokens[place] += sum(one.tokens for one in taken) / orders
        points.append(Point(kept, tokens))
    return points


def at(points: Sequence[Point], tokens: float) -> list[float]:
    """The queries' shares at so many mean tokens, between two prices in proportion."""
    ordered = sorted(points, key=lambda one: fmean(one.tokens))
    for before, after in itertools.pairwise(ordered):
        low, high = fmean(before.tokens), fmean(after.tokens)
        if low <= tokens <= high and high > low:
            part = (tokens - low) / (high - low)
            return [a + part * (b - a) for a, b in zip(before.kept, after.kept, strict=True)]
    return (ordered[0] if tokens < fmean(ordered[0].tokens) else ordered[-1]).kept


def stop(outcomes: Sequence[QueryOutcome], models: Sequence[str], orders: int) -> None:
    """Print the table of the Bayes stop."""
    priors: dict[str, tuple[Callable[[Finished], RewardPrior], bool]] = {
        "pooled, nu0=1": (pooled(1), False),
        "pooled, nu0=2": (pooled(2), False),
        "by query, k0=1": (lambda finished: hierarchical(finished, 1.0), False),
        "hierarchical": (hierarchical, False),
        "hierarchical, all other answers": (_remembered(), True),
    }
    print("| model | queries | prior | " + " | ".join(f"at the tokens of price {one}" for one in SHOWN) + " |")
    print("| --- | ---: | --- | " + "---: | " * len(SHOWN))
    for model in models:
        banks = banks_of(outcomes, model)
        fixed = curve(banks, lambda _: USUAL, orders, known=False)
        shown = [fixed[PRICES.index(price)] for price in SHOWN]
        cells = [f"{100 * fmean(one.kept):.1f} % for {fmean(one.tokens):.0f}" for one in shown]
        print(f"| {model} | {len(banks)} | fixed | {' | '.join(cells)} |", flush=True)
        for name, (learn, known) in priors.items():
            points = curve(banks, learn, orders, known=known)
            cells = []
            for one in shown:
                gains = [b - a for a, b in zip(one.kept, at(points, fmean(one.tokens)), strict=True)]
                cells.append(f"{mean_of(gains).times(100)}")
            print(f"| {model} | {len(banks)} | {name} | {' | '.join(cells)} |", flush=True)


def _remembered() -> Callable[[Finished], RewardPrior]:
    """The hierarchical prior, computed once for the same queries."""
    known = functools.cache(hierarchical)
    return lambda finished: known(tuple(map(tuple, finished)))


# The methods whose later answers show what an arm brings.
SOURCES = {"restate": ("restate", "restate2"), "words": ("words",), "advice": ("tpo",)}
ADAPTIVE_PRICES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
CRITIQUE = 150  # tokens
WAVES = (2, 4, 8)

Pools = Mapping[str, Sequence[CandidateOutcome]]
Teach = Callable[[Sequence[Lifts]], dict[str, float]]


def pools_of(outcomes: Sequence[QueryOutcome], model: str) -> list[Pools]:
    """What each arm brings, by query, where all arms of the model were drawn."""
    drawn = {(one.query, one.method): one.candidates for one in outcomes if one.model == model}
    arms = {arm: labels for arm, labels in SOURCES.items() if any(method in labels for _, method in drawn)}
    found: list[Pools] = []
    for query in sorted(query for query, method in drawn if method == "best15"):
        plain = drawn[query, "best15"]
        pools = {PLAIN: plain}
        for arm, labels in arms.items():
            some = next((drawn[query, label] for label in labels if (query, label) in drawn), None)
            if some is not None:
                pools[arm] = [one for one in some if one.later] or plain
        if len(pools) == len(arms) + 1:
            found.append(pools)
    return found


def measured(queries: Sequence[Pools]) -> dict[str, float]:
    """The lift of each arm over all its answers."""
    spread = fmean(pvariance([one.reward or 0.0 for one in pools[PLAIN]]) for pools in queries) ** 0.5
    lifts = {}
    for arm in queries[0]:
        both = [(pools[arm], pools[PLAIN]) for pools in queries if pools[arm] is not pools[PLAIN]]
        surplus = sum(
            sum(one.reward or 0.0 for one in later) - len(later) * fmean(one.reward or 0.0 for one in plain)
            for later, plain in both
        )
        lifts[arm] = surplus / sum(len(later) for later, _ in both) / spread if both else 0.0
    return lifts


class Searched(NamedTuple):
    """A search by the bandit: whether all rules are kept, its tokens, and the rewards of its waves."""

    kept: float
    tokens: float
    waves: list[Wave]


def searched(pools: Pools, expected: Mapping[str, float], price: float, dice: random.Random) -> Searched:
    """One search as `adaptive` makes it, at most 15 answers."""
    bandit = Bandit(expected, COSTS, MAXIMUM, dice)
    seen: list[CandidateOutcome] = []
    waves: list[Wave] = []
    tokens, arms = 0, list(expected)
    shares = {PLAIN: 1}
    for size in (*WAVES, 0):
        wave = {}
        for arm, share in shares.items():
            drawn = [dice.choice(pools[arm]) for _ in range(share)]
            other = CRITIQUE if arm == "advice" else 0
            answers = [Candidate("id", 0, "text", one.reward or 0.0, tokens=one.tokens) for one in drawn]
            bandit.record(arm, answers, other)
            wave[PLAIN_PROMPT if arm == PLAIN else arm] = [one.reward or 0.0 for one in drawn]
            tokens += other + sum(one.tokens for one in drawn)
            seen += drawn
        waves.append(wave)
        best = max(one.reward or 0.0 for one in seen)
        if not size or best >= MAXIMUM or bandit.expected_gain(arms, best) < price:
            break
        shares = bandit.split(arms, size, best)
    top = max(seen, key=lambda one: one.reward or 0.0)
    return Searched(top.value or 0.0, tokens, waves)


def learned(earlier: Sequence[Lifts], arms: Iterable[Arm]) -> dict[str, float]:
    """What `adaptive` expects of each arm after some queries."""
    expected: dict[str, float] = {}
    for arm in arms:
        seen = [lifts[arm] for lifts in earlier if arm in lifts]
        before = PRIOR.get(arm, 0.0)
        expected[arm] = together(seen).blended(before, PRIOR_WEIGHT) if seen else before
    return expected


def adaptive_curve(queries: Sequence[Pools], teach: Teach, orders: int) -> tuple[list[Point], Counter[str]]:
    """A point for each price, and the later answers of each arm in the last third of the queries at the usual one."""
    points, late = [], Counter[str]()
    for price in ADAPTIVE_PRICES:
        kept, tokens = [0.0] * len(queries), [0.0] * len(queries)
        dice = random.Random(0)
        for _ in range(orders):
            earlier: list[Lifts] = []
            for number, place in enumerate(dice.sample(range(len(queries)), len(queries))):
                found = searched(queries[place], teach(earlier), price, dice)
                earlier.append(lifts_of(found.waves, MAXIMUM))
                kept[place] += found.kept / orders
                tokens[place] += found.tokens / orders
                if price == USUAL_PRICE and number >= len(queries) * 2 / 3:
                    late.update({arm: len(some) for wave in found.waves[1:] for arm, some in wave.items()})
        points.append(Point(kept, tokens))
    return points, late


def adaptive(outcomes: Sequence[QueryOutcome], models: Sequence[str], orders: int) -> None:
    """Print the table of the bandit."""
    print("| model | queries | lifts | all rules kept | later answers in the last third | measured lifts |")
    print("| --- | ---: | --- | ---: | --- | --- |")
    for model in models:
        queries = pools_of(outcomes, model)
        arms = [arm for arm in ARMS if arm in queries[0]]
        truth = measured(queries)
        expected: dict[str, Teach] = {
            "fixed": lambda _, arms=arms: {arm: PRIOR.get(arm, 0.0) for arm in arms},  # type: ignore[misc]
            "learned": lambda earlier, arms=arms: learned(earlier, arms),  # type: ignore[misc]
            "measured": lambda _, truth=truth: truth,  # type: ignore[misc]
            "plain answers alone": lambda _: {PLAIN: 0.0},
        }
        base: Point | None = None
        for name, teach in expected.items():
            points, late = adaptive_curve(queries, teach, orders)
            base = base or points[ADAPTIVE_PRICES.index(USUAL_PRICE)]
            pairs = zip(base.kept, at(points, fmean(base.tokens)), strict=True)
            cell = f"{mean_of([now - before for before, now in pairs]).times(100)}"
            if name == "fixed":
                cell = f"{100 * fmean(base.kept):.1f} % for {fmean(base.tokens):.0f}"
            shares = ", ".join(f"{arm} {count / late.total():.2f}" for arm, count in sorted(late.items()))
            lifts = ", ".join(f"{arm} {truth[arm]:.2f}" for arm in arms if arm != PLAIN) if name == "measured" else ""
            print(f"| {model} | {len(queries)} | {name} | {cell} | {shares} | {lifts} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["stop", "adaptive"])
    parser.add_argument("outcomes", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["135m", "0.5b", "1.5b"])
    parser.add_argument("--orders", type=int, default=100)
    given = parser.parse_args(arguments)
    outcomes = [one for path in given.outcomes for one in read_outcomes(path)]
    (stop if given.what == "stop" else adaptive)(outcomes, given.models, given.orders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
