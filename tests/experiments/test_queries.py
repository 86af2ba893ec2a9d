"""Queries from data without a benchmark, and what is written down for rewards beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tpo.evals.benchmarks.protocol import Row
from tpo.experiments.definition import read_experiment
from tpo.experiments.queries import all_rows, write_rows
from tpo.messages import answered, conversation
from tpo.rewards.protocol import Score
from tpo.rewards.resolve import resolve

FILE = """
compare = ["a"]
[queries]
data = "DATA"
[options]
reward = "verifier:exact?file={queries}"
[models.m]
policy = "http://localhost:1/v1"
[methods.a]
method = "best-of-n"
width = 2
"""


def rows_of(folder: Path, name: str, text: str, more: str = "") -> list[Row]:
    (folder / name).write_text(text)
    (folder / "e.toml").write_text(FILE.replace("DATA", name).replace("[options]", f"{more}[options]"))
    return all_rows(read_experiment(folder / "e.toml"), None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "q.jsonl",
            '{"id": "1", "query": "What is 2+2?", "answer": "4"}\n{"id": "2", "query": "What?", "answer": "6"}\n',
        ),
        ("q.csv", "id,query,answer\n1,What is 2+2?,4\n2,What?,6\n"),
    ],
)
async def test_a_verifier_finds_its_column_in_the_file_with_all_queries(tmp_path: Path, name: str, text: str) -> None:
    rows = rows_of(tmp_path, name, text)
    write_rows(rows, tmp_path / "references.jsonl")
    verifier = resolve(f"verifier:exact?file={tmp_path / 'references.jsonl'}").reward
    assert verifier is not None
    (score,) = await verifier.score([answered(rows[0].messages, "4")])
    assert isinstance(score, Score)
    assert score.value == 1.0


def test_all_columns_but_the_query_are_kept(tmp_path: Path) -> None:
    line = {
        "text": "How?",
        "question": "Why?",
        "system": "Be brief.",
        "answer": ["a", "b"],
        "level": 3,
        "half": "\ud800",
    }
    (row,) = rows_of(tmp_path, "q.jsonl", json.dumps(line) + "\n", 'column = "text"\n')
    # What JSON cannot hold here is left out, and so is what is part of the messages.
    assert row.metadata == {"question": "Why?", "answer": ["a", "b"], "level": 3}
    assert row.messages == [{"role": "system", "content": "Be brief."}, *conversation("How?")]
    write_rows([row], tmp_path / "out.jsonl")
    (again,) = rows_of(tmp_path, "again.jsonl", (tmp_path / "out.jsonl").read_text())
    assert (again.id, again.messages, again.metadata) == (row.id, row.messages, row.metadata | {"id": row.id})
