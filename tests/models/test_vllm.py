"""The whole loop against a real vLLM over HTTP: `make test-vllm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tpo
from servers.vllm import vllm
from tpo.engine.calls import TAG_TOKENS
from tpo.models.resolve import open_model

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with vllm() as served:
        yield served


async def test_the_server_is_recognised(url: str) -> None:
    model = await open_model(url, "policy")
    await model.aclose()
    assert model.profile.name.startswith("vLLM")
    assert model.context == 2048


async def test_the_whole_loop(url: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    result = await tpo.align("How do I take care of a wooden table?", policy=url, seed=7, max_tokens=64, trace=trace)
    assert [len(step.candidates) for step in result.steps] == [5, 5, 5]
    assert all(step.loss and step.gradient for step in result.steps[1:])
    # The reply to an update has room for its tags too.
    limits = [64, 64 + TAG_TOKENS, 64 + TAG_TOKENS]
    for step, limit in zip(result.steps, limits, strict=True):
        assert all(1 <= candidate.tokens <= limit for candidate in step.candidates)
    answers = sum(candidate.tokens for candidate in result.candidates)
    assert result.usage["policy"].completion_tokens + result.usage["editor"].completion_tokens == answers
    assert (result.usage["policy"].calls, result.usage["critic"].calls, result.usage["editor"].calls) == (5, 4, 10)
    assert result.usage["policy"].prompt_tokens % 5 == 0
    # Five answers to one prompt: the server has its prefix in the cache from the first on.
    assert result.usage["editor"].cached_tokens > 0
    assert tpo.replay(trace) == result


async def test_an_answer_that_does_not_fit_is_clipped(url: str) -> None:
    result = await tpo.align("Say hi.", policy=url, method="sample", max_tokens=5000)
    assert result.answer


async def test_a_prompt_that_does_not_fit_is_reported_with_both_sizes(url: str) -> None:
    with pytest.raises(tpo.ModelError, match=r"prompt has \d+ tokens and .* takes 2048"):
        await tpo.align("hello " * 4000, policy=url, method="sample")


async def test_a_model_that_is_not_served_is_reported_with_those_that_are(url: str) -> None:
    with pytest.raises(tpo.ModelError, match="it lists smol; 'nonsense' was requested"):
        await tpo.align("hi", policy=url, policy_model="nonsense", method="sample")
