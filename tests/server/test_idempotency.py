"""Requests that are sent again with the same Idempotency-Key are not paid twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.conftest import HI, Serve
from server.policy import Said, saying
from tpo.errors import ModelError
from tpo.server.errors import ApiError
from tpo.server.idempotency import SECONDS, Idempotency

KEY = {"idempotency-key": "k1"}
CHAT: dict[str, Any] = {"model": "small:best-of-2", "messages": HI}


async def test_a_request_that_is_sent_again_gets_the_same_result(serve: Serve) -> None:
    async with serve(saying("a", "bb")) as up:
        answers = [await up.client.post("/chat/completions", json=CHAT, headers=KEY) for _ in range(2)]
        texts = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
        assert texts == ["bb", "bb"] and len(up.policy.bodies) == 2
        other = await up.client.post("/chat/completions", json=CHAT, headers={"idempotency-key": "k2"})
        assert other.status_code == 200 and len(up.policy.bodies) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_comes_back_joins_the_search_under_way(serve: Serve, stream: bool) -> None:
    go = asyncio.Event()

    async def answer(body: dict[str, Any], number: int) -> Said:
        await go.wait()
        return "a"

    async with serve(answer) as up:
        body = {**CHAT, "stream": stream}
        first = asyncio.create_task(up.client.post("/chat/completions", json=body, headers=KEY))
        await asyncio.wait_for(up.policy.asked.wait(), 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = asyncio.create_task(up.client.post("/chat/completions", json=body, headers=KEY))
        go.set()
        assert '"content":"a"' in (await again).text
        assert "Step 0" in again.result().text
        assert len(up.policy.bodies) == 2 and up.policy.left == 0


async def test_a_key_belongs_to_one_request(serve: Serve) -> None:
    async with serve(saying("a")) as up:
        await up.client.post("/chat/completions", json=CHAT, headers=KEY)
        refusal = await up.client.post("/chat/completions", json={**CHAT, "n": 2}, headers=KEY)
        assert refusal.status_code == 422 and refusal.json()["error"]["code"] == "idempotency_key_reused"
        other = await up.client.post("/responses", json={"model": "small:best-of-2", "input": "Hi"}, headers=KEY)
        assert other.status_code == 200


async def test_a_failure_is_tried_again(serve: Serve) -> None:
    async with serve(saying(422, 422, "a")) as up:
        first = await up.client.post("/chat/completions", json=CHAT, headers=KEY)
        again = await up.client.post("/chat/completions", json=CHAT, headers=KEY)
        assert (first.status_code, again.status_code) == (400, 200)


async def done() -> int:
    return 1


async def failing() -> int:
    raise ModelError("no")


async def test_keys_are_a_clients_own_and_results_are_kept_for_a_while() -> None:
    now = [0.0]
    shared: Idempotency[int] = Idempotency(clock=lambda: now[0])
    for client in ("alice", "bob"):
        work, begun = shared.join(client, "/x", "k", b"body", done)
        assert begun and await work.task == 1
        shared.leave(work)
    assert not shared.join("alice", "/x", "k", b"body", done)[1]
    now[0] = SECONDS + 1
    assert shared.join("bob", "/x", "k", b"another body", done)[1]
    with pytest.raises(ApiError):
        shared.join("bob", "/x", "k", b"body", done)
    with pytest.raises(ApiError):
        shared.join("bob", "/x", "k" * 300, b"body", done)
    await shared.aclose()


async def test_work_without_clients_ends() -> None:
    shared: Idempotency[int] = Idempotency(linger=0.0)
    stuck = asyncio.Event()

    async def wait() -> int:
        await stuck.wait()
        return 1

    work, _ = shared.join(None, "/x", "k", b"", wait)
    shared.leave(work)
    with pytest.raises(asyncio.CancelledError):
        await work.task
    again, begun = shared.join(None, "/x", "k", b"", failing)
    assert begun
    with pytest.raises(ModelError):
        await again.task
    await shared.aclose()
