"""Counts the tokens of a relayed stream, whether or not the client asked for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

# The end of an event, and where its data begins.
_END = re.compile(rb"\r?\n\r?\n")
_DATA = re.compile(rb"^data: ?(\{.*)", re.MULTILINE)
# Bytes of an event that has no end; a longer one is passed on as it is.
_LONGEST = 1 << 20


class StreamUsage:
    """Reads the tokens off a stream of chat completions, and passes the stream on.

    Args:
        hide: leave out the chunk that only has the usage, since the client did not ask for it.

    Attributes:
        tokens: as the server counted them; before it did, the chunks so far, each of which is about a token.
    """

    def __init__(self, *, hide: bool) -> None:
        self._hide = hide
        self._rest = b""
        self.tokens = 0
        self._counted = False

    def take(self, piece: bytes) -> bytes:
        """Take a piece of the stream.

        Args:
            piece: bytes as they come.

        Returns:
            What the client gets of the events that are complete.
        """
        data = self._rest + piece if self._rest else piece
        end = max((match.end() for match in _END.finditer(data, max(len(self._rest) - 3, 0))), default=0)
        if not end and len(data) > _LONGEST:
            end = len(data)
        complete, self._rest = data[:end], data[end:]
        if b'"usage"' not in complete:
            self._count(len(_DATA.findall(complete)))
            return complete
        return b"".join(self._event(event) for event in _events(complete))

    def end(self) -> bytes:
        """What is left when the stream is over."""
        rest, self._rest = self._rest, b""
        return self._event(rest) if rest else b""

    def _event(self, event: bytes) -> bytes:
        found = _DATA.search(event)
        if found is None:
            return event
        try:
            chunk = msgspec.json.decode(found[1])
        except msgspec.DecodeError:
            return event
        usage = chunk.get("usage") if isinstance(chunk, dict) else None
        if not isinstance(usage, dict):
            self._count(1)
            return event
        self._counted = True
        self.tokens = _total(usage)
        return b"" if self._hide and not chunk.get("choices") else event

    def _count(self, chunks: int) -> None:
        if not self._counted:
            self.tokens += chunks


def with_usage(body: bytes, given: Mapping[str, Any]) -> bytes:
    """A request for a stream, changed so that the stream ends with its usage.

    Args:
        body: the request as it came.
        given: the same, read.
    """
    options = given.get("stream_options")
    if "stream_options" not in given:  # the rest of the request stays as it is, byte by byte
        return body.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'
    kept = options if isinstance(options, dict) else {}
    return msgspec.json.encode({**given, "stream_options": {**kept, "include_usage": True}})


def _events(data: bytes) -> list[bytes]:
    ends = [0, *(match.end() for match in _END.finditer(data))]
    return [data[start:end] for start, end in zip(ends, [*ends[1:], len(data)], strict=True) if start < end]


def _total(usage: Mapping[str, Any]) -> int:
    total = usage.get("total_tokens")
    if isinstance(total, int):
        return total
    return sum(value for key in ("prompt_tokens", "completion_tokens") if isinstance(value := usage.get(key), int))
