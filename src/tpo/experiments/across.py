"""Across models: which smaller model, aligned while it answers, keeps up with which larger one as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tpo.evals.costs import FORWARD
from tpo.evals.figures.plot import COLOURS, GREY, MARKERS, Plot, legend, new_figure
from tpo.experiments.bank import best_of, overall
from tpo.experiments.comparison import Gap, gap_part
from tpo.experiments.results import ModelResults, main_of, main_value, tokens_of
from tpo.stats import Estimate, difference_of, mean_of, paired_p
from tpo.tables import Part

PLAIN = "plain"
TERA = 1e12


def plain_values(results: ModelResults) -> dict[str, float]:
    """What one answer of a model is worth for each query: the mean of the bank, else of all first samples."""
    if results.bank:
        found = {query: [best_of(draws, 1).value for draws in results.draws(query)] for query in results.bank}
        return {query: fmean(values) for query, values in found.items()}
    values: dict[str, list[float]] = {}
    for label in results.methods:
        for query in results.queries([label]):
            firsts = [main_value(one.first) for one in results.outcomes(label, query)]
            values.setdefault(query, []).extend(value for value in firsts if value is not None)
    return {query: fmean(some) for query, some in values.items() if some}


def plain_tokens(results: ModelResults, queries: Sequence[str]) -> float:
    """Completion tokens of one answer, a mean over queries."""
    if results.bank:
        return overall([best_of(draws, 1) for query in queries for draws in results.draws(query)]).tokens
    return fmean(
        one.first.tokens for query in queries for label in results.methods for one in results.outcomes(label, query)
    )


def overtaking(everything: Sequence[ModelResults], sizes: Mapping[str, float]) -> list[Gap]:
    """Each method of each model against one answer of each larger model, paired by query.

    Args:
        everything: the models.
        sizes: parameters by model; a model without is left out.
    """
    found = []
    for small in everything:
        for large in everything:
            if sizes.get(small.model, 0) >= sizes.get(large.model, 0) or small.model not in sizes:
                continue
            plain = plain_values(large)
            for label in small.methods:
                queries = [query for query in small.queries([label], main_of(small)) if query in plain]
                if not queries:
                    continue
                ours = small.values(label, main_of(small), queries)
                theirs = [plain[query] for query in queries]
                flops = sizes[small.model] * fmean(small.values(label, tokens_of, queries))
                share = flops / (sizes[large.model] * plain_tokens(large, queries))
                gap = difference_of(ours, theirs, small.main.scale)
                note = f"{share:.1f} × its FLOPs"
                tokens = fmean(small.values(label, tokens_of, queries)) / plain_tokens(large, queries)
                named = f"{small.model}, {label}"
                found.append(Gap(named, f"{large.model}, {PLAIN}", gap, paired_p(ours, theirs), tokens, note))
    return found


def overtaking_part(found: Sequence[Gap], percent: bool) -> Part:
    """Which smaller model passes which larger one, as a table."""
    caption = "A smaller model with a method against one answer of a larger model (FLOPs of completion tokens)"
    return gap_part(caption, found, percent)


def across(everything: Sequence[ModelResults], sizes: Mapping[str, float]) -> Plot | None:
    """The main column against FLOPs: each model as it is and with each method, over the queries that all have."""
    models = [results for results in everything if results.model in sizes and results.methods]
    shared = sorted(set.intersection(*(set(results.shared) for results in models))) if models else []
    if len(models) < 2 or not shared:
        return None
    figure, axes = new_figure(2.3)
    marks: list[dict[str, Any]] = []
    for number, results in enumerate(models):
        colour, size = COLOURS[number % len(COLOURS)], FORWARD * sizes[results.model] / TERA
        plain = plain_values(results)
        queries = [query for query in shared if query in plain]
        points: list[tuple[str, float, Estimate]] = []
        if queries:
            worth = mean_of([plain[query] for query in queries], results.main.scale)
            points.append((PLAIN, size * plain_tokens(results, queries), worth))
        for label in results.methods:
            worth = mean_of(results.values(label, main_of(results), shared), results.main.scale)
            points.append((label, size * fmean(results.values(label, tokens_of, shared)), worth))
        for place, (label, flops, worth) in enumerate(points):
            marker = "x" if label == PLAIN else MARKERS[(place - 1) % len(MARKERS)]
            axes.plot(flops, worth.value, marker, color=colour, label=f"{results.model}, {label}")
            if label == PLAIN:
                axes.axhline(worth.value, color=colour, linewidth=0.6, linestyle=(0, (2, 2)), alpha=0.6)
            marks.append(
                {"series": f"{results.model}, {label}", "tflops": flops, "value": worth.value}
                | {"low": worth.low, "high": worth.high}
            )
    axes.set_xscale("log")
    axes.tick_params(axis="x", which="both", color=GREY)
    axes.set_xlabel("TFLOPs of completion tokens, a query")
    main = models[0].main
    axes.set_ylabel(f"{main.title}, %" if main.unit == "%" else main.title)
    legend(axes)
    caption = (
        f"Each model as it is (crosses, dashed) and with each method, over the {len(shared)} queries that all have. "
        f"FLOPs are 2 for each parameter and completion token."
    )
    return Plot("across-models", "Smaller models with a method, larger ones as they are", caption, figure, {}, marks)
