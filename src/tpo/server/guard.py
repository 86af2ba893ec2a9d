"""The outermost middleware: checks that every request passes, and headers that every response carries.

A request gets an id, is looked at from outside (address, headers, the origin that a browser sends), and
whatever goes wrong inside ends as a plain error: a traceback goes to the log and never to a client.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from tpo.server.asgi import App, BrokenOff, Message, Receive, Scope, Send, begin_request, header, refuse

log = logging.getLogger("tpo.server")

URL_BYTES = 8192
HEADERS = 100
HEADER_BYTES = 32_768

REQUEST_ID = b"x-request-id"
_CLEAN_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_LOCAL_NAMES = frozenset({"localhost"})


class Guard:
    """Lets through what may pass.

    Args:
        app: what is guarded.
        hosts: names under which the server may be asked for, where it has no keys: a web page elsewhere could give its
            own name this machine's address, and have a visitor's browser ask. None for any name.
        origins: web pages that may ask from a browser, as `https://chat.example.com`, besides the server's own.
    """

    def __init__(self, app: App, *, hosts: Collection[str] | None = None, origins: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._origins = {origin.rstrip("/").lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        given = header(scope, REQUEST_ID)
        id = given if given is not None and _CLEAN_ID.fullmatch(given) else f"req-{secrets.token_hex(12)}".encode()
        info = begin_request(scope, id.decode())
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                info.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, id)]
            await send(message)

        wrong = self._wrong(scope)
        if wrong is not None:
            await refuse(answer, *wrong)
            return
        try:
            await self._app(scope, receive, answer)
        except BrokenOff as error:
            log.warning("%s", error)
        except Exception:
            log.exception("A bug: request %s to %s failed.", info.id, scope["path"])
            if began:
                return  # an answer without an end closes the connection, so that a part does not pass for the whole
            await refuse(answer, 500, f"A bug in the server; its log has more under {info.id}.", code="internal_error")

    def _wrong(self, scope: Scope) -> tuple[int, str] | None:
        headers = scope["headers"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
            return 414, f"The address is longer than {URL_BYTES} bytes."
        if len(headers) > HEADERS or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES:
            return 431, f"There are more than {HEADERS} headers, or more than {HEADER_BYTES} bytes of them."
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            return 400, "A request has exactly one Host header."
        host = hosts[0].decode("latin-1").lower() if hosts else ""
        if self._hosts is not None and not _local(host) and _name(host) not in self._hosts:
            return 403, f"This server is not known as {host[:200]!r}; --allow-host names it so."
        return self._foreign(scope, host)

    def _foreign(self, scope: Scope, host: str) -> tuple[int, str] | None:
        value = header(scope, b"origin")
        if value is None:
            return None
        origin = value.decode("latin-1").lower()
        if origin in self._origins or (host and _authority(origin) == host):
            return None
        return 403, f"Web pages of {origin[:200]!r} may not use this server; --allow-origin lets them."


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    """A Host header without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _local(host: str) -> bool:
    # An address cannot be made to point elsewhere, as a name can.
    name = _name(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
