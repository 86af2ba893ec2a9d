"""A reward that an actor holds, called as a worker calls it; a task without the caller's context is in Ray's place."""

from __future__ import annotations

import asyncio
import pickle
import sys
from contextvars import Context
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from server.policy import policy, saying
from tpo.config import NamedReward
from tpo.rewards.call import accounted
from tpo.runs.ray.job_spec import job_spec
from tpo.runs.ray.rewards import RemoteReward, RewardActor


def handle(actor: RewardActor) -> Any:
    """An actor as others have it."""

    async def remote(conversations: Any) -> Any:
        scored = await asyncio.create_task(actor.score(conversations), context=Context())
        return pickle.loads(pickle.dumps(scored))

    return SimpleNamespace(score=SimpleNamespace(remote=remote))


async def test_tokens_that_a_judge_spends_in_an_actor_are_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = ModuleType("ray.exceptions")
    exceptions.RayError = type("RayError", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the actor adds to it
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lengths.py").write_text("def reward(conversations):\n    return [len(c) for c in conversations]\n")
    async with policy(saying("Score: 7")) as behind:
        named = {"both": NamedReward(sum={"python:lengths:reward": 1.0, f"judge:{behind.url}": 1.0})}
        actor = RewardActor(job_spec({"reward": "both", "check": False}, named))
        opened = await actor.opened()
        assert isinstance(opened, tuple)
        calls = len(behind.bodies)
        remote = RemoteReward(*opened, [handle(actor)])
        pool = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}] for text in ("a", "b")]
        with accounted() as usage:
            assert len(await remote.score(pool)) == 2
        calls = len(behind.bodies) - calls
        assert calls >= 2 and (usage.prompt_tokens, usage.completion_tokens) == (10 * calls, 5 * calls)
