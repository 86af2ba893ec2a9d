"""A connection that a client cannot hold, or fill, for nothing: the head of a request is small and comes in time, what
is no body stays small, requests do not pile up behind one another, and a response is read.

uvicorn waits for ever for the first byte, the rest of a head, and a client that does not read; it keeps as many header
lines as are sent, those after a chunked body included, and as many requests as are sent ahead. Bodies are bounded in
`bodies.py`, where they are read. What still comes of a body when its request has been refused is read and thrown away
here: closing at once would reset the connection, and the client would never see why.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tpo.server.asgi import error_body

# Bytes of a request's head: line and headers together; and of what stands between the pieces of a body.
HEAD_BYTES = 65_536
# Bytes of framing that a byte of a body may cost: a chunk of one byte has five around it.
FRAMING = 8
# Seconds for a head to come, from its first byte or from when the connection was made; and for the rest of a body that
# nobody waits for any more.
HEAD_SECONDS = 10.0
# Seconds for which a client may leave a response unread.
READ_SECONDS = 30.0
# Requests that may be sent ahead while one is answered.
AHEAD = 16


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with the limits of this file."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its request line and headers have to arrive within a time limit."""
        self._in_head = True
        self._framing = 0
        self._patience: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._active: Any = None
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._framing += len(data)
        if self._idle:
            self._expect()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._idle:
            self._forget()
        if self._framing > HEAD_BYTES:
            if self._in_head:
                self._refuse(431, f"The head of a request is at most {HEAD_BYTES} bytes long.")
            else:
                self._refuse(400, "There is more around the pieces of this body than in them.")
        elif len(self.pipeline) > AHEAD:
            self._refuse(400, f"At most {AHEAD} requests may be sent ahead.")

    def eof_received(self) -> None:
        """The client sends no more, which is how one leaves."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)
        # uvicorn reports a disconnect to the request that was sent last, and not to the one that is being answered.
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._reading is not None and not self.transport.is_closing():
            self._reading.cancel()
            self._reading = None

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_head = False
        self._framing = 0
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came. One after a body would get past everybody who looked at the headers before it."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        self._framing = max(self._framing - (1 + FRAMING) * len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete, and the next one may come."""
        self._in_head = True
        self._framing = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A response is complete, and the next request's turn comes."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        elif self.pipeline:
            self.flow.pause_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more came."""
        self._end()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
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
        # Never in the middle of another answer, and never in its place: only the request whose body is still coming.
        unanswered = self._idle or (cycle.more_body and not cycle.response_started and not self.pipeline)
        if unanswered and not self.transport.is_closing():
            body = error_body(status, message)
            head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self._end()

    def _end(self) -> None:
        self.transport.close()
        # What is still to be sent is sent first, for which its reader has so long.
        self._expect_reading()

    def _expect_reading(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)
