"""A plain model: the request goes to its server as it is, and the server's bytes to the client as they come.

The tokens of a relayed stream are counted whether or not the client wants their numbers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp
import msgspec

from tpo.http.client import JSON, PATIENT, WHOLE, connections
from tpo.http.endpoint import Endpoint
from tpo.http.failures import explained, unsent
from tpo.http.redaction import PassingBody, Secrets
from tpo.messages import text_of
from tpo.models.fleet import Fleet
from tpo.models.openai import OpenAIModel
from tpo.server.asgi import BrokenOff, Header, Send
from tpo.server.errors import UPSTREAM, ApiError, refused

# Headers of a response that belong to one connection, or to the server behind us.
_DROPPED = frozenset(
    [b"connection", b"content-encoding", b"content-length", b"date", b"keep-alive", b"server", b"set-cookie"]
) | {b"trailer", b"transfer-encoding", b"upgrade", b"x-request-id", b"proxy-authenticate", b"strict-transport-security"}
# Shorter answers whose length is known are passed on in one piece.
_WHOLE = 1_000_000
# Usage in an answer that comes in pieces, and the bytes that it may stretch over. Quotes in texts have a backslash.
_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d{1,18})')
_OVERLAP = 64
# Characters of a token, for requests whose tokens no server counts: right for English within a third.
_TOKEN_CHARACTERS = 4


class Relay:
    """Connections to the servers of plain models."""

    def __init__(self) -> None:
        self._sessions: dict[int, aiohttp.ClientSession] = {}

    async def aclose(self) -> None:
        """Close them."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def relay(
        self,
        fleet: Fleet,
        path: str,
        body: bytes,
        given: Mapping[str, Any],
        send: Send,
        spend: Callable[[int], None],
    ) -> None:
        """Pass a request on, and its answer back.

        Args:
            fleet: who serves the model.
            path: where to, below the API's address.
            body: the request as it came.
            given: the same, read.
            send: the way to the client.
            spend: called with the tokens: as the server reports them, else as the request and the answer have them.

        Raises:
            ModelUnavailable: the server cannot be reached, or broke off before its answer began.
            ApiError: the model has no server.
            BadRequest: `stream` is no boolean; servers that take 1 or "true" would stream without reporting usage.
        """
        if not isinstance(given.get("stream"), bool | None):
            raise refused("stream", "is neither true nor false")
        server = fleet.roomiest
        if not isinstance(server.model, OpenAIModel):
            raise ApiError(400, f"{fleet.name} has no server to pass this on to: use {fleet.name}:tpo.")
        endpoint = server.model.endpoint
        body = plain_body(body, given)
        usage = None
        if given.get("stream") is True:
            options = given.get("stream_options")
            reports_usage = isinstance(options, dict) and options.get("include_usage") is True
            usage = StreamUsage(hide=not reports_usage)
            body = body if reports_usage else with_usage(body, {key: given[key] for key in given if key != "tpo"})
        server.queries += 1
        try:
            await self._pass(endpoint, path, body, usage, send, _Count(given, spend))
        finally:
            server.queries -= 1

    async def _pass(
        self,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        usage: StreamUsage | None,
        send: Send,
        count: _Count,
    ) -> None:
        session = self._sessions.get(id(endpoint))
        if session is None:
            session = self._sessions[id(endpoint)] = connections(endpoint)
            session.headers.update(JSON)
        url = f"{endpoint.shown}/{path}"
        with explained(url, redact=endpoint.secrets.out_of):
            # A timer for each piece that is read costs as much as the rest of reading it.
            response = await _sent(session, endpoint.at(path), body, WHOLE if usage is None else PATIENT, count)
            async with response:
                count.failed = response.status >= 400
                if response.status in (401, 403):
                    # It is the server's key that was refused, and not the client's.
                    message = f"{url} refused this server's key: its {endpoint.key_variable} must be corrected."
                    raise ApiError(502, message, UPSTREAM, code="upstream_failed")
                head = _head(response.raw_headers, endpoint.secrets)
                if (response.content_length or _WHOLE) < _WHOLE:
                    await _pass_whole(url, response, endpoint.secrets, head, send, count)
                else:
                    await send({"type": "http.response.start", "status": response.status, "headers": head})
                    # A server may stream for reasons of its own, as one that takes "Stream" for "stream".
                    usage = usage or StreamUsage(hide=False) if _streams(response.headers) else None
                    await _pass_pieces(url, response, endpoint.secrets.passing(), usage, send, count)


class _Count:
    """Counts the tokens of one request for the limits of its key, however it ends.

    Args:
        given: the request.
        spend: called with the tokens.

    Attributes:
        failed: the server refused the request, which costs nothing.
    """

    def __init__(self, given: Mapping[str, Any], spend: Callable[[int], None]) -> None:
        self._given = given
        self._spend = spend
        self.failed = False

    def reported(self, tokens: int) -> None:
        """Count tokens as the server reported them."""
        self._spend(tokens)

    def estimated(self, completion: int) -> None:
        """Count the prompt by its length, and tokens of the answer that came so far."""
        if not self.failed:
            self._spend(prompt_tokens(self._given) + completion)


