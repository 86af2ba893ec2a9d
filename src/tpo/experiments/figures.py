"""The figures of an experiment, each with its data as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from tpo.candidate import best_reward
from tpo.evals.figures.plot import (
    COLOURS,
    GREY,
    MARKERS,
    Band,
    Plot,
    draw_band,
    legend,
    marks_of,
    new_figure,
)
from tpo.experiments.bank import Draw, Expected, best_of, overall
from tpo.experiments.comparison import win_share
from tpo.experiments.outcomes import QueryOutcome
from tpo.experiments.results import Measure, ModelResults, Worth, main_of, tokens_of
from tpo.experiments.rules import curve_of
from tpo.stats import Estimate, mean_of, share_of


def figures(results: ModelResults) -> list[Plot]:
    """All figures of a model that there is data for; to be called inside `tpo.evals.figures.plot.look`."""
    drawn = [pareto(results), by_seconds(results), by_step(results), width_depth(results), length(results)]
    return [plot for plot in [*drawn, over_optimisation(results), win_matrix(results)] if plot is not None]


def pareto(results: ModelResults) -> Plot | None:
    """The main column against completion tokens: each method a point, best-of-n from the bank a line."""
    queries = [query for query in results.shared if not results.bank or query in results.bank]
    if not queries:
        return None
    figure, axes = new_figure(2.3)
    marks: list[dict[str, Any]] = []
    scale = results.main.scale
    if results.bank:
        lines = [("best of n (bank)", False)]
        lines += [("best of n, stops at the maximum (bank)", True)] if results.maximum is not None else []
        for (label, stops), dash in zip(lines, ("--", ":"), strict=False):
            curve = curve_of(results, queries, stops=stops)
            points = [overall(curve(n)) for n in range(1, results.bank_size() + 1)]
            x, y = [one.tokens for one in points], [scale * one.value for one in points]
            axes.plot(x, y, dash, color=GREY, linewidth=1, label=label)
            marks += [
                {"series": label, "n": n, "tokens": a, "value": b} for n, (a, b) in enumerate(zip(x, y, strict=True), 1)
            ]
    front = _front(results, queries, tokens_of)
    marks += _points(axes, results, queries, tokens_of, "tokens", front)
    axes.set_xlabel("completion tokens of all roles, a query")
    axes.set_ylabel(_axis(results))
    legend(axes)
    caption = (
        f"{results.model}: {results.main.about}, against what a query costs, over {len(queries)} queries, with 95 % "
        f"intervals. No other method is better for fewer tokens than: {', '.join(front)}."
    )
    return Plot(f"pareto-{results.model}", f"{results.model}: by tokens", caption, figure, {"marks": marks}, marks)


def by_seconds(results: ModelResults) -> Plot | None:
    """The main column against wall-clock time: each method a point."""
    queries = results.shared
    if not queries:
        return None
    figure, axes = new_figure()
    front = _front(results, queries, seconds_of)
    marks = _points(axes, results, queries, seconds_of, "seconds", front)
    axes.set_xlabel("seconds, a query among others")
    axes.set_ylabel(_axis(results))
    legend(axes)
    caption = (
        f"{results.model}: {results.main.about}, against wall-clock time from a query's first call to its end, under "
        f"the load of the run, over {len(queries)} queries, with 95 % intervals. No other method is better in less "
        f"time than: {', '.join(front)}."
    )
    return Plot(f"by-seconds-{results.model}", f"{results.model}: by time", caption, figure, {"marks": marks}, marks)


def seconds_of(one: QueryOutcome) -> float:
    """Wall-clock seconds."""
    return one.seconds


def _points(
    axes: Any, results: ModelResults, queries: Sequence[str], cost: Measure, name: str, front: Sequence[str]
) -> list[dict[str, Any]]:
    """Draw each method as a point with its interval; the points as marks."""
    marks = []
    for number, label in enumerate(results.methods):
        estimate, spent = _point(results, label, queries, cost)
        low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        bars = [[max(estimate.value - low, 0.0)], [max(high - estimate.value, 0.0)]]
        axes.errorbar(spent, estimate.value, yerr=bars, color=colour, marker=marker, capsize=2, ls="none", label=label)
        marks.append(
            {"series": label, name: spent, "value": estimate.value, "low": low, "high": high}
            | {"on_front": label in front}
        )
    return marks


def _point(
    results: ModelResults, label: str, queries: Sequence[str], cost: Measure = tokens_of
) -> tuple[Estimate, float]:
    values = results.values(label, main_of(results), queries)
    estimate = share_of(values, 100) if results.main.unit == "%" else mean_of(values, results.main.scale)
    return estimate, fmean(results.values(label, cost, queries))


def _front(results: ModelResults, queries: Sequence[str], cost: Measure) -> list[str]:
    """The methods that no other beats for as little or less."""
    points = {label: _point(results, label, queries, cost) for label in results.methods}
    ordered = sorted(points, key=lambda label: (points[label][1], -points[label][0].value))
    front: list[str] = []
    for label in ordered:
        if not front or points[label][0].value > points[front[-1]][0].value:
            front.append(label)
    return front


def by_step(results: ModelResults) -> Plot | None:
    """The best reward so far, by step."""
    queries, lines = results.shared, {}
    for label in results.methods:
        steps = max((len(one.rounds) for query in queries for one in results.outcomes(label, query)), default=0)
        if steps < 2:
            continue
        means = [mean_of(results.values(label, lambda one, s=step: best_by(one, s), queries)) for step in range(steps)]  # type: ignore[misc]
        y = [one.value for one in means]
        low = [one.value if one.low is None else one.low for one in means]
        high = [one.value if one.high is None else one.high for one in means]
        lines[label] = Band([float(step) for step in range(steps)], y, low, high)
    if not lines:
        return None
    figure, axes = new_figure()
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    axes.set_xlabel("step")
    axes.set_ylabel("best reward so far")
    legend(axes)
    caption = (
        f"{results.model}: mean reward of the best answer until each step over {len(queries)} queries, with 95 % "
        f"intervals; a search that ended early keeps its answer."
    )
    numbers = {label: band._asdict() for label, band in lines.items()}
    return Plot(f"by-step-{results.model}", f"{results.model}: by step", caption, figure, numbers, marks_of(lines))


def best_by(one: QueryOutcome, step: int) -> float | None:
    """The reward of the best answer until a step."""
    return best_reward(seen for some in one.rounds[: step + 1] for seen in some)


def width_depth(results: ModelResults) -> Plot | None:
    """The main column by how many answers a step has, and by how many steps: a tile for each method that has both."""
    queries = results.shared
    if not queries:
        return None
    tiles: dict[tuple[int, int], list[tuple[str, float]]] = {}
    for label in results.methods if queries else ():
        outcomes = [one for query in queries for one in results.outcomes(label, query)]
        width = max((len(one.rounds[0]) for one in outcomes), default=0)
        depth = max((len(one.rounds) - 1 for one in outcomes), default=0)
        tiles.setdefault((width, depth), []).append((label, _point(results, label, queries)[0].value))
    if len(tiles) < 2:
        return None
    figure, axes = new_figure()
    best = {place: max(some, key=lambda one: one[1]) for place, some in tiles.items()}
    low, high = (end(value for _, value in best.values()) for end in (min, max))
    for (width, depth), (_, value) in best.items():
        shade = 0.25 + 0.6 * (value - low) / (high - low) if high > low else 0.5
        axes.plot(depth, width, "s", ms=20, color=COLOURS[0], alpha=shade, mew=0)
        axes.text(depth, width, f"{value:.3g}", ha="center", va="center", fontsize=6)
    axes.margins(0.25)
    axes.set_xlabel("steps after the first")
    axes.set_ylabel("answers of the first step")
    caption = (
        f"{results.model}: {results.main.about}, by width and depth as they were drawn, over {len(queries)} queries; "
        f"the best method of each place."
    )
    marks = [
        {"series": label, "width": width, "depth": depth, "value": value}
        for (width, depth), some in tiles.items()
        for label, value in some
    ]
    return Plot(f"width-depth-{results.model}", f"{results.model}: width and depth", caption, figure, {}, marks)


def length(results: ModelResults) -> Plot | None:
    """Each query's gain over its first sample, against how much longer the answer is."""
    figure, axes = new_figure()
    marks: list[dict[str, Any]] = []
    for number, label in enumerate(results.methods):
        points = [
            (math.log2(one.characters / one.first.characters), one.reward - one.first.reward)
            for query in results.shared
            for one in results.outcomes(label, query)
            if one.characters and one.first.characters and one.reward is not None and one.first.reward is not None
        ]
        if points:
            x, y = zip(*points, strict=True)
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            axes.plot(x, y, marker, color=colour, ms=3, mew=0, alpha=0.55, ls="none", label=label)
            marks += [{"series": label, "log2_ratio": a, "gain": b} for a, b in points]
    if not marks:
        return None
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_xlabel("binary logarithm of length / length of the first sample")
    axes.set_ylabel("gain in reward")
    legend(axes)
    caption = f"{results.model}: gain in reward over the first sample, against length in characters; a point a query."
    name = f"length-{results.model}"
    return Plot(name, f"{results.model}: length and reward", caption, figure, {"marks": len(marks)}, marks)


