"""An endpoint: a URL and its key, and the care that keeps the key out of every text."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from tpo.errors import InputError
from tpo.http.failures import unsent

ANY_KEY = "TPO_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"

# httpx over aiohttp's connections: with 64 calls in flight a call costs 0.5 ms of processor time, where httpx's own
# pool, which looks through all connections for each call, takes 9 ms. A limit of 0 is none. Idle connections are
# dropped before the servers' usual 5 seconds, so that none is found closed when it is used again.
LIMITS = httpx.Limits(max_connections=0, keepalive_expiry=3.0)


class _Transport(AiohttpTransport):
    """aiohttp's connections, which may be found closed by the server at the moment that they are used again."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.TransportError as error:
            if not unsent(error):
                raise
        return await super().handle_async_request(request)


class Endpoint:
    """Where a role's requests go.

    Args:
        url: an http(s) URL; without a path, `/v1` is understood.
        role: policy, critic or editor: `TPO_POLICY_API_KEY` and so on are looked at first, then `TPO_API_KEY`, and
            for OpenAI itself `OPENAI_API_KEY`.
        key: the key, where it does not come from the environment.
        proxied: whether the environment's proxies apply.

    Raises:
        InputError: the URL is none.
    """

    def __init__(self, url: str, role: str, key: str | None = None, *, proxied: bool = True) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"{url!r} is no URL: {error}.") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InputError(f"{url!r} is no http(s) URL: give something like http://localhost:8000/v1.")
        path = parts.path.rstrip("/") or "/v1"
        where = f"[{host}]" if ":" in host else host
        where = f"{where}:{port}" if port else where
        self.host = host
        self.shown = urlunsplit((parts.scheme, where, path, "", ""))
        self.exact = urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
        self._root = urlunsplit((parts.scheme, where, path.removesuffix("/v1"), "", ""))
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._proxied = proxied
        self._secrets = [parts.password, unquote(parts.password)] if parts.password else []
        # OpenAI's own key goes to OpenAI alone: no other server has a claim to see it.
        variables = [f"TPO_{role.upper()}_API_KEY", ANY_KEY, *([OPENAI_KEY] if host == OPENAI_HOST else [])]
        self.key_variable = next((name for name in variables if os.environ.get(name)), variables[-1])
        self._key = (key or os.environ.get(self.key_variable, "")).strip()
        if self._key:
            self._secrets.append(self._key)

    def at(self, path: str) -> str:
        """The address of a path of the API."""
        return f"{self.shown}/{path}"

    def beside(self, path: str) -> str:
        """The address of one of the server's own pages, which stand beside the API."""
        return f"{self._root}/{path}"

    def client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        """A client whose requests carry this endpoint's key."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            proxy = self._proxy()
            return httpx.AsyncClient(
                headers=headers,
                auth=self._auth,
                timeout=timeout,
                transport=_Transport(limits=LIMITS, proxy=httpx.Proxy(proxy) if proxy else None),
                trust_env=False,  # what the environment says of proxies is heeded above
            )
        except UnicodeEncodeError as error:
            raise InputError(
                f"The key in {self.key_variable} holds characters that no HTTP header can carry."
            ) from error

    def session(self) -> aiohttp.ClientSession:
        """Connections that requests go over without httpx in between, which is what most of a call's own cost is; for
        calls that are made by the thousand. Must be called in a running event loop."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return aiohttp.ClientSession(
            headers=headers,
            auth=aiohttp.BasicAuth(*self._auth) if self._auth and not self._key else None,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=LIMITS.keepalive_expiry),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Looked up once: with trust_env it would be looked up, by two threads, for each request.
            proxy=self._proxy(),
        )

    def _proxy(self) -> str | None:
        if not self._proxied or proxy_bypass(self.host):
            return None
        return getproxies().get(urlsplit(self.shown).scheme)

    def redact(self, text: str) -> str:
        """The text without this endpoint's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
