"""Server-sent events: the same ones however the body is cut and its lines end."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.http.events import ServerEvent, server_events

BODY = b': hello\ndata: {"a": 1}\n\nevent: error\ndata:{"b":\ndata: 2}\n\n\n{"bare": 3}\nid: 7\n\ndata: the end'
EVENTS = [
    ServerEvent(b'{"a": 1}'),
    ServerEvent(b'{"b":\n2}', "error"),
    ServerEvent(b'{"bare": 3}'),
    ServerEvent(b"the end"),
]


async def read(body: bytes, cuts: list[int]) -> list[ServerEvent]:
    async def pieces() -> AsyncIterator[bytes]:
        places = [0, *sorted(cuts), len(body)]
        for start, end in itertools.pairwise(places):
            yield body[start:end]

    return [event async for event in server_events(pieces())]


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, len(BODY) + 20), max_size=6), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
async def test_however_a_body_is_cut(cuts: list[int], end: bytes) -> None:
    assert await read(BODY.replace(b"\n", end), cuts) == EVENTS


@pytest.mark.parametrize("body", [b"", b"\n\n\n", b": nothing\n\n", b"event: x\n\n"])
async def test_what_is_no_event(body: bytes) -> None:
    assert await read(body, []) == []


async def test_a_byte_order_mark_is_no_text() -> None:
    assert await read(b"\xef\xbb\xbfdata: x\n\n", [3]) == [ServerEvent(b"x")]
