"""A plain model: the request goes to its server as it is, and the server's bytes to the client as they come.

The tokens of a relayed stream are counted whether or not the client wants their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp
import msgspec

from tpo.http.client import JSON, PATIENT, WHOLE, connections
from tpo.http.endpoint import Endpoint
from tpo.http.failures import explained, unsent
from tpo.http.redaction import PassingBody, Secrets
from tpo.models.fleet import Fleet
from tpo.models.openai import OpenAIModel
from tpo.server.asgi import BrokenOff, Header, Send
from tpo.server.errors import UPSTREAM, ApiError

# Headers of a response that belong to one connection, or to the server behind us.
_DROPPED = frozenset(
    [b"connection", b"content-encoding", b"content-length", b"date", b"keep-alive", b"server", b"set-cookie"]
) | {b"trailer", b"transfer-encoding", b"upgrade", b"x-request-id", b"proxy-authenticate", b"strict-transport-security"}
# The end of an answer, where its usage is.
_TAIL = 4096
# Shorter answers whose length is known are passed on in one piece.
_WHOLE = 1_000_000
_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d+)')


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
            spend: called with the tokens, where the server reports them.

        Raises:
            ModelUnavailable: the server cannot be reached, or broke off before its answer began.
            ApiError: the model has no server.
        """
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
            await self._pass(endpoint, path, body, usage, send, spend)
        finally:
            server.queries -= 1

    async def _pass(
        self,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        usage: StreamUsage | None,
        send: Send,
        spend: Callable[[int], None],
    ) -> None:
        session = self._sessions.get(id(endpoint))
        if session is None:
            session = self._sessions[id(endpoint)] = connections(endpoint)
            session.headers.update(JSON)
        url = endpoint.at(path)
        with explained(url, redact=endpoint.secrets.out_of):
            # A timer for each piece that is read costs as much as the rest of reading it.
            response = await _sent(session, url, body, WHOLE if usage is None else PATIENT)
            async with response:
                if response.status in (401, 403):
                    # It is the server's key that was refused, and not the client's.
                    message = f"{url} refused this server's key: its {endpoint.key_variable} must be corrected."
                    raise ApiError(502, message, UPSTREAM, code="upstream_failed")
                head = _head(response.raw_headers, endpoint.secrets)
                if (response.content_length or _WHOLE) < _WHOLE:
                    await _pass_whole(url, response, endpoint.secrets, head, send, spend)
                else:
                    await send({"type": "http.response.start", "status": response.status, "headers": head})
                    usage = usage if _streams(response.headers) else None
                    await _pass_pieces(url, response, endpoint.secrets.passing(), usage, send, spend)


async def _pass_whole(
    url: str,
    response: aiohttp.ClientResponse,
    secrets: Secrets,
    head: list[Header],
    send: Send,
    spend: Callable[[int], None],
) -> None:
    """Pass a short answer on in one piece."""
    try:
        body = secrets.out_of_body(await response.read())
    except (aiohttp.ClientError, TimeoutError):
        raise ApiError(502, f"{url} broke off in the middle of its answer.", UPSTREAM) from None
    if counted := _TOTAL.findall(body[-_TAIL:]):
        spend(int(counted[-1]))
    head.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _pass_pieces(
    url: str,
    response: aiohttp.ClientResponse,
    passing: PassingBody,
    usage: StreamUsage | None,
    send: Send,
    spend: Callable[[int], None],
) -> None:
    """Pass an answer on as it comes."""
    tail = rest = b""
    try:
        async for raw in response.content.iter_any():
            piece = passing.take(raw)
            if usage is not None:
                piece = usage.take(piece)
            else:
                tail = (tail + piece)[-_TAIL:] if len(piece) < _TAIL else piece[-_TAIL:]
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
            spend(usage.tokens)
        elif counted := _TOTAL.findall(tail):
            spend(int(counted[-1]))
    await send({"type": "http.response.body", "body": rest})


async def _sent(
    session: aiohttp.ClientSession, url: str, body: bytes, timeout: aiohttp.ClientTimeout
) -> aiohttp.ClientResponse:
    try:
        return await session.post(url, data=body, timeout=timeout, allow_redirects=False)
    except aiohttp.ClientOSError as error:
        if not unsent(error):
            raise
        return await session.post(url, data=body, timeout=timeout, allow_redirects=False)


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
