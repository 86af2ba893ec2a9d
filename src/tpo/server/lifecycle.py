"""Runs the server: sockets, signals, and a shutdown that loses no answer."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn

from tpo.errors import InputError
from tpo.server.asgi import App
from tpo.server.connection import Connection
from tpo.server.service import Service, open_patiently

log = logging.getLogger("tpo.server")

# Seconds for recording and sending the answers of searches that were cut short.
AFTERWARDS = 15.0
BACKLOG = 4096


class ServeLoop(uvicorn.Server):
    """uvicorn with a shutdown in two steps: open requests may finish, and after `grace` they end with the best so far.

    Args:
        config: uvicorn's.
        service: the searches.
        grace: seconds in which open requests may finish.
        on_start: called when it listens.
    """

    def __init__(self, config: uvicorn.Config, service: Service, grace: float, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._service = service
        self._grace = grace
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: Any = None) -> None:
        """Serve until a signal comes."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down; a second signal cuts searches short, and a third ends at once."""
        # uvicorn's own handler would raise the signal again afterwards, and the process would end as if killed.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """Begin the shutdown, or take its next step."""
        if not self.should_exit:
            self.should_exit = True
            self._service.drain()
            asyncio.get_running_loop().call_later(self._grace, self._service.cut_short)
        elif not self._service.cut:
            self._service.cut_short()
        else:
            self.force_exit = True


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, keyed: bool) -> None:
    """Refuse an address that others can reach where there are no keys.

    Raises:
        InputError: the address can be reached from elsewhere, and there is no key.
    """
    if not keyed and not is_local(host):
        raise InputError(
            f"{host} can be reached from other machines, and everybody there could use this server. Make a key with "
            f"`tpo key NAME --file keys.toml` and give --keys keys.toml, or stay on 127.0.0.1."
        )


async def serve(
    app: App,
    service: Service,
    host: str,
    port: int,
    *,
    grace: float,
    on_start: Callable[[str], None],
    connect: bool = True,
    ending: asyncio.Event | None = None,
) -> None:
    """Serve until a signal comes.

    Args:
        app: the application.
        service: what answers.
        host: the address to listen at.
        port: the port there; 0 for any that is free.
        grace: seconds in which open requests may finish.
        on_start: called with the URL when it listens.
        connect: connect to the models now, while requests get 503; otherwise the first search connects.
        ending: set to shut down without a signal.

    Raises:
        InputError: the port is taken.
        TPOError: models or reward cannot be used.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=round(grace + AFTERWARDS),
        h11_max_incomplete_event_size=65_536,
    )
    listening = _bound(config)
    where = listening.getsockname()
    name = f"[{where[0]}]" if ":" in where[0] else where[0]
    server = ServeLoop(config, service, grace, lambda: on_start(f"http://{name}:{where[1]}"))
    opening = asyncio.ensure_future(open_patiently(service) if connect else asyncio.sleep(0))
    serving = asyncio.ensure_future(server.serve([listening]))
    end_watch = asyncio.ensure_future(_end_with(server, ending)) if ending is not None else None
    try:
        await asyncio.wait({opening, serving}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and opening.exception() is not None:
            server.should_exit = True
            await serving
            opening.result()
        await serving
    finally:
        await _ended(opening)
        if end_watch is not None:
            await _ended(end_watch)
        await service.aclose()


async def _end_with(server: ServeLoop, ending: asyncio.Event) -> None:
    await ending.wait()
    server.end()


def _bound(config: uvicorn.Config) -> socket.socket:
    try:
        bound = config.bind_socket()
    except SystemExit:
        raise InputError(
            f"Cannot listen at {config.host}:{config.port}: it is taken, or no address of this machine. Another port "
            f"is given with --port."
        ) from None
    # asyncio sets this on sockets made with IPPROTO_TCP alone, and uvicorn's are not: every response that is written in
    # two pieces waited 40 ms for an acknowledgement of the first. Accepted sockets inherit it.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    waiting: Awaitable[Any] = asyncio.gather(task, return_exceptions=True)
    await waiting
