"""The grader of mathematics against a table of pairs that people graded: `data/mathematics.tsv`.

Columns: kind; right (1, 0, or "missed": right, but the grader does not see it); reference; answer (⏎ is a line break).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("math_verify", reason="math-verify is not installed (pip install 'tpo[verifiers]')")

from tpo.rewards.verifiers.maths import Math

TABLE = Path(__file__).parent / "data" / "mathematics.tsv"
DOCS = Path(__file__).parents[3] / "docs" / "evaluation.md"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_no_wrong_answer_is_accepted_and_the_right_ones_that_are_missed_are_known(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 200
    grader = Math("0")
    graded = [grader.grade(row["answer"].replace("⏎", "\n"), (row["reference"],)) for row in rows]
    shown = [
        (row["kind"], row["reference"], row["answer"], verdict.found)
        for row, verdict in zip(rows, graded, strict=True)
        if verdict.right != (row["right"] == "1")
    ]
    assert shown == []


def test_what_is_missed_stands_in_the_docs(rows: list[dict[str, str]]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    missed = [row for row in rows if row["right"] == "missed"]
    assert [row for row in missed if f"`{row['reference']}` and `{row['answer']}`" not in text] == []
