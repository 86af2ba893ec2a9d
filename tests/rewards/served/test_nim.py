"""NVIDIA NIM, which does not run here: answers as its documentation and published examples show them.

Pairs: docs.nvidia.com/nim/large-language-models, "reward models"; numbers from camel-ai's nemotron_model_example.py,
where `message` is a list.
"""

from __future__ import annotations

from typing import Any

import pytest

from models.server import Received, models, serving
from rewards.served.kit import chat, ok, values
from tpo.errors import RewardError
from tpo.rewards.nim import NIMReward
from tpo.rewards.protocol import Score

PAIRS = "helpfulness:1.6171875,correctness:1.6484375,coherence:3.3125,complexity:0.546875,verbosity:0.515625"
PARTS = {"helpfulness": 1.6171875, "correctness": 1.6484375, "coherence": 3.3125, "complexity": 0.546875}


def nim(message: Any) -> Any:
    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("nvidia/rm", owned_by="system")
        assert request.path == "/v1/chat/completions" and request.json["model"] == "nvidia/rm"
        assert [m["role"] for m in request.json["messages"]] == ["user", "assistant"]
        return ok({"choices": [{"index": 0, "message": message, "finish_reason": "length"}]})

    return respond


async def score(content: Any, **options: Any) -> Score:
    message = {"role": "assistant", "content": content} if isinstance(content, str) else content
    async with serving(nim(message)) as server:
        (found,) = await NIMReward(server.url, **options).score([chat("Paris.")])
    assert isinstance(found, Score)
    return found


async def test_pairs_are_parts_and_helpfulness_the_value() -> None:
    found = await score(PAIRS)
    assert found == Score(1.6171875, {**PARTS, "verbosity": 0.515625})
    assert await score([{"content": PAIRS}]) == found


async def test_attributes_go_by_name_not_by_place() -> None:
    shuffled = ",".join(reversed(PAIRS.split(",")))
    assert (await score(shuffled)).value == 1.6171875
    assert (await score(shuffled, attribute="coherence")).value == 3.3125
    weights = {"helpfulness": 0.3, "correctness": 0.74, "coherence": 0.46, "complexity": 0.47, "verbosity": -0.33}
    assert (await score(shuffled, weights=weights)).value == pytest.approx(3.3158, abs=1e-3)


@pytest.mark.parametrize("content", ["-15.625", "reward:-15.625", " reward: -15.625,", "Reward-Principle:-15.625"])
async def test_a_lone_number_is_the_reward(content: str) -> None:
    assert await score(content) == Score(-15.625, {})


@pytest.mark.parametrize(
    "content", ["Paris.", "", "My score: 5", "a:1,a:2", "reward:nan", "a:1,b", None, [], {"content": None}]
)
async def test_a_chat_models_answer_is_no_score(content: Any) -> None:
    with pytest.raises(RewardError, match="where attribute:score pairs are expected"):
        await score(content)


async def test_an_attribute_that_is_not_there_is_reported() -> None:
    with pytest.raises(RewardError, match="sent no 'toxicity'; it sent helpfulness, "):
        await score(PAIRS, attribute="toxicity")
    with pytest.raises(RewardError, match=r"sent 2 numbers \(quality, style\)"):
        await score("quality:1,style:2")


async def test_several_conversations_keep_their_order() -> None:
    def respond(request: Received) -> bytes:
        content = f"reward:{len(request.json['messages'][-1]['content'])}"
        return ok({"choices": [{"message": {"content": content}}]})

    async with serving(respond) as server:
        reward = NIMReward(server.url, model="m")
        assert values(await reward.score([chat("x" * n) for n in (3, 1, 2)])) == [3.0, 1.0, 2.0]