def over_optimisation(results: ModelResults) -> Plot | None:
    """The optimised reward and what it does not see, against samples: best-of-n on the bank.

    The axis is the square root of the KL divergence of best-of-n, ln n - (n-1)/n (arXiv 2210.10760), an upper bound.
    """
    curves = optimisation_curves(results)
    if len(curves) < 2:
        return None
    figure, axes = new_figure()
    marks: list[dict[str, Any]] = []
    lines: dict[str, Band] = {}
    for label, each in curves.items():
        x = [math.sqrt(kl_of_best(n)) for n in range(1, len(each) + 1)]
        means = [mean_of([query.value for query in at]) for at in each]
        first = means[0].value
        y = [one.value - first for one in means]
        # Intervals of the gain over one sample, paired by query.
        pairs = [mean_of([a.value - b.value for a, b in zip(at, each[0], strict=True)]) for at in each]
        low = [gap if one.low is None else one.low for gap, one in zip(y, pairs, strict=True)]
        high = [gap if one.high is None else one.high for gap, one in zip(y, pairs, strict=True)]
        lines[label] = Band(x, y, low, high)
        marks += [
            {"series": label, "n": n, "sqrt_kl": a, "mean": mean.value, "gain": b, "low": c, "high": d}
            for n, (a, b, c, d, mean) in enumerate(zip(x, y, low, high, means, strict=True), 1)
        ]
    for number, (label, band) in enumerate(lines.items()):
        draw_band(axes, band, label, number)
    axes.set_xlabel("square root of KL of best-of-n; n = 1, 2, …")
    axes.set_ylabel("gain over one sample")
    legend(axes)
    each = next(iter(curves.values()))
    size, count, total = len(each), len(each[0]), len(results.bank)
    some = f"{count} queries" if count == total else f"the {count} of {total} queries that have all of these scores"
    caption = (
        f"{results.model}: the answer with the highest reward of n, for n from 1 to {size}, measured by that reward "
        f"and by what was held out, over {some}, with 95 % intervals of the gain. {_peaks(lines)} A held-out line that "
        f"falls while the reward rises shows the n from which the reward is gamed."
    )
    name = f"over-optimisation-{results.model}"
    return Plot(name, f"{results.model}: over-optimisation", caption, figure, {"marks": marks}, marks)


