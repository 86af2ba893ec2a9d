"""A report: all figures that a directory has data for, as files and in one page that stands alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tpo.errors import InputError
from tpo.evals.evaluation import EVALUATION, read_evaluation
from tpo.evals.figures import curves, flops, length, matched, scaling, stability
from tpo.evals.figures.cases import Cases, cases
from tpo.evals.figures.data import Group, read_groups
from tpo.evals.figures.plot import Plot, as_svg, look, save
from tpo.evals.table import table_of
from tpo.runs.directory import replace
from tpo.tables import Table

PAGE, NUMBERS, FIGURES = "report.html", "report.json", "figures"
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
    """

    group: Group
    folder: str
    plots: list[Plot]
    missing: list[Missing]
    cases: list[Cases]


class Made(NamedTuple):
    """What was written.

    Attributes:
        page: the page.
        figures: the figures' files.
        sections: what is in it.
    """

    page: Path
    figures: list[Path]
    sections: list[Section]


def make_report(directory: Path, out: Path, parameters: Mapping[str, float] | None = None) -> Made:
    """Draw everything that there is data for, and write it down.

    Args:
        directory: of a run, of several at any depth, or of an evaluation.
        out: where the report goes: report.html, report.json with the numbers behind all figures, and figures/.
        parameters: parameter counts by role, where the models' names do not have them.

    Raises:
        InputError: there is nothing to draw, Matplotlib is missing, or the folder cannot be written.
        JournalError: a journal is damaged, or a file cannot be written.
    """
    groups = read_groups(directory)
    evaluation = read_evaluation(directory) if (directory / EVALUATION).is_file() else None
    with look():
        sections = [_section(group, number, len(groups), parameters or {}) for number, group in enumerate(groups)]
    table = table_of(evaluation) if evaluation is not None else None
    figures = []
    for section in sections:
        folder = out / section.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}. Name another --out.") from error
        for plot in section.plots:
            figures += [folder / name for name in save(plot, folder)]
    replace(out / NUMBERS, msgspec.json.format(msgspec.json.encode(_numbers(sections)), indent=1) + b"\n")
    replace(out / PAGE, page(directory.resolve().name, sections, table).encode())
    return Made(out / PAGE, figures, sections)


def _section(group: Group, number: int, of: int, parameters: Mapping[str, float]) -> Section:
    drawers: dict[str, tuple[Callable[[Group], Plot | None], str]] = {
        "Reward by step": (curves.curves, curves.NEEDS),
        "Width and depth": (scaling.scaling, scaling.NEEDS),
        "Against best-of-n for the same money": (matched.matched, matched.NEEDS),
        "Stability": (stability.stability, stability.NEEDS),
        "Gain against length": (length.length, length.NEEDS),
        "FLOPs against training": (partial(flops.flops, given=parameters), flops.NEEDS),
    }
    drawn = {title: draw(group) for title, (draw, _) in drawers.items()}
    plots = [plot for plot in drawn.values() if plot is not None]
    missing = [Missing(title, drawers[title][1]) for title, plot in drawn.items() if plot is None]
    folder = FIGURES if of == 1 else f"{FIGURES}/{_slug(group.title) or number}-{number}"
    return Section(group, folder, plots, missing, cases(group))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:40]


def _numbers(sections: list[Section]) -> list[dict[str, Any]]:
    return [
        {
            "data": section.group.title,
            "reward": section.group.reward,
            "figures": {plot.name: plot.numbers for plot in section.plots},
            "missing": {one.title: one.needs for one in section.missing},
        }
        for section in sections
    ]


def page(title: str, sections: list[Section], table: Table | None) -> str:
    """The page: no scripts, nothing from elsewhere, and all text escaped.

    Args:
        title: what the report is about.
        sections: what is shown.
        table: an evaluation's table.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    shown = [(section, [(plot, Markup(as_svg(plot.figure))) for plot in section.plots]) for section in sections]
    return environment.get_template(_TEMPLATE).render(title=title, sections=shown, table=table)
