"""Logs: a line for each request, as JSON for machines or as text for people, and everything else with its request's id.

Requests and answers themselves are logged only with --log-contents.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Mapping
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
    """Lines of text for people."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        text = self.line(record.created, record.levelname.lower(), record.getMessage(), facts)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text

    def line(self, at: float, level: str, message: str, facts: Mapping[str, object]) -> str:
        """A line without a traceback."""
        id = _now.get()
        shown = " ".join([f"{key}={value}" for key, value in facts.items() if value is not None])
        if id is not None and "request_id" not in facts:
            shown += f"{shown and ' '}request_id={id}"
        return _plain(" ".join(filter(None, (_time(at), level, message, shown))))


class _JsonLines(_Lines):
    """Lines of JSON for machines."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        if record.exc_info:
            facts = {**facts, "traceback": self.formatException(record.exc_info)}
        return self.line(record.created, record.levelname.lower(), record.getMessage(), facts)

    def line(self, at: float, level: str, message: str, facts: Mapping[str, object]) -> str:
        line = {"at": _time(at), "level": level, "message": message, "request_id": _now.get(), **facts}
        text = msgspec.json.encode({key: value for key, value in line.items() if value is not None}).decode()
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Joined(logging.StreamHandler[TextIO]):
    """Writes the lines of a busy server together: each write is a call of the operating system.

    A warning is written at once, with all lines before it; so is everything where no event loop runs. What is held
    back at the process's end is written then.
    """

    def __init__(self, stream: TextIO, lines: _Lines) -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self.form = lines
        self._lines: list[str] = []
        self._writing_in: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record (logging)."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.add(line, hold=record.levelno <= logging.INFO)

    def add(self, line: str, *, hold: bool) -> None:
        """Write a line, now or soon."""
        self._lines.append(f"{line}\n")
        try:
            loop = asyncio.get_running_loop() if hold else None
        except RuntimeError:
            loop = None
        if loop is None:
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
        with suppress(OSError, ValueError):  # standard error is closed
            if lines:
                self.stream.write("".join(lines))
            super().flush()


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure(kind: Format, *, contents: bool = False) -> None:
    """Send the server's lines to standard error.

    Args:
        kind: how they look.
        contents: log requests and answers too.
    """
    handler = _Joined(sys.stderr, _JsonLines() if kind == "json" else _Lines())
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
    if not log.isEnabledFor(logging.INFO):
        return
    facts = {
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
    for handler in log.handlers:
        if isinstance(handler, _Joined):  # without a record of the logging module, which costs more than the line
            handler.add(handler.form.line(time.time(), "info", "request", facts), hold=True)
