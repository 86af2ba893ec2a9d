"""Connections to one endpoint: requests whole and streamed, with its key, its proxy and its secrets taken care of."""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tpo.errors import InputError, ModelError
from tpo.http.endpoint import Endpoint
from tpo.http.failures import explained, refused, unsent

JSON = {"Content-Type": "application/json"}
# "Created" is what some frameworks (NestJS, Rails) answer to each POST.
ANSWERED = frozenset({200, 201})
CONNECT_SECONDS = 10.0
# A loaded server may queue a request for minutes before its first token.
PATIENT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=600.0)
# An answer that comes in one piece is silent until it is complete.
WHOLE = aiohttp.ClientTimeout(total=7200.0, sock_connect=CONNECT_SECONDS)
# A page that describes a server should come at once.
QUICK = aiohttp.ClientTimeout(total=30.0, sock_connect=CONNECT_SECONDS)
# Idle connections are dropped before the servers' usual 5 seconds, so that none is found closed when it is used again.
KEEP_SECONDS = 3.0


class HttpResponse(NamedTuple):
    """A whole response.

    Attributes:
        status: the HTTP status.
        headers: its headers; names in any case.
        body: its body, without the endpoint's secrets.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return media_type(self.headers)


class HttpClient:
    """Connections to one endpoint.

    They belong to an event loop and are opened with the first request in it. Who made the client closes it.

    Args:
        endpoint: where requests go.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._forget: Callable[[], object] = lambda: None

    async def aclose(self) -> None:
        """Close the connections; another request opens new ones."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()
        self._forget()

    async def get(self, address: str, shown: str | None = None) -> HttpResponse:
        """The response to a GET, whatever its status.

        Args:
            address: where to.
            shown: the address for messages, if that is another one.

        Raises:
            ModelUnavailable: the endpoint cannot be reached.
            InputError: a proxy or a certificate file that the environment names cannot be used.
        """
        async with self.opened("GET", address, None, QUICK, shown=shown) as response:
            return await self.whole(response)

    async def post(
        self, address: str, body: bytes, timeout: aiohttp.ClientTimeout = PATIENT, *, shown: str | None = None
    ) -> HttpResponse:
        """The response to a POST of JSON, whatever its status; arguments and errors as for `get`."""
        async with self.opened("POST", address, body, timeout, shown=shown) as response:
            return await self.whole(response)

    async def whole(self, response: aiohttp.ClientResponse) -> HttpResponse:
        """All of a response that was opened here."""
        body = self.endpoint.secrets.out_of_body(await response.read())
        return HttpResponse(response.status, response.headers, body)

    def refused(self, response: HttpResponse, shown: str) -> ModelError:
        """The error for a response whose status is none of `ANSWERED`."""
        error = refused(response.status, response.headers, response.body, shown, self.endpoint.key_variable)
        error.args = (self.endpoint.redact(str(error)),)
        return error

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        address: str,
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
        *,
        shown: str | None = None,
        accept: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response whose body is still to be read; errors that are raised meanwhile are explained and redacted.

        Redirects are answered like any other refusal: a prompt or a key must not follow one to another host.
        """
        session = self._opened()
        headers = {**JSON, "Accept": accept} if body is not None else {"Accept": accept}
        with explained(shown or address, self._proxy, self.endpoint.redact):
            try:
                response = await session.request(
                    method, address, data=body, headers=headers, timeout=timeout, allow_redirects=False
                )
            except aiohttp.ClientOSError as error:
                if not unsent(error):
                    raise
                response = await session.request(
                    method, address, data=body, headers=headers, timeout=timeout, allow_redirects=False
                )
            async with response:
                yield response

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            self._forget()
            self._loop = loop
            proxy = self.endpoint.proxy
            self._proxy = proxy.shown if proxy else None
            self._session = connections(self.endpoint)
            # Where nobody closes the client, the sockets close with it, and the library's complaint helps no user.
            self._forget = weakref.finalize(self, self._session.detach)
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Connections that close in silence with an object that its owner never closed."""

    def __del__(self, _warnings: object = None) -> None:
        pass


def connections(endpoint: Endpoint) -> aiohttp.ClientSession:
    """Connections to an endpoint, with its key; must be called in a running event loop, and closed.

    Raises:
        InputError: a proxy or a certificate file that the environment names cannot be used.
    """
    proxy = endpoint.proxy
    secure = endpoint.encrypted or (proxy is not None and proxy.url.startswith("https:"))
    return aiohttp.ClientSession(
        headers=endpoint.headers,
        connector=_Connector(limit=0, keepalive_timeout=KEEP_SECONDS, ssl=tls() if secure else True),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Read once: with trust_env it would be read, by two threads, for each request.
        proxy=proxy.url if proxy else None,
    )


@cache
def tls() -> ssl.SSLContext:
    """The process's one TLS context.

    Raises:
        InputError: SSL_CERT_FILE or SSL_CERT_DIR names what is not there.
    """
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        named = os.environ.get(variable)
        if named and not Path(named).exists():
            raise InputError(f"{variable} is {named!r}, which is not there: correct it, or unset it.")
    try:
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    except OSError as error:
        raise InputError(
            f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')!r}, which holds no certificates: {error}."
        ) from error
    return context


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of a response, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()
