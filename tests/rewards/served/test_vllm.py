"""vLLM: the recorded answers of a real one, and a server on which each plausible mistake shows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from models.server import Received, error, models, serving
from rewards.served import vllm_story
from rewards.served.kit import DATA, chat, ok, values
from servers.recorded import replaying
from tpo.errors import InputError, RewardError
from tpo.rewards.protocol import Score
from tpo.rewards.vllm import VLLMReward

BOS = "<|im_start|>"


async def test_the_recorded_scores() -> None:
    async with replaying(DATA / "vllm_classify.json") as url:
        scores = await vllm_story.classify(url)
    raw = [0.1704028844833374, 0.18426144123077393, 0.4280843436717987]
    assert scores == {"messages": raw, "texts": raw, "cut": [0.856621265411377]}


async def test_the_recorded_token_scores() -> None:
    async with replaying(DATA / "vllm_tokens.json") as url:
        scores = await vllm_story.tokens(url)
    assert scores["min"] <= scores["mean"] and 0 < scores["product"] < 1
    assert scores["last"] == pytest.approx(0.1704, abs=1e-3)
    assert scores["steps as messages"] == scores["steps as texts"]


def logits(text: str) -> list[float]:
    # Far beyond where a sigmoid in float32 is 1: as large as those of real reward models.
    return [20.0 + len(text)]


def strict(request: Received, logits: Any = logits) -> bytes:
    """A vLLM that scores a text by its length, and does by default what vLLM does by default."""
    if request.path == "/v1/models":
        return models("rm", owned_by="vllm")
    body = request.json
    if request.path != "/classify" or body["model"] != "rm" or "truncate_prompt_tokens" in body:
        return error("no", 400)
    if "messages" in body:
        text = "".join(f"{BOS}{message['content']}" for message in body["messages"])
        texts = [f"{text}{BOS}" if body.get("add_generation_prompt") else text]
    else:
        first = BOS if body.get("add_special_tokens", True) else ""
        texts = [first + text for text in body["input"]]
    if any(text.startswith(BOS * 2) for text in texts):
        texts = [f"{text} (a doubled first token)" for text in texts]
    rows = [logits(text) for text in texts]
    if body.get("use_activation") is not False:
        rows = [[min(1.0, 1 / (1 + math.exp(-x))) for x in row] for row in rows]
    data = [{"index": at, "label": "L", "probs": row, "num_classes": len(row)} for at, row in enumerate(rows)]
    return ok({"data": data[::-1]})


async def test_scores_are_raw_and_in_order() -> None:
    chats = [chat(answer, "Q") for answer in ("Paris.", "No.", "A longer answer.")]
    async with serving(strict) as server:
        scores = values(await VLLMReward(server.url).score(chats))
    assert scores == [20.0 + len(f"{BOS}Q{BOS}{messages[-1]['content']}") for messages in chats]


async def test_texts_are_sent_in_batches_with_one_first_token(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}"
    config = {"bos_token": BOS, "add_bos_token": True, "chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    chats = [chat(answer, "Q") for answer in ("Paris.", "No.", "A longer answer.")]
    async with serving(strict) as server:
        scores = values(await VLLMReward(server.url, template=str(tmp_path), batch=2).score(chats))
        assert scores == values(await VLLMReward(server.url).score(chats))
        sent = [request.json["input"] for request in server.received if b'"input"' in request.body]
    assert sorted(map(len, sent)) == [1, 2]


async def test_of_several_labels_one_counts_or_each_its_weight() -> None:
    async with serving(lambda request: strict(request, lambda text: [1.0, 2.0, 4.0])) as server:
        with pytest.raises(RewardError, match=r"sent 3 numbers \(0, 1, 2\): say what each counts"):
            await VLLMReward(server.url).score([chat("A")])
        assert values(await VLLMReward(server.url, label=2).score([chat("A")])) == [4.0]
        scores = await VLLMReward(server.url, weights={"0": 1, "2": -0.5}).score([chat("A")])
        assert scores == [Score(-1.0, {"0": 1.0, "1": 2.0, "2": 4.0})]
        with pytest.raises(RewardError, match="sent no '7'"):
            await VLLMReward(server.url, label=7).score([chat("A")])


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": []},
        {"data": [{"index": 1, "probs": [1]}]},
        {"data": [{"index": 0, "probs": []}]},
        {"data": [{"index": 0, "probs": [1.0], "num_classes": 2}]},
        {"data": [{"index": 0, "probs": ["1"], "num_classes": 1}]},
        {"data": [{"index": 0, "embedding": [1.0]}]},
    ],
)
async def test_answers_that_are_no_scores_are_reported(answer: Any) -> None:
    async with serving(lambda request: models("rm") if request.method == "GET" else ok(answer)) as server:
        with pytest.raises(RewardError):
            await VLLMReward(server.url).score([chat("A")])


async def test_null_is_no_score_and_costs_that_answer_alone() -> None:
    """JSON has no NaN: servers write null for it."""

    def respond(request: Received) -> bytes:
        if request.method == "GET":
            return models("rm")
        score = None if request.json["messages"][-1]["content"] == "B" else 1.0
        return ok({"data": [{"index": 0, "probs": [score], "num_classes": 1}]})

    async with serving(respond) as server:
        scores = values(await VLLMReward(server.url).score([chat("A"), chat("B"), chat("C")]))
    assert (scores[0], math.isnan(scores[1]), scores[2]) == (1.0, True, 1.0)


async def test_a_server_without_reward_model_is_reported_with_how_to_start_one() -> None:
    def respond(request: Received) -> bytes:
        return models("m", owned_by="vllm") if request.method == "GET" else error("Not Found", 404)

    async with serving(respond) as server:
        with pytest.raises(RewardError, match=r"answered 404 to .*/classify .* vllm serve MODEL --runner pooling"):
            await VLLMReward(server.url).score([chat("A")])


def test_unknown_tasks_and_reductions_are_reported() -> None:
    with pytest.raises(InputError, match="task=embed"):
        VLLMReward("http://localhost", task="embed")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="reduce=max"):
        VLLMReward("http://localhost", reduce="max")  # type: ignore[arg-type]
