"""Scores that outlive the process."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from fakes import FakeReward
from tpo.errors import RewardError
from tpo.messages import answered, conversation
from tpo.rewards.batching import Batched
from tpo.rewards.protocol import Reward, Score
from tpo.rewards.score_file import ScoreFile


def cached(reward: Reward, path: Path) -> Batched:
    return Batched(reward, file=ScoreFile(path))


async def test_what_was_scored_once_costs_nothing_later(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.sqlite"
    given = [answered(conversation("How?"), text) for text in ("a", "bb", "a")]
    first = FakeReward(lambda t: Score(float(len(t)), {"part": 0.5}, f"saw {t}"))
    scores = await cached(first, path).score(given)
    assert first.scored == ["a", "bb"]
    second = FakeReward(lambda t: 99.0)
    assert await cached(second, path).score(given) == scores
    assert second.scored == []
    assert scores[1] == Score(2.0, {"part": 0.5}, "saw bb")


async def test_another_reward_or_query_has_scores_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    await cached(FakeReward(lambda t: 1.0), path).score([answered(conversation("How?"), "a")])
    renamed, asked = FakeReward(lambda t: 2.0, name="other"), FakeReward(lambda t: 3.0)
    assert (await cached(renamed, path).score([answered(conversation("How?"), "a")]))[0].value == 2.0
    assert (await cached(asked, path).score([answered(conversation("Why?"), "a")]))[0].value == 3.0


async def test_a_score_that_is_no_number_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    given = [answered(conversation("How?"), "a")]
    assert math.isnan((await cached(FakeReward(lambda t: math.nan), path).score(given))[0].value)
    assert (await cached(FakeReward(lambda t: 1.0), path).score(given))[0].value == 1.0


async def test_many_at_once(tmp_path: Path) -> None:
    reward = cached(FakeReward(lambda t: float(len(t))), tmp_path / "scores.sqlite")
    results = await asyncio.gather(
        *[reward.score([answered(conversation("How?"), "x" * n)]) for n in range(1, 30) for _ in range(3)]
    )
    assert [result[0].value for result in results] == [float(n) for n in range(1, 30) for _ in range(3)]


async def test_a_file_that_is_no_cache_is_reported(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(RewardError, match="cannot be used"):
        ScoreFile(tmp_path / "text")
    with pytest.raises(RewardError, match="cannot be used"):
        ScoreFile(tmp_path)
