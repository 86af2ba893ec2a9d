"""A plain model: the request goes to its server as it is, and the server's bytes to the client as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from tpo.http.client import connections
from tpo.http.endpoint import Endpoint
from tpo.http.failures import explained, unsent
from tpo.http.redaction import PassingBody, Secrets
from tpo.models.fleet import Fleet
from tpo.models.openai import OpenAIModel
from tpo.server.asgi import BrokenOff, Header, Message, Receive, Send, client_leaves
from tpo.server.errors import UPSTREAM, ApiError
from tpo.server.usage import StreamUsage, with_usage

# A model may think for long before the first byte.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=600.0)

# What of a response is the connection's own business, or that of the server behind us.
_DROPPED = frozenset(
    ["connection", "content-encoding", "content-length", "date", "keep-alive", "server", "set-cookie", "trailer"]
) | {"transfer-encoding", "upgrade", "x-request-id", "proxy-authenticate", "strict-transport-security"}
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
        receive: Receive,
        send: Send,
        spend: Callable[[int], None],
    ) -> None:
        """Pass a request on, and its answer back.

        Args:
            fleet: who serves the model.
            path: where to, below the API's address.
            body: the request as it came.
            given: the same, read.
            receive: the client's messages; its leaving ends the work upstream.
            send: the way to the client.
            spend: called with the tokens, where the server reports them.

        Raises:
            ModelUnavailable: the server cannot be reached, or broke off before its answer began.
            ApiError: the model has no server.
        """
        server = fleet.roomiest
        if not isinstance(server.model, OpenAIModel):
            raise ApiError(400, f"{fleet.name} has no server to pass this on to: ask for {fleet.name}:tpo.")
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
            async with client_leaves(receive) as leaving:
                passing = asyncio.ensure_future(self._pass(endpoint, path, body, usage, send, spend))
                try:
                    await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    if passing.done():
                        passing.result()
                finally:
                    passing.cancel()
                    await asyncio.gather(passing, return_exceptions=True)
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
        url = f"{endpoint.shown}/{path}"
        with explained(url, redact=endpoint.secrets.out_of):
            response = await _sent(session, endpoint.at(path), body)
            async with response:
                if response.status in (401, 403):
                    # It is the server's key that was refused, and not the client's.
                    message = f"{url} refused this server's key: its {endpoint.key_variable} must be corrected."
                    raise ApiError(502, message, UPSTREAM, code="upstream_failed")
                start = {"type": "http.response.start", "status": response.status}
                head = _head(response.headers, endpoint.secrets)
                if (response.content_length or _WHOLE) < _WHOLE:
                    await _pass_whole(url, response, endpoint.secrets, start, head, send, spend)
                else:
                    await send(start | {"headers": head})
                    usage = usage if _streams(response.headers) else None
                    await _pass_pieces(url, response, endpoint.secrets.passing(), usage, send, spend)


async def _pass_whole(
    url: str,
    response: aiohttp.ClientResponse,
    secrets: Secrets,
    start: Message,
    head: list[Header],
    send: Send,
    spend: Callable[[int], None],
) -> None:
    """Pass a short answer on in one piece: each further write costs a third of the request."""
    try:
        body = secrets.out_of_body(await response.read())
    except (aiohttp.ClientError, TimeoutError):
        raise ApiError(502, f"{url} broke off in the middle of its answer.", UPSTREAM) from None
    if counted := _TOTAL.findall(body[-_TAIL:]):
        spend(int(counted[-1]))
    await send(start | {"headers": [*head, (b"content-length", b"%d" % len(body))]})
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


async def _sent(session: aiohttp.ClientSession, address: str, body: bytes) -> aiohttp.ClientResponse:
    headers = {"Content-Type": "application/json"}
    try:
        return await session.post(address, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
    except aiohttp.ClientOSError as error:
        if not unsent(error):
            raise
        return await session.post(address, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)


def _head(headers: Mapping[str, str], secrets: Secrets) -> list[Header]:
    return [
        (name.lower().encode("latin-1"), secrets.out_of_text(value).encode("latin-1", "replace"))
        for name, value in headers.items()
        if name.lower() not in _DROPPED and not name.lower().startswith("access-control-")
    ]


def _streams(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


def plain_body(body: bytes, given: Mapping[str, Any]) -> bytes:
    """The body to pass on: the same bytes, without the field that only tpo knows."""
    if "tpo" not in given:
        return body
    return msgspec.json.encode({key: value for key, value in given.items() if key != "tpo"})
