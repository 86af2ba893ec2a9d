"""Tables of results: the same cells in every format, whatever they hold, and wide ones broken."""

from __future__ import annotations

import csv
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.stats import Estimate
from tpo.tables import (
    DASH,
    Footnotes,
    Part,
    Table,
    broken,
    comma_separated,
    digits_for,
    latex,
    markdown,
    shown,
    significant,
    web,
    without_empty_columns,
)

PART = Part("Rewards", ["method", "a", "b", "c"], [["tpo", "1", DASH, "3"], ["sample", "4", "", "6"]])


class Cells(HTMLParser):
    """The text of each cell of the tables in a page, and all element names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._inside = tag in ("td", "th")
        if self._inside:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.cells[-1] += data


@given(st.lists(st.text(alphabet="ab<>&|\\%$#_{}~^\"'\n\u200b–", max_size=12), min_size=6, max_size=6))
def test_text_of_cells_is_shown_and_never_markup(texts: list[str]) -> None:
    part = Part(texts[0], ["method", texts[1]], [texts[2:4], texts[4:6]])
    table = Table(texts[5], [part], [], [])
    page = Cells(web(table))
    assert page.cells == [*part.headings, *texts[2:6]]
    assert page.tags <= {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "div", "table", "caption", "thead", "tbody"),
        *("tr", "th", "td"),
    }
    rows = [line for line in markdown(table).split("\n") if line.startswith("| ")]
    assert [line.replace("\\|", "").count("|") for line in rows] == [3] * 4
    body = "\n".join(line for line in latex(table).split("\n") if not line.startswith("%"))
    bare = body.replace("\\textbackslash{}", "").replace("\\&", "").replace("\\_", "")
    assert bare.count("&") == 3  # one in each row


def test_csv_is_read_back() -> None:
    part = Part("x", ["method", 'say "a, b"'], [["tpo", "two\nlines"], ["sample", "1"]])
    assert list(csv.reader(comma_separated(part).splitlines(keepends=True))) == [part.headings, *part.rows]


def test_columns_without_a_number_are_dropped() -> None:
    assert without_empty_columns(PART).headings == ["method", "a", "c"]
    assert without_empty_columns(PART).rows == [["tpo", "1", "3"], ["sample", "4", "6"]]


def test_a_wide_part_is_broken_between_benchmarks_and_keeps_the_method() -> None:
    groups = [("one", 1), ("two", 2)]
    assert broken(PART, groups) == [PART]
    first, second = broken(PART, groups, widest=20)
    assert (first.caption, first.headings) == ("Rewards: one", ["method", "a"])
    assert (second.caption, second.headings) == ("Rewards: two", ["method", "b", "c"])
    assert [row[0] for row in second.rows] == ["tpo", "sample"]
    assert broken(PART, [("one", 0), ("two", 3)], widest=5)[0].headings == PART.headings


def test_one_text_is_one_footnote() -> None:
    notes = Footnotes()
    marks = [
        notes.mark("failed", "a: 1"),
        notes.mark("alone"),
        notes.mark("failed", "b: 2"),
        notes.mark("failed", "a: 1"),
    ]
    assert marks == ["(1)", "(2)", "(1)", "(1)"]
    assert notes.texts == ["failed: a: 1; b: 2", "alone"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Estimate(-0.0001, None, -0.0004, 0.0004), "0.000 [0.000, 0.000]"),
        (Estimate(0.5, None, -0.1, 1.1), "+0.500 [-0.100, +1.100]"),
        (Estimate(-1.0), "-1.000"),
    ],
)
def test_zero_has_no_sign(number: Estimate, text: str) -> None:
    assert shown(number, 3, signed=True) == text


def test_significance_is_corrected_over_what_is_compared() -> None:
    assert significant([0.03]) == [True]
    assert significant([0.03, None, 0.04]) == [False, False, False]
    assert significant([0.01, None, 0.04]) == [True, False, True]


def test_decimals_follow_the_size() -> None:
    assert [digits_for([size, 0.1]) for size in (1, 20, 300, 4000)] == [3, 2, 1, 0]
