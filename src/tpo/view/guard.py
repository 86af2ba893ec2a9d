"""Keeps pages of other sites out: checks of the Host header and of a request's origin, and a strict policy.

Models wrote the data on the page, and some of it may be an attack: nothing but the page's
own files may be script or style (Content Security Policy, https://www.w3.org/TR/CSP3/).
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class PageGuard:
    """Checks each request before the page gets it, and adds the headers to each response.

    Args:
        app: the page.
        hosts: the names that are served; None serves all.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        complaint = self._complaint(scope["method"], Headers(scope=scope))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        if complaint is not None:
            await PlainTextResponse(f"{complaint}\n", 403)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _complaint(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return "This page is served for this machine alone: open it by the address that was printed."
        if method not in SAFE and not same_origin(headers, host):
            return "This was sent by a page from elsewhere, and is refused."
        return None


def host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is no host."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def same_origin(headers: Headers, host: str) -> bool:
    """Whether a request comes from the page itself, or from no page at all."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    # A browser sends the origin with each POST, also from the page itself; a program sends none.
    return origin is None or urlsplit(origin).netloc == host
