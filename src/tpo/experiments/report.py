"""The report of an experiment: REPORT.md with tables, figures as SVG with their data as CSV, all numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Column
from tpo.evals.figures.plot import as_svg_file, look
from tpo.experiments.across import across, overtaking, overtaking_part
from tpo.experiments.comparison import gap_part, gap_records, gaps, gaps_at_equal_tokens, means, rules, wins
from tpo.experiments.definition import Experiment
from tpo.experiments.figures import figures
from tpo.experiments.outcomes import QueryOutcome, write_outcomes
from tpo.experiments.proposals import proposals
from tpo.experiments.results import ModelResults
from tpo.runs.directory import replace
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
    remarks = [*_remarks(everything), *facts]
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
    equal = gaps_at_equal_tokens(results)
    if equal:
        caption = f"{results.model}: differences from best-of-n at the same completion tokens of all roles"
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


def _remarks(everything: Sequence[ModelResults]) -> list[str]:
    """How the tables are to be read."""
    remarks = [
        "Intervals have 95 %. The query is the unit: seeds are averaged inside a query first, and differences are "
        f"paired by query. {MARK} p < 0.05 after Holm's correction within its table (McNemar's exact test where all "
        "values are 0 or 1, else random sign flips).",
        "Tokens are those of policy, critic and editor for one query. Stages are round trips that wait for the one "
        "before. Seconds are those of a query among others that ran at the same time. Growth is the mean length of "
        "the answers against that of the first samples.",
    ]
    if any(results.bank for results in everything):
        remarks.append(
            "Best of n on the bank is the unbiased estimate from all its answers; stop rules are averaged over random "
            "orders of the bank. At equal tokens, n is set so that best-of-n spends as many completion tokens as the "
            "method on average (between two n it takes the larger one for a share of the queries). A later answer is "
            "compared with the bank's answers to the same queries, which were drawn apart from it."
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
