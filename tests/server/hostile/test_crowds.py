"""Many at once: who say nothing, who leave, who do not read, and who ask for more than there is."""

from __future__ import annotations

import asyncio
import json
import resource

import pytest

from server.hostile.conftest import Attacked
from server.raw import request, statuses
from tpo.options import ServeOptions

CLOSE = b"Connection: close"


def chat(text: str, model: str = "small:best-of-2", **more: object) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return request("POST", "/v1/chat/completions", body=json.dumps(body).encode())


def room() -> int:
    """How many connections this process can have with itself, and no more than thousands."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(4000, (soft - 500) // 2)


@pytest.mark.usefixtures("patient")
async def test_thousands_that_send_nothing(attacked: Attacked) -> None:
    async with attacked() as under:
        crowd = []
        for start in range(0, room(), 200):
            crowd += await asyncio.gather(*[under.at.connect() for _ in range(min(200, room() - start))])
        assert len(crowd) == room() >= 1000
        await under.good(10)
        # Some of them have asked before, and now say nothing.
        for _, writer in crowd[:500]:
            writer.write(request("GET", "/health"))
        lines = await asyncio.gather(*[reader.readline() for reader, _ in crowd[:500]])
        assert {line.split()[1] for line in lines} == {b"200"}
        await under.good(10)
        for _, writer in crowd:
            writer.transport.abort()


@pytest.mark.usefixtures("quick")
async def test_hundreds_that_send_a_byte_now_and_then(attacked: Attacked) -> None:
    async with attacked() as under:
        head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100
        answers = await asyncio.gather(
            *[under.at.say(*[bytes([byte]) for byte in head], pause=0.02) for _ in range(300)]
        )
        assert {status for answer in answers for status in statuses(answer)} == {408}


@pytest.mark.usefixtures("quick")
async def test_hundreds_that_do_not_read(attacked: Attacked) -> None:
    async with attacked() as under:
        crowd = await asyncio.gather(*[under.at.connect() for _ in range(200)])
        for reader, writer in crowd:
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(chat("x" * 200_000, stream=True))
        await under.good(20)
        for _, writer in crowd:
            writer.transport.abort()


async def test_hundreds_that_leave(attacked: Attacked) -> None:
    """While they are answered, and while they wait; none of them keeps a place."""
    async with attacked(serving=ServeOptions(requests=4, queue=400)) as under:
        for _ in range(3):
            crowd = await asyncio.gather(*[under.at.connect() for _ in range(100)])
            for number, (_, writer) in enumerate(crowd):
                writer.write(chat("never", stream=number % 2 == 0))
            await asyncio.sleep(0.1)
            for number, (_, writer) in enumerate(crowd):
                if number % 3:
                    writer.transport.abort()
                else:
                    writer.write_eof()
            await under.good(2)
        metrics = (await under.client.get(under.url.removesuffix("/v1") + "/metrics")).text
        assert 'tpo_queued{kind="aligned"} 0.0' in metrics


async def test_more_than_there_is_room_for(attacked: Attacked) -> None:
    async with attacked(serving=ServeOptions(requests=2, queue=40)) as under:
        crowd = await asyncio.gather(*[under.at.connect() for _ in range(8)])
        for _, writer in crowd[:1]:
            writer.write(chat("never"))
        burst = [under.at.say(chat(f"burst {number}").replace(b"Host", CLOSE + b"\r\nHost")) for number in range(300)]
        answers = await asyncio.gather(*burst)
        found = [status for answer in answers for status in statuses(answer)]
        assert len(found) == 300
        assert set(found) == {200, 429}
        for answer in answers:
            if statuses(answer) == [429]:
                assert b"retry-after: " in answer
                assert b"rate_limit_exceeded" in answer
        for _, writer in crowd:
            writer.transport.abort()


async def test_half_closed_sockets(attacked: Attacked) -> None:
    async with attacked() as under:
        sent = [chat("hi"), chat("never"), chat("hi")[:-3], b"POST /v1/cha", b"", chat("never", stream=True)]
        answers = await asyncio.gather(*[under.at.say(piece, end=True) for piece in sent * 30])
        assert not [status for answer in answers for status in statuses(answer) if status >= 500]
