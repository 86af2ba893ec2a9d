"""The outermost middleware: checks that every request passes, headers that every response carries, and the end of each
request in log and metrics.

A request gets an id, and its address, its headers and the origin that a browser sends are checked. A failure behind
this ends as a plain error: its traceback goes to the log and never to a client.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import re
import time
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from tpo.server.asgi import PROBES, App, BrokenOff, Message, Receive, Scope, Send, begin_request, refuse
from tpo.server.logs import begin_line, log_request
from tpo.server.metrics import Metrics

log = logging.getLogger("tpo.server")

URL_BYTES = 8192
HEADERS = 100
HEADER_BYTES = 32_768

REQUEST_ID = b"x-request-id"
_CLEAN_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
# Ids need not be secret, and each number of `secrets` is a call of the operating system.
_IDS = random.Random()
# To the checks of keys, a path that ends in a line break is another one; the routes find the page without it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LOCAL_NAMES = frozenset({"localhost"})


class Guard:
    """Lets requests pass that may, and reports their ends.

    Args:
        app: the application behind it.
        hosts: names by which the server may be addressed where it has no keys: a web page elsewhere could give its
            own name this machine's address, and have a visitor's browser send requests. None for any name.
        origins: web pages whose browsers may send requests, as `https://chat.example.com`, besides the server's own.
        metrics: where requests are counted; None for nowhere.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Collection[str] | None = None,
        origins: Collection[str] = (),
        metrics: Metrics | None = None,
    ) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._origins = {origin.rstrip("/").lower() for origin in origins}
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        id, wrong = self._checked(scope)
        info = begin_request(scope, id.decode())
        begin_line(info)
        metrics = None if scope["path"] in PROBES else self._metrics
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                info.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, id)]
            await send(message)

        if metrics is not None:
            metrics.begin()
        try:
            if wrong is not None:
                await refuse(answer, *wrong)
            else:
                await self._app(scope, receive, answer)
        except BrokenOff as error:
            log.warning("%s", error)
        except Exception:
            log.exception("A bug: request %s to %s failed.", info.id, scope["path"])
            # A response without an end closes the connection, so that a part does not pass for the whole.
            if not began:
                message = f"A bug in the server; its log has more under {info.id}."
                await refuse(answer, 500, message, code="internal_error")
        finally:
            seconds = time.monotonic() - info.began
            if scope["path"] not in PROBES:
                log_request(scope, info, seconds)
            if metrics is not None:
                metrics.request(info.kind, info.status, seconds, info.tokens)

    def _checked(self, scope: Scope) -> tuple[bytes, tuple[int, str] | None]:
        """The request's id, and why it is refused."""
        headers = scope["headers"]
        size, hosts, origin, given = 0, [], None, None
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
            elif name == b"origin" and origin is None:
                origin = value
            elif name == REQUEST_ID and given is None:
                given = value
        id = given if given is not None and _CLEAN_ID.fullmatch(given) else b"req-%024x" % _IDS.getrandbits(96)
        return id, self._wrong(scope, len(headers), size, hosts, origin)

    def _wrong(
        self, scope: Scope, headers: int, size: int, hosts: list[bytes], origin: bytes | None
    ) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
            return 414, f"The address is longer than {URL_BYTES} bytes."
        if _CONTROL.search(scope["path"]):
            return 400, "The address has a control character."
        if headers > HEADERS or size > HEADER_BYTES:
            return 431, f"There are more than {HEADERS} headers, or more than {HEADER_BYTES} bytes of them."
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            return 400, "A request has exactly one Host header."
        host = hosts[0].decode("latin-1").lower() if hosts else ""
        if self._hosts is not None and not _local(host) and _name(host) not in self._hosts:
            return 403, f"This server is not known as {host[:200]!r}; --allow-host names it so."
        if origin is not None:
            page = origin.decode("latin-1").lower()
            if page not in self._origins and not (host and _authority(page) == host):
                return 403, f"Web pages of {page[:200]!r} may not use this server; --allow-origin lets them."
        return None


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    """A Host header without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


@lru_cache(maxsize=64)
def _local(host: str) -> bool:
    # An address cannot be pointed elsewhere, as a name can.
    name = _name(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
