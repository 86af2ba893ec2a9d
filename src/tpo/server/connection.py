"""Limits for each connection: the size of a request's head and of chunk framing, the time in which a head has to arrive
and a response has to be read, and the number of pipelined requests. A response's head and body are sent together.

uvicorn has none of these: it waits for ever for the first byte, the rest of a head, and a client that does not read;
it keeps any number of header lines, trailers included, and of pipelined requests. `bodies.py` limits bodies. The rest
of a body whose request was refused is read and dropped here: closing at once would reset the connection, and the
client would not see the response.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tpo.server.asgi import CONNECTION_END, ConnectionEnd
from tpo.server.errors import ApiError

# Bytes of a request's head (request line and headers), and of the framing between the chunks of a body.
HEAD_BYTES = 65_536
# Bytes of framing that a byte of a body may cost: a chunk of one byte has five around it.
FRAMING = 8
# Seconds for a head to arrive, from its first byte or from the connection; and for the rest of a body whose request was
# refused.
HEAD_SECONDS = 10.0
# Seconds for which a client may not read a response.
READ_SECONDS = 30.0
# Pipelined requests that may wait while one is answered.
AHEAD = 16
# Bytes that are held back, at most, to be sent with those that follow.
HELD_BYTES = 65_536


class JoinedWrites(asyncio.Transport):
    """A transport that sends what is written in one turn of the event loop as one piece.

    uvicorn writes a response's head and its body apart, and each write is a call of the operating system, which costs
    more than everything else that is done for a chunk.

    Args:
        transport: the connection.
        loop: its event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data, at the latest when the event loop's turn is over (asyncio)."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is held back."""
        if self._held:
            data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held, self._size = [], 0
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection when everything is sent (asyncio)."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once (asyncio)."""
        self._held, self._size = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be (asyncio)."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """A fact about the connection (asyncio)."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more (asyncio)."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again (asyncio)."""
        self._transport.resume_reading()


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's with the limits of this file."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its request line and headers have to arrive within a time limit."""
        self._in_head = True
        self._framing = 0
        self._patience: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._active: Any = None
        self._lost = ConnectionEnd()
        self._joined = JoinedWrites(transport, self.loop)
        super().connection_made(self._joined)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Data arrived (asyncio)."""
        self._framing += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._idle:
            self._expect()
        else:
            self._forget()
        if self._framing > HEAD_BYTES:
            if self._in_head:
                self._refuse(431, f"The head of a request is at most {HEAD_BYTES} bytes long.")
            else:
                self._refuse(400, "There is more around the pieces of this body than in them.")
        elif len(self.pipeline) > AHEAD:
            self._refuse(400, f"At most {AHEAD} requests may be sent ahead.")

    def eof_received(self) -> None:
        """The client closed its side, which counts as a disconnect (asyncio)."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed (asyncio)."""
        self._forget()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)
        # uvicorn reports a disconnect to the request that was sent last, and not to the one that is being answered.
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        self._lost.happen()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write (asyncio)."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """The client has read enough for us to write again (asyncio)."""
        super().resume_writing()
        if self._reading is not None and not self.transport.is_closing():
            self._reading.cancel()
            self._reading = None

    def on_headers_complete(self) -> None:
        """The head of a request is complete (httptools)."""
        self._in_head = False
        self._framing = 0
        scope: Any = self.scope
        scope[CONNECTION_END] = self._lost
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header (httptools). Trailers are refused: checks of headers have already run when they arrive."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A part of a body (httptools)."""
        self._framing = max(self._framing - (1 + FRAMING) * len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete, and the next one may begin (httptools)."""
        self._in_head = True
        self._framing = 0
        super().on_message_complete()
        if not self.pipeline:
            # A large body stopped the reading, and uvicorn goes on only when the application asks for more, which it
            # does not while it works: its client's leaving would not show.
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """A response is complete, and the next request is handled."""
        self._joined.flush()
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        elif self.pipeline:
            self.flow.pause_reading()

    def timeout_keep_alive_handler(self) -> None:
        """The keep-alive timeout has passed."""
        self._end()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP with 400."""
        self._refuse(400, msg)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _expect(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_late(self) -> None:
        self._patience = None
        if self._in_head and self._framing:
            self._refuse(408, f"The head of a request has {HEAD_SECONDS:g} seconds to come.")
        else:
            self._end()

    def _refuse(self, status: int, message: str) -> None:
        cycle: Any = self.cycle
        # Never during the response to another request: only for the request whose body is still arriving.
        unanswered = self._idle or (cycle.more_body and not cycle.response_started and not self.pipeline)
        if unanswered and not self.transport.is_closing():
            body = ApiError(status, message).body()
            head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self._end()

    def _end(self) -> None:
        self.transport.close()
        # Data that is already in the buffer is sent first, within this time.
        self._expect_reading()

    def _expect_reading(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)
