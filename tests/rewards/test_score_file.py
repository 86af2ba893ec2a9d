"""Scores that outlive the process."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("why", ["full", "locked"])
async def test_scores_are_delivered_though_the_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    path, connect = tmp_path / "scores.sqlite", sqlite3.connect

    def hindered(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **{**options, "timeout": 0})
        if why == "full":
            connection.execute("PRAGMA max_page_count=4")
        return connection

    other = ScoreFile(path)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", hindered)
        reward = FakeReward(lambda t: Score(float(len(t)), feedback="long " * 9999))
        batched = cached(reward, path)
    lock = connect(path, isolation_level=None)
    if why == "locked":
        lock.execute("BEGIN IMMEDIATE")
    for texts in (["a", "bb"], ["ccc", "dddd"]):
        scores = await batched.score([answered(conversation("How?"), text) for text in texts])
        assert [score.value for score in scores] == [float(len(text)) for text in texts]
    assert reward.scored == ["a", "bb", "ccc", "dddd"]
    (record,) = caplog.records
    assert record.levelname == "WARNING" and str(path) in record.message and why in record.message
    lock.close()
    # What failed leaves no lock behind.
    await asyncio.wait_for(other.write({b"key": Score(1.0)}), 5)
    assert await other.read([b"key"]) == {b"key": Score(1.0)}