def prompt_tokens(given: Mapping[str, Any]) -> int:
    """About how many tokens a request's prompt has, by the length of its text.

    Args:
        given: a request for a chat completion, or for a completion.
    """
    messages, prompt = given.get("messages"), given.get("prompt")
    texts = (
        [text_of(message) for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []
    )
    parts = prompt if isinstance(prompt, list) else [prompt]
    texts += [part for part in parts if isinstance(part, str)]
    tokens = sum(len(part) if isinstance(part, list) else isinstance(part, int) for part in parts)
    return tokens + -(-sum(map(len, texts)) // _TOKEN_CHARACTERS)


async def _pass_whole(
    url: str,
    response: aiohttp.ClientResponse,
    secrets: Secrets,
    head: list[Header],
    send: Send,
    count: _Count,
) -> None:
    """Pass a short answer on in one piece."""
    body = b""
    try:
        body = secrets.out_of_body(await response.read())
    except (aiohttp.ClientError, TimeoutError):
        raise ApiError(502, f"{url} broke off in the middle of its answer.", UPSTREAM) from None
    finally:
        tokens = _reported(body)
        count.estimated(len(body) // _TOKEN_CHARACTERS) if tokens is None else count.reported(tokens)
    head.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _pass_pieces(
    url: str,
    response: aiohttp.ClientResponse,
    passing: PassingBody,
    usage: StreamUsage | None,
    send: Send,
    count: _Count,
) -> None:
    """Pass an answer on as it comes."""
    tail = rest = b""
    tokens: int | None = None
    size = 0
    try:
        async for raw in response.content.iter_any():
            piece = passing.take(raw)
            if usage is not None:
                piece = usage.take(piece)
            else:
                # Usage may stand anywhere: some servers write what a client wished for after it.
                tail, size = tail + piece, size + len(piece)
                tokens = tokens if (found := _reported(tail)) is None else found
                tail = tail[-_OVERLAP:]
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except (aiohttp.ClientError, TimeoutError):
        if _streams(response.headers):
            error = ApiError(502, f"{url} broke off in the middle of its answer.", UPSTREAM)
            await send({"type": "http.response.body", "body": b"data: %s\n\n" % error.body()})
            return
        raise BrokenOff(f"{url} broke off in the middle of its answer.") from None
    finally:
        rest = passing.end()
        if usage is not None:
            rest = usage.take(rest) + usage.end()
            tokens, size = usage.reported, usage.chunks * _TOKEN_CHARACTERS
        count.estimated(size // _TOKEN_CHARACTERS) if tokens is None else count.reported(tokens)
    await send({"type": "http.response.body", "body": rest})


async def _sent(
    session: aiohttp.ClientSession, url: str, body: bytes, timeout: aiohttp.ClientTimeout, count: _Count
) -> aiohttp.ClientResponse:
    try:
        try:
            return await session.post(url, data=body, timeout=timeout, allow_redirects=False)
        except aiohttp.ClientOSError as error:
            if not unsent(error):
                raise
            return await session.post(url, data=body, timeout=timeout, allow_redirects=False)
    except asyncio.CancelledError:  # the client has left, and the server has read the prompt
        count.estimated(0)
        raise


def _reported(data: bytes) -> int | None:
    """The tokens that an answer, or a part of one, reports."""
    return max(map(int, _TOTAL.findall(data)), default=None)


def _head(headers: Iterable[Header], secrets: Secrets) -> list[Header]:
    return [
        (lower, secrets.out_of_body(value))
        for name, value in headers
        if (lower := name.lower()) not in _DROPPED and not lower.startswith(b"access-control-")
    ]


def _streams(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


def plain_body(body: bytes, given: Mapping[str, Any]) -> bytes:
    """The body to pass on: the same bytes, without the field that only tpo knows."""
    if "tpo" not in given:
        return body
    return msgspec.json.encode({key: value for key, value in given.items() if key != "tpo"})


# The end of an event, and where its data begins.
_END = re.compile(rb"\r?\n\r?\n")
_DATA = re.compile(rb"^data: ?(\{.*)", re.MULTILINE)
# Bytes of an event that has no end; a longer one is passed on as it is.
_LONGEST = 1 << 20


class StreamUsage:
    """Reads the tokens off a stream of chat completions, and passes the stream on.

    Args:
        hide: leave out the chunk that only has the usage, since the client does not want it.

    Attributes:
        reported: tokens as the server counted them; None before it did.
        chunks: the chunks so far, each of which is about a token.
    """

    def __init__(self, *, hide: bool) -> None:
        self._hide = hide
        self._rest = b""
        self.reported: int | None = None
        self.chunks = 0

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
            self.chunks += len(_DATA.findall(complete))
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
            self.chunks += 1
            return event
        self.reported = _total(usage)
        return b"" if self._hide and not chunk.get("choices") else event


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
