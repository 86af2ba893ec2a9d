"""Bytes that are no HTTP, or hardly: refused, or read in the one way in which they can be."""

from __future__ import annotations

import asyncio

import pytest

from server.raw import HOST, POST, Echo, fine, listening, request, statuses, until


@pytest.mark.parametrize(
    "attack",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nX: 1\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1_0\r\n\r\n0123456789",
        POST + b"Content-Length: 99999999999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nx",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET nothing HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100,
        b"GARBAGE\r\n\r\n",
    ],
)
async def test_what_is_no_http(attack: bytes) -> None:
    echo = Echo()
    async with listening(echo) as at:
        answer = await at.say(attack, b"\r\n\r\n", pause=0.05, end=True)
        assert set(statuses(answer)) <= {400, 200}
        assert not any(scope["path"] == "/smuggled" for scope in echo.scopes)
        if 200 in statuses(answer):  # what is served all the same is a request that reads in one way only
            (scope,) = echo.scopes
            assert scope["path"] in ("/", "nothing")
        await fine(at)


async def test_garbage_behind_a_request_does_not_get_into_its_answer() -> None:
    echo = Echo(go=asyncio.Event())
    async with listening(echo) as at:
        answer = await at.say(request(), b"GARBAGE\r\n\r\n", pause=0.05)
        assert answer == b""
        await until(lambda: echo.left == 1)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"garbage"])
async def test_upgrades_are_plain_requests(protocol: bytes) -> None:
    async with listening(Echo()) as at:
        upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk")
        reader, writer = await at.connect()
        writer.write(request("POST", "/", *upgrade, body=b"hello"))
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_bodies_that_wait_to_be_asked_for() -> None:
    async with listening(Echo()) as at:
        reader, writer = await at.connect()
        writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"hello")
        await reader.readline()
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_chunk_that_is_none_is_answered() -> None:
    async with listening(Echo()) as at:
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        assert statuses(await at.say(head, b"zz\r\n", pause=0.05)) == [400]
