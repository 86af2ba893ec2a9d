"""A plain model: what was asked goes to its server as it is, and what comes back to the client as it comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from tpo.http.endpoint import Endpoint
from tpo.http.failures import explained, unsent
from tpo.models.openai import OpenAIModel
from tpo.scheduling.fleet import Fleet
from tpo.server.asgi import BrokenOff, Header, Receive, Send
from tpo.server.errors import UPSTREAM, ApiError
from tpo.server.inside import watched

# A model may think for long before it says anything.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=600.0)

# What of a response is the connection's own business, or that of the server behind us.
_DROPPED = frozenset(
    ["connection", "content-encoding", "content-length", "date", "keep-alive", "server", "set-cookie", "trailer"]
) | {"transfer-encoding", "upgrade", "x-request-id", "proxy-authenticate", "strict-transport-security"}
# Where the end of a stream says what it cost.
_TAIL = 4096
_TOTAL = re.compile(rb'"total_tokens"\s*:\s*(\d+)')


class Passing:
    """Connections to the servers of plain models."""

    def __init__(self) -> None:
        self._sessions: dict[int, aiohttp.ClientSession] = {}

    async def aclose(self) -> None:
        """Close them."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def relay(
        self, fleet: Fleet, path: str, body: bytes, receive: Receive, send: Send, spend: Callable[[int], None]
    ) -> None:
        """Pass a request on, and its answer back.

        Args:
            fleet: who serves the model.
            path: where to, below the API's address.
            body: what to send.
            receive: tells when the client leaves, which ends the work upstream.
            send: the way to the client.
            spend: told of the tokens that it cost, where the server says so.

        Raises:
            ModelUnavailable: the server cannot be reached, or broke off before its answer began.
            ApiError: the model has no server.
        """
        server = fleet.roomiest
        if not isinstance(server.model, OpenAIModel):
            raise ApiError(400, f"{fleet.name} has no server to pass this on to: ask for {fleet.name}:tpo.")
        endpoint = server.model.endpoint
        server.queries += 1
        try:
            async with watched(receive) as gone:
                passing = asyncio.ensure_future(self._pass(endpoint, path, body, send, spend))
                leaving = asyncio.ensure_future(gone.wait())
                try:
                    await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    if passing.done():
                        passing.result()
                finally:
                    leaving.cancel()
                    passing.cancel()
                    await asyncio.gather(passing, leaving, return_exceptions=True)
        finally:
            server.queries -= 1

    async def _pass(self, endpoint: Endpoint, path: str, body: bytes, send: Send, spend: Callable[[int], None]) -> None:
        session = self._sessions.get(id(endpoint))
        if session is None:
            session = self._sessions[id(endpoint)] = endpoint.session()
        url = f"{endpoint.shown}/{path}"
        begun = False
        with explained(url):
            response = await _sent(session, endpoint.at(path), body)
            async with response:
                if response.status in (401, 403):
                    # It is the server's key that was refused, and not the client's.
                    said = f"{url} refused this server's key: its {endpoint.key_variable} has to be mended."
                    raise ApiError(502, said, UPSTREAM, code="upstream_failed")
                head = _head(response.headers)
                await send({"type": "http.response.start", "status": response.status, "headers": head})
                begun = True
                tail = b""
                try:
                    async for piece in response.content.iter_any():
                        tail = (tail + piece)[-_TAIL:] if len(piece) < _TAIL else piece[-_TAIL:]
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                except (aiohttp.ClientError, TimeoutError):
                    if _streams(response.headers):
                        error = ApiError(502, f"{url} broke off in the middle of its answer.", UPSTREAM)
                        await send({"type": "http.response.body", "body": b"data: %s\n\n" % error.body()})
                        return
                    raise BrokenOff(f"{url} broke off in the middle of its answer.") from None
                finally:
                    if begun and (counted := _TOTAL.findall(tail)):
                        spend(int(counted[-1]))
                await send({"type": "http.response.body", "body": b""})


async def _sent(session: aiohttp.ClientSession, address: str, body: bytes) -> aiohttp.ClientResponse:
    headers = {"Content-Type": "application/json"}
    try:
        return await session.post(address, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
    except aiohttp.ClientOSError as error:
        if not unsent(error):
            raise
        return await session.post(address, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)


def _head(headers: Mapping[str, str]) -> list[Header]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
        if name.lower() not in _DROPPED and not name.lower().startswith("access-control-")
    ]


def _streams(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


def plain_body(body: bytes, given: Mapping[str, Any]) -> bytes:
    """What is passed on: the very bytes that came, but for a field that only we know."""
    if "tpo" not in given:
        return body
    return msgspec.json.encode({key: value for key, value in given.items() if key != "tpo"})
