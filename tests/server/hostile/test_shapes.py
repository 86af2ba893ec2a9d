"""Bodies that are small to send and large to read: each is refused in a word, and the server stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.hostile.conftest import Attacked, refused

HI = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}

# Name, body beside the model, and what the refusal names.
SHAPES: list[tuple[str, dict[str, Any], str]] = [
    ("tiny messages", {"messages": [HI] * 240_000}, "lists and objects"),
    ("many messages", {"messages": [HI] * 5000}, "messages"),
    ("many tools", {"messages": [HI], "tools": [TOOL] * 2000}, "tools"),
    (
        "many calls",
        {"messages": [HI, {"role": "assistant", "content": None, "tool_calls": [CALL] * 2000}, HI]},
        "calls",
    ),
    ("many fields", {"messages": [HI], **{f"f{number}": 1 for number in range(5000)}}, "fields"),
    ("many numbers", {"messages": [HI], "stop": [1] * 600_000}, "entries"),
]


@pytest.mark.parametrize("model", ["small", "small:best-of-2"])
@pytest.mark.parametrize(("name", "body", "words"), SHAPES, ids=[name for name, _, _ in SHAPES])
async def test_shapes(attacked: Attacked, name: str, body: dict[str, Any], words: str, model: str) -> None:
    content = json.dumps({"model": model, **body}).encode()
    async with attacked() as under:
        answer = await under.client.post("/chat/completions", content=content)
        assert answer.status_code == 400 and words in refused(answer)


@pytest.mark.parametrize("path", ["/responses", "/messages"])
async def test_other_protocols_have_the_same_bounds(attacked: Attacked, path: str) -> None:
    many = {"model": "small", "max_tokens": 5, "input": [HI] * 5000, "messages": [HI] * 5000}
    async with attacked() as under:
        answer = await under.client.post(path, json=many)
        assert answer.status_code == 400 and "5000 entries" in answer.text
