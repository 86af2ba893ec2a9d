"""The report of an experiment: REPORT.md with tables, figures as SVG with their data as CSV, all numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Column
from tpo.evals.costs import FORWARD
from tpo.evals.figures.plot import COLOURS, GREY, MARKERS, Plot, as_svg_file, legend, look, new_figure
from tpo.experiments.bank import best_of, overall
from tpo.experiments.comparison import means, rules, wins
from tpo.experiments.definition import Experiment
from tpo.experiments.differences import Gap, gap_part, gap_records, gaps, gaps_at_equal_tokens, ratio
from tpo.experiments.figures import figures
from tpo.experiments.guards import warnings
from tpo.experiments.outcomes import QueryOutcome, write_outcomes
from tpo.experiments.proposals import proposals
from tpo.experiments.results import ModelResults, main_of, tokens_of
from tpo.runs.directory import replace
from tpo.stats import Estimate, difference_of, mean_of, paired_p
from tpo.tables import MARK, Part, Table, markdown, records_csv

REPORT, NUMBERS, OUTCOMES, FIGURES = "REPORT.md", "results.json", "outcomes.jsonl", "figures"
CSV = ("means.csv", "differences.csv", "rules.csv", "proposals.csv")


class ReportFiles(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        report: the Markdown page.
        files: all files, the page too.
        text: the page's text.
        means: a record for each model and method.
        differences: a record for each paired difference.
        drawn: whether figures could be drawn.
    """

    report: Path
    files: list[Path]
    text: str
    means: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    drawn: bool


def write_report(
    experiment: Experiment,
    out: Path,
    outcomes: Sequence[QueryOutcome],
    columns: Sequence[Column],
    maximum: float | None,
    facts: Sequence[str],
) -> ReportFiles:
    """Write the report of outcomes.

    Args:
        experiment: what was compared.
        out: where it goes.
        outcomes: of all cells that are reported.
        columns: the benchmark's; empty without one.
        maximum: the largest reward that there is, where it is known.
        facts: what stands below the tables: where, when and how the runs were made.

    Raises:
        InputError: there is nothing to report, or the folder cannot be written.
    """
    if not outcomes:
        raise InputError(f"{experiment.path}: no cell is finished yet, so there is nothing to report.")
    methods = list(dict.fromkeys([*experiment.methods, *sorted({one.method for one in outcomes})]))
    models = list(dict.fromkeys([*experiment.models, *sorted({one.model for one in outcomes})]))
    everything = [
        ModelResults(model, outcomes, methods, columns, experiment.bank, maximum)
        for model in models
        if any(one.model == model for one in outcomes)
    ]
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}. Name another --out.") from error
    parts: list[Part] = []
    records: tuple[list[dict[str, Any]], ...] = ([], [], [], [])
    for results in everything:
        _tables(results, experiment, parts, records)
    passed = overtaking(everything, experiment.sizes())
    if passed:
        parts.append(overtaking_part(passed, everything[0].main.unit == "%"))
        records[1].extend(gap_records("across models", passed))
    drawn = find_spec("matplotlib") is not None
    files, pictures = _figures(everything, experiment.sizes(), out) if drawn else ([], [])
    alarms = [f"Warning: {line}" for results in everything for line in warnings(results)]
    remarks = [*alarms, *_remarks(everything, experiment.baselines), *facts]
    text = markdown(Table(experiment.title, parts, [], remarks)) + "".join(pictures)
    replace(out / REPORT, text.encode())
    for name, some in zip(CSV, records, strict=True):
        replace(out / name, records_csv(some).encode())
    named = dict(zip(("means", "differences", "rules", "proposals"), records, strict=True))
    replace(out / NUMBERS, msgspec.json.format(msgspec.json.encode(named), indent=1) + b"\n")
    write_outcomes(outcomes, out / OUTCOMES)
    files = [out / REPORT, *(out / name for name in CSV), out / NUMBERS, out / OUTCOMES, *files]
    return ReportFiles(out / REPORT, files, text, records[0], records[1], drawn)


