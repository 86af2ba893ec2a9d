"""A run with a panel: each arm's cost and wins are in answers and summary, and a broken-off run goes on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from fakes import FakeModel, FakeReward
from runs.kit import Breaker, reported
from tpo.cli.summary import summary_table
from tpo.runs.answers import read_answers

QUESTIONS = [f"Question {number}?" for number in range(8)]


def arms() -> dict[str, Any]:
    return {
        "low": FakeModel(lambda request, index: "low 1", name="low"),
        "high": FakeModel(lambda request, index: "high 2", name="high"),
    }


async def test_arms_are_counted_over_the_run(tmp_path: Path) -> None:
    models = arms()
    report = await reported(tmp_path, QUESTIONS, models, method="best-of-n", width=4)  # type: ignore[arg-type]
    summary = report.summary
    assert {name: (used.wins, used.answers) for name, used in summary.arms.items()} == {"high": (8, 16), "low": (0, 16)}
    assert {name: used.calls for name, used in summary.arms.items()} == {
        name: len(model.requests) for name, model in models.items()
    }
    assert sum(used.completion_tokens for used in summary.arms.values()) == summary.usage["policy"].completion_tokens
    printed = io.StringIO()
    Console(width=120, file=printed).print(summary_table(summary, tmp_path))
    (row,) = [line.split() for line in printed.getvalue().splitlines() if line.strip().startswith("high")]
    assert row[:4] == ["high", "8", "16", "16"]
    assert all(answer.arms["high"].wins == 1 for answer in read_answers(tmp_path / "run" / "answers.jsonl"))


async def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"method": "best-of-n", "width": 4, "concurrency": 2}
    await reported(tmp_path, QUESTIONS, arms(), watcher=Breaker(3), **options)  # type: ignore[arg-type]
    report = await reported(tmp_path, QUESTIONS, arms(), **options)  # type: ignore[arg-type]
    assert (report.summary.done, report.summary.failed) == (len(QUESTIONS), 0)
    assert report.summary.arms["high"].wins == len(QUESTIONS)


async def test_the_table_of_answers_has_the_judge_and_the_arms(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    judge = FakeReward(lambda text: float(len(text)), "judge")
    options: dict[str, Any] = {"method": "best-of-n", "width": 4, "parquet": True, "judge": judge}
    await reported(tmp_path, QUESTIONS[:2], arms(), **options)  # type: ignore[arg-type]
    table = parquet.read_table(tmp_path / "run" / "answers.parquet").to_pylist()
    for row, answer in zip(table, read_answers(tmp_path / "run" / "answers.jsonl"), strict=True):
        assert row["held_out"] == msgspec.to_builtins(answer.held_out)
        assert {one.pop("arm"): one for one in row["arms"]} == msgspec.to_builtins(answer.arms)
        assert row.keys() == msgspec.to_builtins(answer).keys()
