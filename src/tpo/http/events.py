"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), read from bytes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event.

    Attributes:
        data: its data; several lines are joined.
        name: its type, where it has one.
    """

    data: bytes
    name: str = ""


async def server_events(pieces: AsyncIterable[bytes]) -> AsyncIterator[ServerEvent]:
    """The events of a stream.

    A last event without the empty line after it counts too, and so does a bare line of JSON: some servers send their
    errors like that. What is no event otherwise is left out.

    Args:
        pieces: the body, cut anywhere.
    """
    data: list[bytes] = []
    name = ""
    async for line in _lines(pieces):
        if not line:
            if data:
                yield ServerEvent(b"\n".join(data), name)
            data, name = [], ""
        elif line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode(errors="replace")
        elif line.startswith(b"{"):
            data.append(line)
    if data:
        yield ServerEvent(b"\n".join(data), name)


async def _lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    begun = False
    async for piece in pieces:
        if not begun and piece:
            begun, piece = True, piece.removeprefix(b"\xef\xbb\xbf")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            # A line may end in a carriage return, with or without a line feed after it.
            line = line.removesuffix(b"\r")
            if b"\r" in line:
                for part in line.split(b"\r"):
                    yield part
            else:
                yield line
    for part in rest.split(b"\r"):
        yield part
