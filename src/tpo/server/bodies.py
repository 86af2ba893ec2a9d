"""Bodies: read whole, within bounds of size, time and depth, before anything is done with them.

This stands behind the keys, so that nobody unknown is read from, and in front of the routes, so that none of them has
to think of it.
"""

from __future__ import annotations

import asyncio

import numpy as np

from tpo.server.asgi import App, Header, Message, Receive, Scope, Send, header, refuse

BYTES = 10 * 2**20
SECONDS = 60.0
DEPTH = 64

# Digits of a body's length that are worth reading.
_DIGITS = 15
_CLOSE: list[Header] = [(b"connection", b"close")]
# One for what opens, and minus one for what closes.
_UP_AND_DOWN = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Bodies:
    """Hands a body over in one piece.

    Args:
        app: what is handed to.
        most: bytes of a body.
        seconds: for a body to come in.
        depth: lists and objects of JSON within one another.
    """

    def __init__(self, app: App, *, most: int = BYTES, seconds: float = SECONDS, depth: int = DEPTH) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._depth = depth

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
            # The connection throws the rest away, so that its sender comes to read why.
            await refuse(send, 413, f"A body is at most {self._most} bytes long.", code="request_too_large")
            return
        if body is None:  # the client has left
            return
        if wrong := self._wrong(body):
            await refuse(send, 400, wrong)
            return
        told = False

        async def whole() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, whole, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        length = header(scope, b"content-length")
        if length is not None and (not length.isdigit() or len(length) > _DIGITS or int(length) > self._most):
            raise _TooLarge
        pieces: list[bytes] = []
        size = 0
        async with asyncio.timeout(self._seconds):
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

    def _wrong(self, body: bytes) -> str | None:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            return f"The body is no UTF-8, at byte {error.start}."
        if body.count(b"[") + body.count(b"{") > self._depth and deeper(body, self._depth):
            return f"The body has lists and objects more than {self._depth} deep."
        return None


class _TooLarge(Exception):
    """A body is larger than it may be."""


def deeper(body: bytes, depth: int) -> bool:
    """Whether a text of JSON has lists and objects within one another more than so deep.

    Looks at all of a body, and may be asked by anybody: so that it takes no loop over its characters.

    Args:
        body: the text; what is no JSON is not found out here.
        depth: how deep they may be.
    """
    strings_cut = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(strings_cut).translate(_UP_AND_DOWN, _NO_BRACKETS)
    if not brackets:
        return False
    return bool(np.cumsum(np.frombuffer(brackets, np.int8), dtype=np.int32).max() > depth)
