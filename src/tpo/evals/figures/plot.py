"""What every figure is, and how all of them look.

Colours are Okabe and Ito's, which colour-blind readers can distinguish, each with a marker of its own, so that print
in grey works too. Type and widths are those of a conference paper's column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from tpo.errors import InputError
from tpo.runs.directory import replace
from tpo.tables import records_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#5f5f5f"
SHORT = 22  # characters of a label that leave room for two columns
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FORMATS = ("pdf", "png", "svg")
WIDTH, HEIGHT = 2.9, 1.9  # of a panel, in inches
MARGIN = 0.03  # around a figure, in inches
MOST_MARKED = 10
_LOOK: Any = {  # the stubs of Matplotlib list all its keys
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "tpo",
    # Names of models and folders are text, whatever dollar signs they hold.
    "text.parse_math": False,
}
_areas: WeakKeyDictionary[Figure, Bbox] = WeakKeyDictionary()


class Plot(NamedTuple):
    """A figure that was drawn.

    Attributes:
        name: of its files.
        title: a heading.
        caption: what is seen, with the number of queries.
        figure: the drawing.
        numbers: all that is drawn, as plain data.
        marks: what is drawn as rows, one for each point, bar or line; they become NAME.csv.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: dict[str, Any]
    marks: list[dict[str, Any]]


class Band(NamedTuple):
    """A line with its 95 % interval."""

    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


def marks_of(lines: Mapping[str, Band], levels: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """The points of lines, and levels, as rows."""
    points = [
        {"series": label, "x": x, "y": y, "low": low, "high": high}
        for label, band in lines.items()
        for x, y, low, high in zip(*band, strict=True)
    ]
    return points + [{"series": label, "y": level} for label, level in (levels or {}).items()]


def look() -> AbstractContextManager[None]:
    """Everything drawn inside has the common look.

    Raises:
        InputError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("Figures need Matplotlib: pip install 'tpo[plots]'.") from error
    return matplotlib.rc_context(_LOOK)


def new_figure(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure of one panel, whose height is in inches; labels and legend lie around the panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_axes((0.0, 0.0, 1.0, 1.0))


def draw_band(axes: Axes, band: Band, label: str, number: int) -> None:
    """Draw a line with its interval, in the number's colour and with its marker."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    marked = marker if len(band.x) <= MOST_MARKED else None
    axes.plot(band.x, band.y, color=colour, marker=marked, label=label)


def draw_level(axes: Axes, value: float, label: str, number: int) -> None:
    """Draw a dashed line across, for what has no steps."""
    dashes = ((4, 2), (1, 1.5), (4, 1.5, 1, 1.5), (7, 2))[number % 4]
    axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, dashes), label=label)


def legend(axes: Axes) -> None:
    """A legend below the panel, where it covers nothing; it is drawn last."""
    labels = axes.get_legend_handles_labels()[1]
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= SHORT else 1
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.2),
        ncols=columns,
        handlelength=2.2,
        borderaxespad=0,
        columnspacing=1.2,
    )


def powers(axis: Axis) -> None:
    """Write powers of ten as text, since names must not be read as formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    def written(value: float, _: object = None) -> str:
        exponent = round(math.log10(value)) if value > 0 else 0
        return "1" if exponent == 0 else f"10{str(exponent).translate(_RAISED)}"

    axis.set_major_locator(LogLocator(base=10, numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(written))


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element that can stand in a page; the same drawing gives the same text."""
    return _file(figure, "svg", "none").decode("utf-8").partition("<svg")[2].join(("<svg", ""))


def as_svg_file(figure: Figure) -> bytes:
    """The figure as an SVG file, whose letters are shapes, so that it needs no font."""
    return _file(figure, "svg", "path")


def save(plot: Plot, folder: Path) -> list[str]:
    """Write a figure in all formats, and what it shows as CSV.

    Returns:
        the files' names.

    Raises:
        JournalError: one cannot be written.
    """
    names = [f"{plot.name}.{format}" for format in FORMATS]
    for format, name in zip(FORMATS, names, strict=True):
        replace(folder / name, _file(plot.figure, format, "path"))
    replace(folder / f"{plot.name}.csv", records_csv(plot.marks).encode())
    return [*names, f"{plot.name}.csv"]


def _file(figure: Figure, format: str, svg_text: str) -> bytes:
    """A figure's file: the letters of an SVG are text in a page, and shapes in a file, which then needs no font."""
    import matplotlib

    made: dict[str, Mapping[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    held = BytesIO()
    with look(), matplotlib.rc_context({"svg.fonttype": svg_text}):
        figure.savefig(held, format=format, metadata=dict(made[format]), bbox_inches=_area(figure))
    return held.getvalue()


def _area(figure: Figure) -> Bbox:
    """What a figure covers with its labels and legend; measured once for all of its files, since it takes a drawing."""
    if figure not in _areas:
        figure.draw_without_rendering()
        _areas[figure] = figure.get_tightbbox().padded(MARGIN)
    return _areas[figure]
