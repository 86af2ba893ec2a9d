"""Logs: a line for each request, as JSON for machines or as text for people, and everything else with its request's id.

Requests and answers themselves are logged only with --log-contents.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias

import msgspec

from tpo.server.asgi import RequestInfo, Scope

Format: TypeAlias = Literal["json", "text"]

log = logging.getLogger("tpo.server")
content = logging.getLogger("tpo.server.content")

_now: ContextVar[str | None] = ContextVar("request", default=None)
# What a client sent must not look like a line of ours, nor control a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Seconds for which lines are held back, to be written together.
HELD = 0.2


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


class _Joined(logging.StreamHandler[TextIO]):
    """Writes the lines of a busy server together: each write is a call of the operating system.

    A warning is written at once, with all lines before it; so is everything where no event loop runs. What is held
    back at the process's end is written then.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._writing_in: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record (logging)."""
        try:
            self._lines.append(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or record.levelno > logging.INFO:
            self.flush()
        elif loop is not self._writing_in:
            self._writing_in = loop
            loop.call_later(HELD, self._write)

    def _write(self) -> None:
        self._writing_in = None
        self.flush()

    def flush(self) -> None:
        """Write what is held back (logging)."""
        lines, self._lines = self._lines, []
        with suppress(OSError, ValueError):  # nobody reads standard error any more
            if lines:
                self.stream.write("".join(lines))
            super().flush()


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure(kind: Format, *, contents: bool = False) -> None:
    """Send the server's lines to standard error.

    Args:
        kind: how they look.
        contents: log requests and answers too.
    """
    handler = _Joined(sys.stderr)
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


def begin_line(info: RequestInfo) -> None:
    """Give the id of a request to all lines that are logged in its task from now on."""
    _now.set(info.id)


def log_request(scope: Scope, info: RequestInfo, seconds: float) -> None:
    """Write the line of a request that is over.

    Args:
        scope: the request.
        info: the facts about it.
        seconds: how long it took.
    """
    if log.isEnabledFor(logging.INFO):
        # Not by `log.info`, which looks through the stack for the line of code that called it.
        record = logging.LogRecord(log.name, logging.INFO, __file__, 0, "request", (), None)
        record.facts = {
            "request_id": info.id,
            "client": info.client,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": info.status,  # none where the client left before there was one
            "seconds": round(seconds, 4),
            "model": info.model,
            "kind": info.kind,
            "tokens": info.tokens or None,
        }
        log.handle(record)
