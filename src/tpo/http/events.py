"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), read from bytes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator
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
    reader, rest, begun = _EventReader(), b"", False
    async for piece in pieces:
        if not begun and piece:
            begun, piece = True, piece.removeprefix(b"\xef\xbb\xbf")
        lines, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            for event in reader.events(lines):
                yield event
    for event in reader.events(rest + b"\n"):
        yield event


class _EventReader:
    """Makes events of lines."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._name = ""

    def events(self, lines: bytes) -> Iterator[ServerEvent]:
        """The events that end in these lines, which come without the end of the last."""
        if b"\r" in lines:  # a line may end in a carriage return, with or without a line feed after it
            lines = lines.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        for line in lines.split(b"\n"):
            if not line:
                if self._data:
                    yield ServerEvent(b"\n".join(self._data), self._name)
                self._data, self._name = [], ""
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode(errors="replace")
            elif line.startswith(b"{"):
                self._data.append(line)