def _peaks(lines: Mapping[str, Band]) -> str:
    """At which n each line is highest."""
    peaks = [f"{label} n = {band.y.index(max(band.y)) + 1}" for label, band in lines.items()]
    return f"Highest at: {', '.join(peaks)}."


def optimisation_curves(results: ModelResults) -> dict[str, list[list[Expected]]]:
    """For n = 1, 2, …, what best-of-n by the reward brings for each query, by each measure that there is.

    All are over the same queries, so that the lines can be compared.
    """
    measures: dict[str, Worth] = {"optimised reward": lambda seen: seen.reward}
    if results.columns:
        measures[f"{results.main.title} (grade)"] = results.worth
    judged: dict[str, Worth] = measures | {"held-out judge": lambda seen: seen.judge}
    if kept := _measured(results, judged.values()):
        measures = judged
    else:
        kept = _measured(results, measures.values())
    size = min((len(draws) for banks in kept for bank in banks for draws in bank), default=0)
    return {
        label: [[overall([best_of(bank[place], n) for bank in banks]) for banks in kept] for n in range(1, size + 1)]
        for place, label in enumerate(measures if size else ())
    }


def _measured(results: ModelResults, measures: Iterable[Worth]) -> list[list[tuple[list[Draw], ...]]]:
    """The banks of each query, each by each measure; those are left out that lack many scores by one of these."""
    found = []
    for query in sorted(results.bank):
        banks = zip(*(results.draws(query, measure) for measure in measures), strict=True)
        found.append([bank for bank in banks if all(len(draws) >= 0.8 * len(bank[0]) for draws in bank)])
    return [banks for banks in found if banks]


def kl_of_best(n: int) -> float:
    """An upper bound of the KL divergence of best-of-n from the policy, in nats."""
    return math.log(n) - (n - 1) / n


def win_matrix(results: ModelResults) -> Plot | None:
    """How often the row's answer has a higher reward than the column's."""
    labels = results.methods
    if len(labels) < 2:
        return None
    figure, axes = new_figure(0.34 * len(labels) + 0.6)
    marks = []
    for row, label in enumerate(labels):
        for column, other in enumerate(labels):
            share = win_share(results, label, other) if label != other else None
            if share is not None:
                colour = COLOURS[0] if share >= 0.5 else COLOURS[1]
                alpha = min(abs(share - 0.5) * 1.6 + 0.05, 1.0)
                axes.fill_between([column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=colour, alpha=alpha, lw=0)
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
                marks.append({"series": label, "against": other, "wins": share})
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.grid(visible=False)
    caption = f"{results.model}: queries that the row wins against the column by reward, %, a tie counting half."
    return Plot(f"wins-{results.model}", f"{results.model}: wins", caption, figure, {"marks": marks}, marks)


def _axis(results: ModelResults) -> str:
    return f"{results.main.title}, %" if results.main.unit == "%" else results.main.title
