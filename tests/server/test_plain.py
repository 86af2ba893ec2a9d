"""A plain model's answer that is not passed through: one call, whatever the options of what the client sees."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import FakeModel, numbered
from server.conftest import HI, Serve
from server.policy import saying


async def test_options_of_what_is_shown_keep_the_number_of_answers(serve: Serve) -> None:
    async with serve(saying(""), policy=FakeModel(numbered())) as up:
        answer = (await up.chat("fake", n=2, tpo={"thought": False})).json()
        texts = [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]]
        assert texts == [(0, "answer 1"), (1, "answer 2")]
        chunks, _ = await up.events("fake", n=2, tpo={"thought": False})
        deltas = [choice for chunk in chunks for choice in chunk["choices"]]
        assert {one["index"] for one in deltas if one["finish_reason"]} == {0, 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/messages", {"messages": HI, "max_tokens": 9}),
        ("/responses", {"input": "Hi"}),
        ("/chat/completions", {"messages": HI}),
        ("/chat/completions", {"messages": HI, "tpo": {"narration": False}}),
    ],
)
async def test_headers_alone_align_nothing(serve: Serve, path: str, body: dict[str, Any]) -> None:
    async with serve(saying("Ho")) as up:
        headers = {"x-tpo-width": "3", "x-tpo-method": "best-of-n"}
        answer = await up.client.post(path, json={"model": "small", **body}, headers=headers)
        assert answer.status_code == 200 and "tpo" not in answer.json()
        assert len(up.policy.bodies) == 1
        answer = await up.client.post(path, json={"model": "small", **body, "tpo": {"width": 2}}, headers=headers)
        assert answer.json()["tpo"]["method"] == "best-of-n" and answer.json()["tpo"]["candidates"] == 2


async def test_tokens_are_counted_by_one_call_whatever_the_options(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        body = {"model": "small", "messages": HI, "tpo": {"width": 3}}
        assert (await up.client.post("/messages/count_tokens", json=body)).json() == {"input_tokens": 10}
        assert len(up.policy.bodies) == 1
