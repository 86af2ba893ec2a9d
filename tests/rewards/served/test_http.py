"""The generic service: our own form, and the one of training frameworks (OpenRLHF's serve_rm.py)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from models.server import Received, response, serving
from rewards.served.kit import chat, ok, values
from tpo.errors import InputError, RewardError
from tpo.rewards.http import HTTPReward
from tpo.rewards.protocol import Score

CHATS = [chat(answer, "Q") for answer in ("Paris.", "No.", "A longer answer.")]


async def test_conversations_go_out_and_scores_come_back_in_order() -> None:
    def respond(request: Received) -> bytes:
        assert request.path == "/deep/score?v=2"
        return ok({"scores": [len(messages[-1]["content"]) for messages in request.json["conversations"]]})

    async with serving(respond) as server:
        reward = HTTPReward(server.url.replace("/v1", "/deep/score?v=2"), batch=2, model="mine")
        assert await reward.score(CHATS) == [6.0, 3.0, 16.0]
        assert reward.name == f"http:mine@{server.url.replace('/v1', '/deep/score')}?form=conversations"
    sent = [request.json["conversations"] for request in server.received]
    assert sorted(sent, key=len) == [[CHATS[2]], CHATS[:2]]


async def test_an_address_without_path_is_used_as_it_is() -> None:
    async with serving(lambda request: ok({"scores": [1]})) as server:
        await HTTPReward(server.url.removesuffix("/v1")).score(CHATS[:1])
    assert server.received[0].path == "/"


async def test_created_is_an_answer() -> None:
    async with serving(lambda request: response('{"scores": [1]}', 201)) as server:
        assert await HTTPReward(server.url).score(CHATS[:1]) == [1.0]


async def test_parts_and_feedback() -> None:
    missing = {"facts": "names the river"}
    full = {"value": 1.5, "parts": {"style": 1, "facts": 0.5}, "feedback": "Name the river.", "missing": missing}
    async with serving(lambda request: ok({"scores": [full, {"value": 2}, -3]})) as server:
        scores = await HTTPReward(server.url).score(CHATS)
    assert scores == [Score(1.5, {"style": 1.0, "facts": 0.5}, "Name the river.", missing), Score(2.0), -3.0]


async def test_queries_are_templated_texts_without_the_first_token(tmp_path: Path) -> None:
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}[assistant]{% endif %}"
    config = {"bos_token": "<s>", "chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")

    def respond(request: Received) -> bytes:
        texts, prompts = request.json["query"], request.json["prompts"]
        assert all(text.startswith(prompt) for text, prompt in zip(texts, prompts, strict=True))
        return ok({"rewards": [len(t) - len(p) for t, p in zip(texts, prompts, strict=True)], "extra_logs": {}})

    async with serving(respond) as server:
        assert await HTTPReward(server.url, form="query", template=str(tmp_path)).score(CHATS) == [6.0, 3.0, 16.0]
    assert server.received[0].json["query"][0] == "[user]Q[assistant]Paris."
    assert server.received[0].json["prompts"][0] == "[user]Q[assistant]"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"scores": [1, 2]}, "sent 2 scores for 3 conversations"),
        ({"rewards": [1, 2, 3]}, "for 3 conversations"),
        ([1, 2, 3], "for 3 conversations"),
        ({"scores": [1, "2", 3]}, "a score is '2'"),
        ({"scores": [1, {}, 3]}, "a score's value is 'missing'"),
        ({"scores": [1, {"value": 1, "parts": {"a": "b"}}, 3]}, "the part a is 'b'"),
        ({"scores": [1, {"value": 1, "feedback": 3}, 3]}, "feedback a text"),
        ({"scores": [1, {"value": 1, "parts": [3]}, 3]}, "parts is an object"),
        ({"scores": [1, {"value": 1, "missing": {"a": 3}}, 3]}, "missing is an object of texts"),
    ],
)
async def test_answers_of_another_form_are_reported(answer: Any, message: str) -> None:
    async with serving(lambda request: ok(answer)) as server:
        with pytest.raises(RewardError, match=message):
            await HTTPReward(server.url).score(CHATS)


@pytest.mark.parametrize("value", ["NaN", "null", '{"value": NaN}', '{"value": null}'])
async def test_a_score_that_is_no_number_costs_no_other_answer_its_own(value: str) -> None:
    body = f'{{"scores": [1, {value}, 3]}}'
    async with serving(lambda request: response(b"\xef\xbb\xbf" + body.encode())) as server:
        scores = values(await HTTPReward(server.url).score(CHATS))
    assert (scores[0], math.isnan(scores[1]), scores[2]) == (1.0, True, 3.0)


def test_forms_and_templates_that_do_not_go_together_are_reported() -> None:
    with pytest.raises(InputError, match=r"form=query: .*template=PATH"):
        HTTPReward("http://localhost", form="query")
    with pytest.raises(InputError, match="not an http"):
        HTTPReward("localhost:5000/score")
