"""Reads bodies whole, within limits of size, time, depth and number of values.

It runs after the check of keys, so only known clients can send bodies, and before the routes, whose bodies are then
cheap to parse.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tpo.server.asgi import App, CancelScope, Header, Message, Receive, Scope, Send, header, refuse

BYTES = 10 * 2**20
SECONDS = 60.0
DEPTH = 64
# Lists and objects of a body, entries of them together, and escapes in strings. A tiny object takes fifty times its
# text in memory, and parsing blocks the loop for as long as it takes.
CONTAINERS = 25_000
ENTRIES = 50_000
ESCAPES = 1_000_000
# A body of at least so many bytes is scanned in a thread, in parts of so many: no part blocks the loop for long.
LARGE = 65_536
# Bytes of large bodies after which freed memory is given back to the operating system, and seconds until that is done.
HUGE = 1_000_000
GIVE_BACK = 1.0
PART = 262_144

# Seconds in which other requests go on, between steps that take long for a large body.
PAUSE = 0.002

# Digits of a body's length that are worth reading.
_DIGITS = 15
_CLOSE: list[Header] = [(b"connection", b"close")]
# One at a time: several threads would starve the loop.
_SCANNER = ThreadPoolExecutor(1, thread_name_prefix="tpo-bodies")
_QUOTE, _COMMA = ord('"'), ord(",")
# 1 for an opening bracket, -1 for a closing one.
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]] = 1
_STEPS[[ord("]"), ord("}")]] = -1


class Bodies:
    """Passes each body on in one piece.

    Args:
        app: the application behind it.
        most: bytes of a body.
        seconds: for a body to come in.
        depth: lists and objects of JSON within one another.
    """

    def __init__(self, app: App, *, most: int = BYTES, seconds: float = SECONDS, depth: int = DEPTH) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._depth = depth
        self._giving_back = False
        self._left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
            await refuse(send, 415, "Bodies are taken as they are: send no Content-Encoding.")
            return
        try:
            body = await self._read(scope, receive)
        except TimeoutError:
            await refuse(send, 408, f"A body has {self._seconds:g} seconds to come.", headers=_CLOSE)
            return
        except _TooLarge:
            # The connection drops the rest, so that the client reads the response.
            await refuse(send, 413, f"A body is at most {self._most} bytes long.", code="request_too_large")
            return
        if body is None:  # the client has left
            return
        wrong = self._wrong(body) if len(body) <= LARGE else await _apart(self._wrong, body)
        if wrong is not None:
            await refuse(send, 400, wrong)
            return
        read = False

        async def whole() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self._app(scope, whole, send)
        finally:
            if len(body) > LARGE:
                self._give_back(len(body))

    def _give_back(self, size: int) -> None:
        """Give freed memory back soon; the allocator keeps it otherwise, and large bodies leave much."""
        self._left += size
        if self._left > HUGE and not self._giving_back:
            self._giving_back = True
            asyncio.get_running_loop().call_later(GIVE_BACK, self._now)

    def _now(self) -> None:
        self._giving_back = False
        self._left = 0
        # A failed task and its traceback hold each other, and with them the body.
        gc.collect()
        _SCANNER.submit(trim)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        length = header(scope, b"content-length")
        if length is not None and (not length.isdigit() or len(length) > _DIGITS or int(length) > self._most):
            raise _TooLarge
        pieces: list[bytes] = []
        size = 0
        async with CancelScope() as reading:
            timer = asyncio.get_running_loop().call_later(self._seconds, reading.cancel)
            try:
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > self._most:
                        raise _TooLarge
                    if not message.get("more_body"):
                        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            finally:
                timer.cancel()
        raise TimeoutError

    def _harmless(self, body: bytes) -> bool:
        """Whether a body is within the limits even if all its brackets, commas and backslashes count."""
        brackets = body.count(b"[") + body.count(b"{")
        return brackets <= self._depth and body.count(b",") <= ENTRIES and body.count(b"\\") <= ESCAPES

    def _wrong(self, body: bytes) -> str | None:
        try:
            if not body.isascii():
                body.decode()
        except UnicodeDecodeError as error:
            return f"The body is not UTF-8, at byte {error.start}."
        if self._harmless(body):
            return None
        shape = shape_of(body)
        if shape.depth > self._depth:
            return f"The body has lists and objects more than {self._depth} deep."
        if shape.containers > CONTAINERS:
            return f"The body has {shape.containers} lists and objects, and the limit is {CONTAINERS}."
        if shape.entries > ENTRIES:
            return f"The body has {shape.entries} entries of lists and objects, and the limit is {ENTRIES}."
        if shape.escapes > ESCAPES:
            return f"The body has {shape.escapes} backslashes, and the limit is {ESCAPES}: send text as UTF-8."
        return None


def trim() -> bool:
    """Give freed memory back to the operating system; False where the C library cannot."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):  # not glibc
        return False


async def pause(size: int) -> None:
    """Let other requests go on, where what was read is large.

    Args:
        size: bytes of it.
    """
    if size > LARGE:
        await asyncio.sleep(PAUSE)


async def _apart(look: Callable[[bytes], str | None], body: bytes) -> str | None:
    return await asyncio.get_running_loop().run_in_executor(_SCANNER, look, body)


class _TooLarge(Exception):
    """A body is larger than it may be."""


class Shape(NamedTuple):
    """The cost of parsing a JSON text.

    Attributes:
        depth: lists and objects within one another.
        containers: lists and objects.
        entries: about as many entries as all of them have: commas.
        escapes: backslashes.
    """

    depth: int
    containers: int
    entries: int
    escapes: int


def shape_of(body: bytes) -> Shape:
    """The shape of a JSON text; arbitrary for other texts.

    It scans all of a body, which any client may send, so it works on arrays and not on characters.

    Args:
        body: the text.
    """
    level = depth = containers = entries = escapes = start = 0
    inside = 0  # 1 within a string
    while start < len(body):
        end = min(start + PART, len(body))
        while end < len(body) and body[end - 1] == 0x5C:  # a part does not end within an escape
            end += 1
        part = body[start:end]
        start = end
        if (backslashes := part.count(b"\\")) > 0:
            escapes += backslashes
            part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        text = np.frombuffer(part, np.uint8)
        quotes = text == _QUOTE
        within = (np.cumsum(quotes, dtype=np.int32) + inside) & 1
        outside = within == 0
        steps = _STEPS[text] * outside
        levels = np.cumsum(steps, dtype=np.int32)
        if len(levels):
            depth = max(depth, level + int(levels.max()))
            level += int(levels[-1])
            inside = int(within[-1])
        containers += int((steps == 1).sum())
        entries += int(((text == _COMMA) & outside).sum())
    return Shape(depth, containers, entries, escapes)
