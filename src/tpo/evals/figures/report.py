"""A report: tables and all figures that some runs have data for, as files and in one page that stands alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tpo.errors import InputError
from tpo.evals.evaluation import EVALUATION, read_evaluation
from tpo.evals.figures import curves, flops, judge, length, matched, scaling, stability
from tpo.evals.figures.cases import Cases, cases
from tpo.evals.figures.comparison import RunComparison, compare, parts_of, records, remarks, warnings
from tpo.evals.figures.data import Group, read_groups
from tpo.evals.figures.plot import Plot, as_svg, look, save
from tpo.evals.table import table_of
from tpo.runs.directory import replace
from tpo.stats import fixed
from tpo.tables import STYLE, Table, fragment, latex, markdown, records_csv

PAGE, NUMBERS, FIGURES = "report.html", "report.json", "figures"
MARKDOWN, LATEX, MEANS, PAIRS = "table.md", "table.tex", "table.csv", "differences.csv"
_TEMPLATE = "report.html.jinja"


class Missing(NamedTuple):
    """A figure that was not drawn, and which data it needs."""

    title: str
    needs: str


class Section(NamedTuple):
    """What is shown of runs that can be compared.

    Attributes:
        group: these runs.
        folder: where their figures are, within the report.
        plots: the figures.
        missing: those that could not be drawn.
        cases: case studies.
        comparison: means and paired differences.
    """

    group: Group
    folder: str
    plots: list[Plot]
    missing: list[Missing]
    cases: list[Cases]
    comparison: RunComparison


class Made(NamedTuple):
    """What was written.

    Attributes:
        page: the page.
        figures: the figures' files, and the CSV files of what they show.
        sections: what is in it.
        tables: the tables' files.
        drawn: whether Matplotlib is there; without it there are no figures.
    """

    page: Path
    figures: list[Path]
    sections: list[Section]
    tables: list[Path]
    drawn: bool


def make_report(directories: Sequence[Path], out: Path, parameters: Mapping[str, float] | None = None) -> Made:
    """Compare and draw everything that there is data for, and write it down.

    Args:
        directories: each of a run, of several at any depth, or of an evaluation.
        out: where the report goes: report.html, report.json with the numbers behind all figures, the tables, figures/.
        parameters: parameter counts by role, where the models' names do not have them.

    Raises:
        InputError: there is nothing to report, or the folder cannot be written.
        JournalError: a journal is damaged, or a file cannot be written.
    """
    groups = read_groups(*directories)
    evaluations = [read_evaluation(one) for one in directories if (one / EVALUATION).is_file()]
    drawn = find_spec("matplotlib") is not None
    sections = [_section(group, number, len(groups), parameters or {}, drawn) for number, group in enumerate(groups)]
    title = ", ".join(dict.fromkeys(one.resolve().name for one in directories))
    comparison = Table(
        title,
        [part for section in sections for part in parts_of(section.group, section.comparison)],
        [],
        [one for group in groups for one in warnings(group)] + remarks([section.comparison for section in sections]),
    )
    figures = []
    for section in sections:
        folder = out / section.folder if section.plots else out
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}. Name another --out.") from error
        for plot in section.plots:
            figures += [folder / name for name in save(plot, folder)]
    tables = _write_tables(out, comparison, sections)
    replace(out / NUMBERS, msgspec.json.format(msgspec.json.encode(_numbers(sections)), indent=1) + b"\n")
    replace(out / PAGE, page(title, sections, [*map(table_of, evaluations), comparison]).encode())
    return Made(out / PAGE, figures, sections, tables, drawn)


def _write_tables(out: Path, table: Table, sections: Sequence[Section]) -> list[Path]:
    both = [records(section.group, section.comparison) for section in sections]
    texts = {
        MARKDOWN: markdown(table),
        LATEX: latex(table),
        MEANS: records_csv([record for means, _ in both for record in means]),
        PAIRS: records_csv([record for _, pairs in both for record in pairs]),
    }
    for name, text in texts.items():
        replace(out / name, text.encode())
    return [out / name for name in texts]


def _section(group: Group, number: int, of: int, parameters: Mapping[str, float], drawn: bool) -> Section:
    drawers: dict[str, tuple[Callable[[Group], Plot | None], str]] = {
        "Reward by step": (curves.curves, curves.NEEDS),
        "Width and depth": (scaling.scaling, scaling.NEEDS),
        "Against best-of-n for the same money": (matched.matched, matched.NEEDS),
        "Stability": (stability.stability, stability.NEEDS),
        "Gain against length": (length.length, length.NEEDS),
        "FLOPs against training": (partial(flops.flops, given=parameters), flops.NEEDS),
    }
    if any(query.held_out is not None for run in group.runs for query in run.queries.values()):
        drawers[judge.TITLE] = (judge.judge, judge.NEEDS)
    plots: list[Plot] = []
    missing: list[Missing] = []
    if drawn:
        with look():
            for title, (draw, needs) in drawers.items():
                plot = draw(group)
                if plot is not None:
                    plots.append(plot)
                else:
                    missing.append(Missing(title, needs))
    folder = FIGURES if of == 1 else f"{FIGURES}/{_slug(group.title) or number}-{number}"
    return Section(group, folder, plots, missing, cases(group), compare(group))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:40]


def _numbers(sections: list[Section]) -> list[dict[str, Any]]:
    return [
        {
            "data": section.group.title,
            "reward": section.group.reward,
            **dict(zip(("means", "differences"), records(section.group, section.comparison), strict=True)),
            "figures": {plot.name: plot.numbers for plot in section.plots},
            "warnings": {
                section.group.names()[run.path]: list(run.warnings) for run in section.group.runs if run.warnings
            },
            "missing": {one.title: one.needs for one in section.missing},
        }
        for section in sections
    ]


def page(title: str, sections: Sequence[Section], tables: Sequence[Table]) -> str:
    """The page: no scripts, nothing from elsewhere, and all text escaped.

    Args:
        title: what the report is about.
        sections: what is shown.
        tables: those of evaluations, and the comparison of all runs.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["reward"] = lambda value: fixed(value, 3)
    drawings = [(section, [(plot, Markup(as_svg(plot.figure))) for plot in section.plots]) for section in sections]
    shown = [(table.title, Markup(fragment(table))) for table in tables]
    return environment.get_template(_TEMPLATE).render(title=title, sections=drawings, tables=shown, style=Markup(STYLE))
