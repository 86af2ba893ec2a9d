"""Requests that are sent again with the same Idempotency-Key are not paid twice."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from server.conftest import HI, Serve
from server.policy import Said, saying
from tpo.candidate import Candidate
from tpo.errors import ModelError
from tpo.server.answers import answer_size
from tpo.server.errors import ApiError
from tpo.server.idempotency import KEPT_BYTES, SECONDS, Idempotency
from tpo.session.response import Completion, TokenUsage

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


async def test_a_request_that_comes_back_while_its_work_is_ended_begins_it_again() -> None:
    shared: Idempotency[int] = Idempotency(linger=0.0)
    ending, go = asyncio.Event(), asyncio.Event()

    async def slow() -> int:
        try:
            await asyncio.Event().wait()
        finally:  # as a search closes its calls
            ending.set()
            await go.wait()
        return 1

    work, _ = shared.join(None, "/x", "k", b"", slow)
    await asyncio.sleep(0)
    shared.leave(work)
    await ending.wait()
    again, begun = shared.join(None, "/x", "k", b"", done)
    go.set()
    assert begun and await again.task == 1
    assert not shared.join(None, "/x", "k", b"", done)[1]  # the end of the first has not removed the second
    await shared.aclose()


async def test_leaving_is_no_way_around_the_limit_of_requests_at_once() -> None:
    shared: Idempotency[int] = Idempotency()

    async def wait() -> int:
        await asyncio.Event().wait()
        return 1

    works = [shared.join(client, "/x", f"k{n}", b"", wait)[0] for n in range(4) for client in ("alice", "bob")]
    await asyncio.sleep(0)
    for work in works:
        shared.leave(work, 2 if work.place[0] == "alice" else None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [work.task.cancelled() for work in works[::2]] == [True, True, False, False]
    assert not any(work.task.done() for work in works[1::2])
    await shared.aclose()


async def test_large_results_are_kept_as_long_as_there_is_room() -> None:
    shared: Idempotency[int] = Idempotency(size_of=lambda result: KEPT_BYTES // 2)
    for name in "abc":
        work, _ = shared.join(None, "/x", name, b"", done)
        await work.task
        await asyncio.sleep(0)
        shared.leave(work)
    kept = [not shared.join(None, "/x", name, b"", done)[1] for name in "cba"]
    assert kept == [True, True, False]
    await shared.aclose()


def test_a_trace_counts_for_the_size_of_an_answer() -> None:
    candidate, trace = Candidate(id="0.0", step=0, text="a" * 10), [{"record": "prompted", "messages": "b" * 1000}]
    plain = Completion([candidate], TokenUsage(), {"0.0": "c" * 5}, "d" * 7, {"method": "tpo"})
    traced = msgspec.structs.replace(plain, search={"method": "tpo", "trace": trace})
    assert answer_size([plain]) == 22 and answer_size([plain, traced]) > 1000
