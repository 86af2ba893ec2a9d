"""The tokens of relayed streams: counted always, shown only where the client asked for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from server.conftest import HI, Serve
from server.policy import Said, saying
from tpo.server.app import AppOptions
from tpo.server.keys import Keys, hashed
from tpo.server.passthrough import StreamUsage, with_usage

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def event(value: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + end


def chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@given(
    st.lists(st.text(max_size=20), max_size=6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_a_stream_in_any_pieces(texts: list[str], hide: bool, counted: bool, end: bytes, sizes: list[int]) -> None:
    shown = [event(chunk(text), end) for text in texts]
    usage = [event({"choices": [], "usage": USAGE}, end)] if counted else []
    stream, kept = b"".join([*shown, *usage, event(b"[DONE]", end)]), [*shown, *([] if hide else usage)]
    reader, out, at, turn = StreamUsage(hide=hide), b"", 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        out += reader.take(stream[at : at + size])
        at, turn = at + size, turn + 1
    out += reader.end()
    assert out == b"".join([*kept, event(b"[DONE]", end)])
    assert reader.reported == (15 if counted else None) and reader.chunks >= len(texts)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_what_is_no_stream_is_passed_on(pieces: list[bytes]) -> None:
    reader = StreamUsage(hide=False)
    assert b"".join(reader.take(piece) for piece in pieces) + reader.end() == b"".join(pieces)


def test_a_request_is_changed_as_little_as_possible() -> None:
    body = b'{ "model": "m",  "stream": true }\n'
    assert with_usage(body, json.loads(body)).startswith(b'{ "model": "m",  "stream": true ')
    assert json.loads(with_usage(body, json.loads(body)))["stream_options"] == {"include_usage": True}
    for options in (None, {}, {"include_usage": False, "other": 1}, 5):
        given = {"stream_options": options}
        changed = json.loads(with_usage(json.dumps(given).encode(), given))["stream_options"]
        assert changed["include_usage"] is True


async def test_a_plain_stream_counts_against_the_clients_tokens(serve: Serve, tmp_path: Any) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[alice]\nsha256 = "{hashed("a key of sixteen+")}"\ntokens-per-minute = 20\n')
    path.chmod(0o600)
    headers = {"authorization": "Bearer a key of sixteen+"}
    body = {"model": "small", "messages": HI, "stream": True}
    async with serve(saying("Ho"), options=AppOptions(keys=Keys(path))) as up:
        answers = [await up.client.post("/chat/completions", json=body, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert '"usage"' not in answers[0].text and answers[0].text.endswith("data: [DONE]\n\n")
        assert up.policy.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_client_that_asks_for_usage_gets_it(serve: Serve) -> None:
    async with serve(saying("Ho")) as up:
        chunks, _ = await up.events("small", stream_options={"include_usage": True})
        assert chunks[-1]["usage"]["total_tokens"] == 15
        assert up.policy.raw[0].count(b"stream_options") == 1


class Spent:
    """A key with many tokens a minute, and what is left of them."""

    def __init__(self, folder: Path) -> None:
        path = folder / "keys.toml"
        path.write_text(f'[alice]\nsha256 = "{hashed("a key of sixteen+")}"\ntokens-per-minute = 100000\n')
        path.chmod(0o600)
        self.keys = Keys(path)
        self.headers = {"authorization": "Bearer a key of sixteen+"}

    @property
    def tokens(self) -> int:
        """Tokens that were charged; the bucket fills up by two a millisecond, so that amounts are large here."""
        account = self.keys.account_of("alice")
        assert account is not None and account._tokens is not None
        return 100_000 - int(account._tokens._level)


Told = Callable[[web.Request, dict[str, Any], dict[str, Any]], Awaitable[web.StreamResponse]]
LONG = [{"role": "user", "content": "word " * 20_000}]


async def whole(request: web.Request, body: dict[str, Any], message: dict[str, Any]) -> web.StreamResponse:
    """An answer whose usage is far from its end, as with vLLM's `prompt_logprobs`."""
    usage = {"prompt_tokens": 50_000, "total_tokens": 50_001}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return web.json_response({"choices": choices, "usage": usage, "prompt_logprobs": [None] * 10_000})


async def chunked(request: web.Request, body: dict[str, Any], message: dict[str, Any]) -> web.StreamResponse:
    """The same, without a length."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    made = await whole(request, body, message)
    assert isinstance(made, web.Response) and isinstance(made.body, bytes)
    for start in range(0, len(made.body), 1000):
        await response.write(made.body[start : start + 1000])
    return response


async def uncounted(request: web.Request, body: dict[str, Any], message: dict[str, Any]) -> web.StreamResponse:
    """A stream that reports no usage, although the request did not ask for one by the name that we know."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(event(chunk("a")) * 40_000)
    return response


@pytest.mark.parametrize("told", [whole, chunked, uncounted])
async def test_an_answer_counts_wherever_and_whether_its_server_reports_usage(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    spent = Spent(tmp_path)
    monkeypatch.setattr("server.policy._told", told)
    async with serve(saying("Ho"), options=AppOptions(keys=spent.keys)) as up:
        body = {"model": "small", "messages": HI}
        answer = await up.client.post("/chat/completions", json=body, headers=spent.headers)
        assert answer.status_code == 200
        assert 30_000 < spent.tokens <= 50_001


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_early_pays_for_its_prompt(
    serve: Serve, tmp_path: Path, stream: bool, path: str
) -> None:
    spent = Spent(tmp_path)

    async def answer(body: dict[str, Any], number: int) -> Said:
        if not stream:
            await asyncio.Event().wait()
        return {"role": "assistant", "content": "Ho", "hang": True}

    async with serve(answer, options=AppOptions(keys=spent.keys)) as up:
        body = {"model": "small", "messages": LONG, "stream": stream, "max_tokens": 9}
        async with aiohttp.ClientSession(headers=spent.headers) as client:
            post = asyncio.create_task(client.post(f"{up.url}/{path}", json=body))
            if stream:
                async with await post as response:
                    await response.content.readline()
            else:
                await asyncio.wait_for(up.policy.asked.wait(), 10)
                post.cancel()
        await asyncio.wait_for(up.policy.gone.wait(), 10)
        assert spent.tokens > 20_000


@pytest.mark.parametrize("stream", [1, "true", []])
async def test_stream_is_a_boolean(serve: Serve, stream: Any) -> None:
    async with serve(saying("Ho")) as up:
        refusal = await up.chat("small", stream=stream)
        assert refusal.status_code == 400 and refusal.json()["error"]["param"] == "stream"
        assert not up.policy.bodies


async def test_a_refused_request_costs_nothing(serve: Serve, tmp_path: Path) -> None:
    spent = Spent(tmp_path)
    async with serve(saying(422), options=AppOptions(keys=spent.keys)) as up:
        body = {"model": "small", "messages": LONG}
        await up.client.post("/chat/completions", json=body, headers=spent.headers)
        assert spent.tokens <= 0
