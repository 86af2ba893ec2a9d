"""Logs: a line for each request, as JSON for machines or as text for people, and everything else with its request's id.

Requests and answers themselves are logged only with --log-contents.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from tpo.server.asgi import App, Receive, RequestInfo, Scope, Send, request_info

Format: TypeAlias = Literal["json", "text"]

log = logging.getLogger("tpo.server")
content = logging.getLogger("tpo.server.content")

_now: ContextVar[str | None] = ContextVar("request", default=None)
# What a client sent must not look like a line of ours, nor control a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Probes come every few seconds and would fill the log.
_QUIET = frozenset({"/health", "/ready", "/metrics"})


class _Lines(logging.Formatter):
    def __init__(self, kind: Format) -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        id = facts.get("request_id") or _now.get()
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self._kind == "json":
            line = {"at": at, "level": record.levelname.lower(), "message": record.getMessage(), "request_id": id}
            line |= facts | {"traceback": trace}
            text = msgspec.json.encode({key: value for key, value in line.items() if value is not None}).decode()
            return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        shown = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
        text = " ".join(filter(None, [at, record.levelname.lower(), record.getMessage(), shown]))
        text = _plain(text if id is None or facts else f"{text} request_id={id}")
        return f"{text}\n{trace}" if trace else text


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure(kind: Format, *, contents: bool = False) -> None:
    """Send the server's lines to standard error.

    Args:
        kind: how they look.
        contents: log requests and answers too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(kind))
    for name, level in (("tpo.server", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
    content.setLevel(logging.INFO if contents else logging.CRITICAL + 1)


def log_contents(request: object, response: object) -> None:
    """Log a request and its answer, with --log-contents."""
    if content.isEnabledFor(logging.INFO):
        content.info("content", extra={"facts": {"request_id": _now.get(), "asked": request, "answered": response}})


class Logged:
    """Writes a line for each request when it is over.

    Args:
        app: what handles them.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        info = request_info(scope)
        _now.set(info.id)
        try:
            await self._app(scope, receive, send)
        except Exception:
            info.status = info.status or 500  # which is what it is going to be
            raise
        finally:
            if scope["path"] not in _QUIET and log.isEnabledFor(logging.INFO):
                log.info("request", extra={"facts": _facts(scope, info)})


def _facts(scope: Scope, info: RequestInfo) -> dict[str, object]:
    return {
        "request_id": info.id,
        "client": info.client,
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": info.status,  # none where the client left before there was one
        "seconds": round(time.monotonic() - info.began, 4),
        "model": info.model,
        "kind": info.kind,
        "tokens": info.tokens or None,
    }
