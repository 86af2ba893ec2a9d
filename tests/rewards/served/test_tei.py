"""text-embeddings-inference, which does not run here: a server that does what its openapi.json (1.7.1) says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.server import Received, error, response, serving
from rewards.served.kit import CHATML, chat, ok, values
from tpo.errors import InputError, RewardError, RewardTooLong
from tpo.rewards.tei import TEIReward

Logits = Callable[..., dict[str, float]]


def length(text: str, pair: str | None = None) -> dict[str, float]:
    """A pair is scored by its second text; a single text by its length, the one first token left out."""
    return {"LABEL_0": 20.0 + (len(text) if pair is None else len(pair))}


def tei(logits: Logits = length, kind: str = "classifier", batch: int = 2) -> Callable[[Received], bytes]:
    info = {
        "model_id": "some/rm",
        "model_type": {kind: {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_client_batch_size": batch,
        "max_input_length": 100,
    }

    def predicted(entry: list[str], raw: bool) -> list[dict[str, Any]]:
        scores = logits(*entry)
        shown = {name: x if raw else min(1.0, 1 / (1 + math.exp(-x))) for name, x in scores.items()}
        ordered = sorted(shown.items(), key=lambda item: -item[1])
        return [{"label": name, "score": score} for name, score in ordered]

    def respond(request: Received) -> bytes:
        if request.path == "/info":
            return ok(info)
        body = request.json
        given = body["inputs"] if "inputs" in body else body["texts"]
        if len(given) > batch:
            return response(
                json.dumps({"error": f"batch size {len(given)} > {batch}", "error_type": "Validation"}), 413
            )
        longest = max(len(text) for entry in given for text in ([entry] if isinstance(entry, str) else entry))
        if longest > 100 and not body.get("truncate"):
            said = f"`inputs` must have less than 100 tokens. Given: {longest}"
            return response(json.dumps({"error": said, "error_type": "Tokenizer"}), 422)
        if request.path == "/predict":
            if all(isinstance(entry, str) for entry in given):  # one pair, whatever was meant
                return ok(predicted(given, body["raw_scores"]))
            return ok([predicted(entry, body["raw_scores"]) for entry in given])
        if request.path == "/rerank":
            ranks = [{"index": at, "score": logits(body["query"], text)["LABEL_0"]} for at, text in enumerate(given)]
            return ok(sorted(ranks, key=lambda rank: -rank["score"]))
        return error("Not Found", 404)

    return respond


ANSWERS = ["Paris.", "No.", "A longer answer."]
CHATS = [chat(answer, "Q") for answer in ANSWERS]
LENGTHS = [20.0 + len(answer) for answer in ANSWERS]


async def test_pairs_are_scored_raw_in_batches_that_the_server_takes() -> None:
    async with serving(tei()) as server:
        reward = TEIReward(server.url)
        assert values(await reward.score(CHATS)) == LENGTHS
        assert reward.name == f"tei:some/rm@{server.url.removesuffix('/v1')}?form=pair"
    sent = [request.json for request in server.received if request.path == "/predict"]
    assert sorted([body["inputs"] for body in sent], key=len) == [[["Q", ANSWERS[2]]], [["Q", "Paris."], ["Q", "No."]]]
    assert all(body["truncate"] is False for body in sent)


async def test_two_chats_as_text_are_no_pair(tmp_path: Path) -> None:
    config = {"bos_token": "[CLS]", "chat_template": "{{ bos_token }}{{ messages[-1].content }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    async with serving(tei()) as server:
        assert values(await TEIReward(server.url, template=str(tmp_path)).score(CHATS[:2])) == LENGTHS[:2]


async def test_ranks_find_back_to_their_answers() -> None:
    other = chat("Berlin, I think.", "And of Germany?")
    mixed = [CHATS[0], other, CHATS[1], CHATS[2]]
    async with serving(tei(kind="reranker")) as server:
        reward = TEIReward(server.url, form="rerank")
        assert values(await reward.score(mixed)) == [LENGTHS[0], 20.0 + len("Berlin, I think."), *LENGTHS[1:]]
    sent = [(r.json["query"], len(r.json["texts"])) for r in server.received if r.path == "/rerank"]
    assert sorted(sent) == [("And of Germany?", 1), ("Q", 1), ("Q", 2)]


async def test_labels_are_known_by_name_since_the_highest_comes_first() -> None:
    def logits(text: str, pair: str | None = None) -> dict[str, float]:
        good = float(len(pair or ""))
        return {"good": good, "bad": 5.0 - good}

    async with serving(tei(logits)) as server:
        scores = await TEIReward(server.url, label="good").score(CHATS)
        assert values(scores) == [float(len(answer)) for answer in ANSWERS]
        weighted = await TEIReward(server.url, weights={"good": 1, "bad": -1}).score(CHATS)
        assert values(weighted) == [2.0 * len(answer) - 5 for answer in ANSWERS]
        with pytest.raises(RewardError, match="sent 2 numbers"):
            await TEIReward(server.url).score(CHATS)


async def test_nothing_is_cut_in_silence() -> None:
    long = chat("x" * 300, "Q")
    async with serving(tei()) as server:
        with pytest.raises(RewardTooLong, match=r"less than 100 tokens. Given: 300"):
            await TEIReward(server.url).score([long])
        reward = TEIReward(server.url, truncate=True)
        assert len(await reward.score([long])) == 1
        assert reward.name.endswith("&truncate=True")
    assert server.received[-1].json["truncation_direction"] == "Left"


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"model_id": "e", "model_type": {"embedding": {"pooling": "mean"}}}, "serves e, which is of type embedding"),
        ({"model_id": "e"}, "has no /info that names a model"),
        ([], "has no /info that names a model"),
    ],
)
async def test_a_server_that_scores_nothing_is_reported(info: Any, message: str) -> None:
    async with serving(lambda request: ok(info)) as server:
        with pytest.raises(RewardError, match=message):
            await TEIReward(server.url).score(CHATS)


@pytest.mark.parametrize("answer", [{}, [[{"label": "L", "score": 1.0}]], [[]] * 2, [[{"label": "L"}]] * 2, [1.0, 2.0]])
async def test_answers_that_are_no_scores_are_reported(answer: Any) -> None:
    good = tei()
    async with serving(lambda request: good(request) if request.path == "/info" else ok(answer)) as server:
        with pytest.raises(RewardError):
            await TEIReward(server.url).score(CHATS[:2])


def test_forms_and_templates_that_do_not_go_together_are_reported() -> None:
    for options in ({"form": "text"}, {"form": "pair", "template": CHATML}, {"form": "chat"}):
        with pytest.raises(InputError, match="form="):
            TEIReward("http://localhost", **options)  # type: ignore[arg-type]
