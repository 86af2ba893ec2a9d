"""A run's summary warns when answers grow, and when the reward rises while the held-out judge falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import FakeModel, FakeReward, numbered
from runs.kit import by_number, reported
from tpo.cli.summary import summary_table
from tpo.engine.result import RoleUsage
from tpo.errors import InputError
from tpo.runs.answers import Answer
from tpo.runs.summary import RunSummary, parse_prices, summarize

QUESTIONS = [f"Question {number}?" for number in range(6)]


async def summed_up(folder: Path, **options: Any) -> RunSummary:
    report = await reported(folder, QUESTIONS, **{"method": "best-of-n", "width": 4, **options})
    return report.summary


async def test_a_falling_judge_is_a_warning(tmp_path: Path) -> None:
    summary = await summed_up(tmp_path, judge=FakeReward(lambda text: -by_number(text), "falling"))
    assert summary.held_out is not None
    assert (summary.held_out.judge, summary.held_out.missing) == ("falling", 0)
    assert summary.held_out.gain.value < 0
    (warning,) = summary.warnings
    assert "exploits the reward" in warning
    assert summary.usage["judge"].calls == len(QUESTIONS)


async def test_a_judge_that_agrees_is_none(tmp_path: Path) -> None:
    summary = await summed_up(tmp_path, judge=FakeReward(by_number, "agrees"))
    assert summary.held_out is not None
    assert summary.held_out.gain.value > 0
    assert summary.warnings == []


async def test_a_judge_without_scores_is_counted(tmp_path: Path) -> None:
    summary = await summed_up(tmp_path, judge=FakeReward(lambda text: InputError("no"), "silent"))
    assert summary.held_out is None
    assert (summary.done, summary.failed) == (len(QUESTIONS), 0)


def test_a_judge_costs_what_its_price_says_and_nothing_without() -> None:
    answer = Answer("1", "1", 0, "An answer.", usage={"policy": RoleUsage(1, 0, 100), "judge": RoleUsage(1, 0, 3_000)})

    def cost(*prices: str) -> float | None:
        return summarize([answer], 1, 0, 1.0, parse_prices(prices)).cost

    assert cost("policy=10/10") == 0.001
    assert cost("policy=10/10", "judge=1/1") == 0.004


async def test_answers_that_grow_are_a_warning(tmp_path: Path) -> None:
    count = iter(range(1, 1000))
    growing = FakeModel(lambda request, index: "long " * (next(count) % 4 + 1) + "words")
    summary = await summed_up(tmp_path, model=growing, reward=FakeReward(lambda text: float(len(text))))
    assert summary.lengths is not None
    assert summary.lengths.growth > 0.15
    (warning,) = summary.warnings
    assert "longer than first samples" in warning
    text = "".join(str(part) for part in summary_table(summary, tmp_path).renderables)  # type: ignore[union-attr]
    assert "warning: answers are" in text


async def test_another_judge_is_another_run(tmp_path: Path) -> None:
    await summed_up(tmp_path, judge=FakeReward(by_number, "one"))
    assert (await summed_up(tmp_path, judge=FakeReward(by_number, "one"))).done == len(QUESTIONS)
    with pytest.raises(InputError, match="judge"):
        await summed_up(tmp_path, judge=FakeReward(by_number, "two"), model=FakeModel(numbered()))
