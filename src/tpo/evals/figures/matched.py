"""TPO against best-of-n where both may spend the same: samples, tokens or wall-clock (the paper's figure 6, and more).

The paper compares fixed widths and leaves the critiques out of the count. Here, for each query, best-of-n gets as many
of the samples that its run drew as the other method's own spending on that query pays for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import msgspec

from tpo.evals.figures.data import FinishedQuery, Group, Run, best_reward
from tpo.evals.figures.plot import COLOURS, GREY, Plot, new_figure
from tpo.stats import Estimate, share_of

NEEDS = "a run with steps and a best-of-n run over the same queries, with the same reward, as wide as N(D+1) or more"


class Bar(NamedTuple):
    """Wins over best-of-n under one budget.

    Attributes:
        wins: share of queries that the method wins, in percent, a tie counting half.
        samples: how many samples best-of-n got, on average.
        short: share of queries whose best-of-n run had too few samples to spend all that it was allowed, from 0 to 1.
    """

    wins: Estimate
    samples: float
    short: float


def matched(group: Group) -> Plot | None:
    """Draw the win rates of each run with steps against the widest best-of-n run of the same policy."""
    names = group.names()
    found: dict[str, dict[str, Bar]] = {}
    queries: dict[str, int] = {}
    for run in group.runs:
        others = [one for one in group.runs if one.method == "best-of-n" and one.policy == run.policy]
        other = max(others, key=lambda one: one.width, default=None)
        if run.depth == 0 or run.method == "best-of-n" or other is None:
            continue
        ids = group.shared([run, other])
        if ids:
            label = f"{names[run.path]} against {names[other.path]}"
            found[label], queries[label] = bars(run, other, ids), len(ids)
    if not found:
        return None
    figure, axes = new_figure(height=0.85 * len(found))
    places, ticks = [], []
    for number, (label, by_budget) in enumerate(found.items()):
        for place, (budget, bar) in enumerate(by_budget.items()):
            y = -(number * (len(by_budget) + 1.2) + place)
            hatch = "////" if bar.short > 0.05 else ""
            value = bar.wins.value
            low, high = (value if end is None else end for end in (bar.wins.low, bar.wins.high))
            axes.barh(y, value, color=COLOURS[number % len(COLOURS)], alpha=0.75, hatch=hatch, edgecolor="white")
            axes.errorbar(
                value, y, xerr=[[max(value - low, 0)], [max(high - value, 0)]], color="black", capsize=2, linewidth=0.8
            )
            axes.text(min(high + 2, 104), y, f"{value:.0f}", va="center", fontsize=7)
            places.append(y)
            ticks.append(f"{budget} (n = {bar.samples:.1f})")
        axes.text(0, 0.75 - number * (len(by_budget) + 1.2), label, va="bottom", fontsize=7)
    axes.axvline(50, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_yticks(places, ticks)
    axes.set_xlim(0, 108)
    axes.set_ylim(min(places) - 0.7, 1.6)
    axes.set_xlabel("queries won by reward, %")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    short = any(bar.short > 0.05 for one in found.values() for bar in one.values())
    caption = (
        f"How often the answer has a higher reward than that of best-of-n which spent as much on the same query (n: "
        f"its samples, on average), over {_counts(queries)} queries; a tie counts half; 95 % intervals. Tokens are "
        f"prompt and completion tokens of policy, critic and editor. Seconds are those of each run under its own "
        f"load, and best-of-n is taken to draw on at the speed of its run. The judge is the reward that steered "
        f"both: a reward or judge that was held out may see it otherwise."
    )
    if short:
        caption += (
            " Hatched: on more than 5 % of the queries the run had too few samples to spend its whole budget, so that "
            "best-of-n would do better than shown; run it wider."
        )
    numbers = {
        label: {budget: {**bar._asdict(), "wins": msgspec.structs.asdict(bar.wins)} for budget, bar in one.items()}
        for label, one in found.items()
    }
    marks = [
        {
            "series": label,
            "budget": budget,
            "samples": bar.samples,
            "wins": bar.wins.value,
            "low": bar.wins.low,
            "high": bar.wins.high,
            "short": bar.short,
        }
        for label, one in found.items()
        for budget, bar in one.items()
    ]
    title = "Against best-of-n for the same money"
    return Plot("matched", title, caption, figure, {"queries": queries, "bars": numbers}, marks)


def bars(run: Run, other: Run, ids: Sequence[str]) -> dict[str, Bar]:
    """The win rates of a run against a best-of-n run, by what is equal."""
    budgets: dict[str, Callable[[FinishedQuery, FinishedQuery], int]] = {
        "equal samples": lambda one, bon: len(one.candidates),
        "equal tokens": affordable,
        "equal seconds": in_time,
    }
    found = {}
    for name, allowed in budgets.items():
        wins, samples, short = [], [], []
        for id in ids:
            one, bon = run.queries[id], other.queries[id]
            wanted = max(allowed(one, bon), 1)
            k = min(wanted, len(bon.candidates))
            best = best_reward(bon.candidates[:k])
            wins.append(0.5 if one.reward == best else float(one.reward > best))
            samples.append(float(k))
            short.append(float(wanted > k))
        found[name] = Bar(share_of(wins, 100), fmean(samples), fmean(short))
    every = [(run.queries[id].reward, other.queries[id].reward) for id in ids]
    wins = [0.5 if one == bon else float(one > bon) for one, bon in every]
    pool = fmean(float(len(other.queries[id].candidates)) for id in ids)
    found["all its samples"] = Bar(share_of(wins, 100), pool, 0.0)
    return found


def affordable(one: FinishedQuery, bon: FinishedQuery) -> int:
    """How many samples of best-of-n cost no more tokens than a query did; its prompt tokens count in proportion."""
    completions = sum(seen.tokens for seen in bon.candidates)
    prompt = max(bon.tokens - completions, 0) / len(bon.candidates)
    spent, count = 0.0, 0
    for seen in bon.candidates:
        spent += prompt + seen.tokens
        if spent > one.tokens:
            return count
        count += 1
    return int(count * one.tokens / spent) if spent else count


def in_time(one: FinishedQuery, bon: FinishedQuery) -> int:
    """How many samples best-of-n draws while a query takes, at the speed of its run."""
    return int(len(bon.candidates) * one.seconds / bon.seconds) if bon.seconds else len(bon.candidates)


def _counts(queries: dict[str, int]) -> str:
    return " and ".join(str(count) for count in sorted(set(queries.values())))
