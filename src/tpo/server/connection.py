"""A connection that a client cannot hold for nothing: the head of a request is small and comes in time, and a response
is read.

uvicorn waits for ever for the first byte, the rest of a head, and a client that does not read. Bodies are bounded in
`bodies.py`, where they are read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tpo.server.asgi import error_body

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Base
else:
    try:  # half the processor time a request
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Base

# Bytes of a request's head: line and headers together.
HEAD_BYTES = 65_536
# Seconds for a head to come, from its first byte or from when the connection was made.
HEAD_SECONDS = 10.0
# Seconds for which a client may leave a response unread.
READ_SECONDS = 30.0


class Connection(Base):
    """uvicorn's connection, with the limits of this file."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came: it has so long to say what it wants."""
        self._head = 0
        self._patience: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        waited = self._waits_for_head
        if waited:
            self._head += len(data)
            self._expect_head()
        super().data_received(data)
        if not self._waits_for_head:
            self._head = 0
            self._forget()
        elif waited and self._head > HEAD_BYTES and not self.transport.is_closing():
            self._close(431, f"The head of a request is at most {HEAD_BYTES} bytes long.")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._reading = asyncio.get_running_loop().call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._close(400, msg)

    @property
    def _waits_for_head(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _expect_head(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_late)

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_late(self) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        if self._head:
            self._close(408, f"The head of a request has {HEAD_SECONDS:g} seconds to come.")
        else:
            self.transport.close()

    def _close(self, status: int, message: str) -> None:
        body = error_body(status, message)
        head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()