def _tables(
    results: ModelResults, experiment: Experiment, parts: list[Part], records: tuple[list[dict[str, Any]], ...]
) -> None:
    """Add the tables and records of a model."""
    percent = results.main.unit == "%"
    if results.shared:
        part, found = means(results, experiment.sizes().get(results.model))
        parts.append(part)
        records[0].extend(found)
    paired = gaps(results, experiment.baselines)
    if paired:
        parts.append(gap_part(f"{results.model}: differences, paired by query", paired, percent))
        records[1].extend(gap_records("paired", paired, results.model))
    equal = gaps_at_equal_tokens(results, experiment.baselines)
    if equal:
        caption = f"{results.model}: differences at the same completion tokens of all roles"
        parts.append(gap_part(caption, equal, percent))
        records[1].extend(gap_records("equal tokens", equal, results.model))
    if (on_bank := rules(results)) is not None:
        parts.append(on_bank[0])
        records[2].extend(on_bank[1])
    if (later := proposals(results)) is not None:
        parts.append(later[0])
        records[3].extend(later[1])
    if (matrix := wins(results)) is not None:
        parts.append(matrix)


def _figures(everything: Sequence[ModelResults], sizes: Mapping[str, float], out: Path) -> tuple[list[Path], list[str]]:
    """Draw all figures; their files, and what shows them in the page."""
    files, shown = [], []
    with look():
        plots = [across(everything, sizes), *(plot for results in everything for plot in figures(results))]
        for plot in [plot for plot in plots if plot is not None]:
            drawing, data = out / FIGURES / f"{plot.name}.svg", out / FIGURES / f"{plot.name}.csv"
            replace(drawing, as_svg_file(plot.figure))
            replace(data, records_csv(plot.marks).encode())
            files += [drawing, data]
            shown.append(f"\n![{plot.title}]({FIGURES}/{drawing.name})\n\n{plot.caption}\n")
    return files, shown


def _remarks(everything: Sequence[ModelResults], baselines: Sequence[str]) -> list[str]:
    """How the tables are to be read."""
    remarks = [
        "Intervals have 95 %. The query is the unit: seeds are averaged inside a query first, and differences are "
        f"paired by query. {MARK} p < 0.05 after Holm's correction within its table (McNemar's exact test where all "
        "values are 0 or 1, else random sign flips).",
        "Tokens are those of policy, critic and editor for one query. Stages are round trips that wait for the one "
        "before. Seconds are those of a query among others that ran at the same time. Growth is the mean length of "
        "the answers against that of the first samples.",
    ]
    if any(one.judge is not None for results in everything for one in _every(results)):
        remarks.append(
            "The judge is held out: it scored the answers and steered nothing. Its gain is against the first samples."
        )
    if any(results.bank for results in everything):
        remarks.append(
            "Best of n on the bank is the unbiased estimate from all its answers; stop rules are averaged over random "
            "orders of the bank. At equal tokens, n is set so that best-of-n, which draws all at once, spends as many "
            "completion tokens as the method or rule on average (between two n it takes the larger one for a share of "
            "the queries). A later answer is one to another prompt than the plain question. It is compared with the "
            "bank's answers to the same queries, without those that the same seed makes the same as plain answers of "
            "the method."
        )
    if any(label in results.methods and label != results.bank_label for results in everything for label in baselines):
        remarks.append(
            "A baseline that spends more is also ended early: after as many of its answers, in their order, as cost "
            "the same, with equal parts of its critiques before the first answer to each later prompt."
        )
    for results in everything:
        if results.unmeasured:
            labels = ", ".join(results.unmeasured)
            remarks.append(f"{results.model}: {labels} has no reward, and is left out of tables and figures.")
    leaked = sum(one.leaked for results in everything for one in _every(results))
    total = sum(len(_every(results)) for results in everything)
    remarks.append(f"Final answers that repeat words of our own prompts: {leaked} of {total}.")
    return remarks


def _every(results: ModelResults) -> list[QueryOutcome]:
    return [
        one for label in results.methods for query in results.queries([label]) for one in results.outcomes(label, query)
    ]


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
            firsts = [results.worth(one.first) for one in results.outcomes(label, query)]
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
                gap = difference_of(ours, theirs, small.main.scale)
                tokens = ratio(fmean(small.values(label, tokens_of, queries)), plain_tokens(large, queries))
                note = f"{tokens * sizes[small.model] / sizes[large.model]:.1f} × its FLOPs"
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
