"""SGLang, which does not run here: a server that does what its http_server.py and tokenizer_manager.py say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.server import Received, error, models, serving
from rewards.served.kit import chat, ok, values
from tpo.errors import InputError, RewardError
from tpo.rewards.sglang import SGLangReward

PLAIN = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": PLAIN, "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return str(tmp_path)


def sglang(request: Received, info: dict[str, Any] | None = None) -> bytes:
    """Scores a text by its length, and pays dearly for a doubled first token."""
    if request.path == "/v1/models":
        return models("rm", owned_by="sglang")
    if request.path == "/get_model_info" and info is not None:
        return ok(info)
    if request.path == "/v1/classify":
        # The softmax over one label.
        return ok({"data": [{"index": 0, "probs": [1.0], "num_classes": 1}]})
    if request.path != "/classify":
        return error("Not Found", 404)
    texts = request.json["text"]
    assert isinstance(texts, list)
    tokenized = ["<s>" + text for text in texts]
    return ok([{"embedding": [len(t) - 1000.0 * t.count("<s><s>")], "meta_info": {"id": "x"}} for t in tokenized])


async def test_texts_are_scored_raw_with_one_first_token(tokenizer: str) -> None:
    answers = ["Paris.", "No.", "A longer answer."]
    async with serving(sglang) as server:
        reward = SGLangReward(server.url, template=tokenizer, batch=2)
        scores = values(await reward.score([chat(answer, "Q") for answer in answers]))
        assert reward.name.startswith("sglang:rm@http://127.0.0.1:")
    assert scores == [float(len(f"<s>[user]Q</s>[assistant]{answer}</s>")) for answer in answers]
    sent = [request.json for request in server.received if request.path == "/classify"]
    assert sorted(len(body["text"]) for body in sent) == [1, 2]


async def test_the_template_is_found_where_the_server_has_it_on_this_machine(tokenizer: str) -> None:
    info = {"model_path": "x/y", "tokenizer_path": tokenizer, "is_generation": False}
    async with serving(lambda request: sglang(request, info)) as server:
        reward = SGLangReward(server.url)
        assert len(await reward.score([chat("A")])) == 1
        assert "template=" in reward.name


async def test_a_template_that_is_elsewhere_must_be_given() -> None:
    info = {"model_path": "x/y", "tokenizer_path": "x/y", "is_generation": False}
    for page in (info, None):
        async with serving(lambda request, page=page: sglang(request, page)) as server:  # type: ignore[misc]
            with pytest.raises(InputError, match=r"takes text, so the chat template of (x/y|the model) is needed"):
                await SGLangReward(server.url).score([chat("A")])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"embedding": [1.0]}, "sent .* for 1 conversations"),
        ([], "sent 0 scores for 1 conversations"),
        ([{"embedding": 1.0}], "an embedding of one score is expected"),
        ([{"embedding": []}], "an embedding of one score is expected"),
        ([{"embedding": ["1"]}], "where a number is expected"),
        ([{"embedding": [1.0, 2.0]}], "sent 2 numbers"),
        ([{"embedding": [0.5] * 4096}], "sent 4096 numbers a conversation: a hidden state.*--is-embedding"),
    ],
)
async def test_answers_that_are_no_scores_are_reported(tokenizer: str, answer: Any, message: str) -> None:
    async with serving(lambda request: models("rm") if request.method == "GET" else ok(answer)) as server:
        with pytest.raises(RewardError, match=message):
            await SGLangReward(server.url, template=tokenizer).score([chat("A")])
