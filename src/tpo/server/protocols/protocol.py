"""What the endpoint needs of a protocol: a reader that makes requests, and a renderer of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from tpo.server.deltas import Delta
from tpo.server.errors import ApiError
from tpo.server.protocols.request import GenerationRequest, Headers
from tpo.session.response import Completion


class Renderer(Protocol):
    """Writes one protocol's answer. `place` is the number of the conversation, where a request holds several."""

    @property
    def id(self) -> str:
        """The answer's id."""
        ...

    def begin(self) -> bytes:
        """The beginning of a stream."""
        ...

    def delta(self, place: int, delta: Delta) -> bytes:
        """A delta in a stream."""
        ...

    def finish(self, place: int, response: Completion) -> bytes:
        """The end of one conversation's answer in a stream, all of whose deltas have been rendered."""
        ...

    def end(self) -> bytes:
        """The end of a stream."""
        ...

    def fail(self, error: ApiError) -> bytes:
        """The end of a stream that failed."""
        ...

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The answers in one piece."""
        ...


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request that was read.

    Attributes:
        queries: the conversations to answer; nearly always one.
        renderer: writes the answer.
        stream: whether it is streamed.
    """

    queries: list[GenerationRequest]
    renderer: Renderer
    stream: bool


# Reads a body with its headers; raises BadRequest.
Reader: TypeAlias = Callable[[Mapping[str, Any], Headers], ParsedRequest]


class ProtocolSpec(msgspec.Struct, frozen=True):
    """A protocol.

    Attributes:
        reader: reads requests.
        relay: where a plain model's request goes as it is, below the address of its server's API; None where the
            policy's server need not speak this protocol, so that the answer is rendered from the model client's.
        error_body: writes the body of an error response.
    """

    reader: Reader
    relay: str | None = None
    error_body: Callable[[ApiError], bytes] = ApiError.body
