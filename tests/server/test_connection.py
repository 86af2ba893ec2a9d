"""Connections under attack: what a client cannot do, and what one that does nothing wrong still can."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import socket
from contextlib import suppress

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from server.raw import CLOSE, HOST, POST, Echo, fine, listening, request, statuses, until
from tpo.server import connection
from tpo.server.asgi import Receive, Scope, Send, WhileConnected, begin_request, refuse
from tpo.server.connection import AHEAD, HEAD_BYTES, HELD_BYTES, Connection, JoinedWrites


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of time that a test can wait for."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "READ_SECONDS", 0.3)


async def test_requests_are_answered() -> None:
    echo = Echo()
    async with listening(echo) as at:
        answer = await at.say(request("POST", "/a", CLOSE, body=b"x" * 100_000))
        assert json.loads(answer.rpartition(b"\r\n")[2]) == {"path": "/a", "method": "POST", "bytes": 100_000}
        chunked = POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"\r\n\r\n"
        pieces = b"".join(b"1\r\nx\r\n" for _ in range(50_000)) + b"0\r\n\r\n"
        assert b'"bytes":50000' in await at.say(chunked + pieces)
        assert statuses(await at.say(b"GET / HTTP/1.0\r\n\r\n")) == [200]


class Written(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.pieces.append("closed")

    def abort(self) -> None:
        self.pieces.append("aborted")


async def test_what_is_written_in_one_turn_is_sent_in_one_piece() -> None:
    inner = Written()
    joined = JoinedWrites(inner, asyncio.get_running_loop())
    joined.write(b"head ")
    joined.write(bytearray(b"body"))
    assert inner.pieces == []
    await asyncio.sleep(0)
    assert inner.pieces == [b"head body"]
    joined.write(b"x" * HELD_BYTES)
    joined.write(b"y")  # too much to wait with
    assert [len(piece) for piece in inner.pieces] == [9, HELD_BYTES + 1]
    joined.write(b"last words")
    joined.close()
    assert inner.pieces[2:] == [b"last words", "closed"]
    joined.write(b"nobody gets this")
    joined.abort()
    await asyncio.sleep(0)
    assert inner.pieces[4:] == ["aborted"]


async def test_connections_are_kept() -> None:
    async with listening(Echo()) as at:
        answers = await at.say(*[request()] * 5, request("POST", "/", CLOSE, body=b"x"), pause=0.02)
        assert statuses(answers) == [200] * 6


@pytest.mark.usefixtures("quick")
async def test_a_client_that_sends_nothing_is_let_go() -> None:
    async with listening(Echo()) as at:
        assert await at.say() == b""
        await until(lambda: not at.state.connections)


@pytest.mark.usefixtures("quick")
async def test_a_head_that_comes_too_slowly_is_refused() -> None:
    echo = Echo()
    async with listening(echo) as at:
        slow = await at.say(*[bytes([byte]) for byte in request()], pause=0.05)
        assert statuses(slow) == [408]
        assert json.loads(slow.rpartition(b"\r\n")[2])["error"]["type"] == "invalid_request_error"
        # The same on a connection that has been used: its second head has as long, whatever byte comes when.
        answers = await at.say(request(), *[bytes([byte]) for byte in request()], pause=0.05)
        assert statuses(answers) == [200, 408]
        await fine(at)
        assert len(echo.scopes) == 2
        await until(lambda: not at.state.connections)


@pytest.mark.parametrize(
    "attack",
    [
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 40_000,
        b"GET / HTTP/1.1\r\n" + b"X" * 200_000,
        b"\r\n" * 100_000,
    ],
    ids=["line", "value", "headers", "name", "nothing"],
)
async def test_heads_without_end(attack: bytes) -> None:
    echo = Echo()
    async with listening(echo) as at:
        answer = await at.say(*[attack[start : start + 10_000] for start in range(0, len(attack), 10_000)])
        assert statuses(answer) in ([431], [400], [])
        assert not echo.scopes
        await fine(at)
        await until(lambda: not at.state.connections)


async def test_a_head_without_end_behind_a_request_that_is_being_answered() -> None:
    echo = Echo(go=asyncio.Event())
    async with listening(echo) as at:
        reader, writer = await at.connect()
        writer.write(request() + b"GET / HTTP/1.1\r\n")
        await echo.arrived.wait()
        sent = 0
        while not reader.at_eof() and sent < 10_000_000:
            try:
                writer.write(b"X: " + b"a" * 1000 + b"\r\n")
                await writer.drain()
            except ConnectionError:
                break
            sent += 1005
            await asyncio.sleep(0)
            if echo.left:
                break
        await until(lambda: echo.left == 1)
        assert sent < 8 * 2**20  # what sockets hold, and not all of it
        with suppress(ConnectionError):
            assert await reader.read() == b""  # and nothing in the place of an answer
        writer.close()
        echo.go = None
        await fine(at)


async def test_trailers_are_no_headers_and_have_an_end() -> None:
    echo = Echo()
    async with listening(echo) as at:
        head = POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"\r\n\r\n"
        answer = await at.say(head + b"1\r\nx\r\n0\r\nAuthorization: Bearer stolen\r\n\r\n")
        assert statuses(answer) == [200]
        assert b"authorization" not in dict(echo.scopes[0]["headers"])
        reader, writer = await at.connect()
        writer.write(head + b"1\r\nx\r\n0\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            for _ in range(5_000):
                writer.write(b"X: " + b"a" * 1000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            raise asyncio.IncompleteReadError(b"", None) if reader.at_eof() else AssertionError("it took all of it")
        writer.close()
        await until(lambda: echo.left == 1)
        await fine(at)


async def test_chunks_that_are_all_frame() -> None:
    echo = Echo()
    async with listening(echo) as at:
        chunk = b"1;" + b"x" * 1000 + b"\r\nx\r\n"
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        answer = await at.say(head, *[chunk * 20] * 30, pause=0.001)
        assert statuses(answer) in ([400], [])
        await until(lambda: echo.left == 1)
        await fine(at)


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    echo = Echo()
    async with listening(echo) as at:
        ahead = [request("POST", f"/{number}", body=b"x" * number) for number in range(AHEAD)]
        answers = await at.say(b"".join(ahead) + request("GET", "/last", CLOSE))
        assert statuses(answers) == [200] * (AHEAD + 1)
        assert [scope["path"] for scope in echo.scopes] == [f"/{number}" for number in range(AHEAD)] + ["/last"]
        assert [len(body) for body in echo.bodies] == [*range(AHEAD), 0]


async def test_requests_sent_ahead_do_not_pile_up() -> None:
    echo = Echo(go=asyncio.Event())
    async with listening(echo) as at:
        reader, writer = await at.connect()
        writer.write(request() * 3_000)
        await until(lambda: echo.left == 1)  # the one that was being answered is told
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert len(echo.scopes) == 1
        writer.close()
        echo.go = None
        await fine(at)
        await until(lambda: not at.state.connections)


async def test_sending_ahead_is_paused_while_there_is_enough() -> None:
    gates: list[asyncio.Event] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        gates.append(asyncio.Event())
        await gates[-1].wait()
        await refuse(send, 404, "nothing")

    async with listening(app) as at:
        _, writer = await at.connect()
        writer.write(request() * 10)
        await until(lambda: len(gates) == 1)
        (mine,) = at.state.connections
        for number in range(8):
            gates[number].set()
            await until(lambda number=number: len(gates) == number + 2)
            writer.write(request())
            await asyncio.sleep(0.01)
            assert len(getattr(mine, "pipeline")) <= 9 - number  # noqa: B009 - uvicorn has connections without
        for _ in range(10):
            gates[-1].set()
            await asyncio.sleep(0.02)
        writer.close()


@pytest.mark.parametrize("seed", range(12))
async def test_it_does_not_matter_in_which_pieces_requests_come(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice([0, 1, 10, 5_000, 90_000]) for _ in range(6)]
    wire = b""
    for number, size in enumerate(sizes):
        if chance.random() < 0.5:
            wire += request("POST", f"/{number}", body=b"x" * size)
            continue
        wire += f"POST /{number} HTTP/1.1\r\n".encode() + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        left = size
        while left:
            piece = min(left, chance.choice([1, 7, 3_000, 70_000]) if left < 20_000 else 9_000)
            wire += b"%x;why=not\r\n%b\r\n" % (piece, b"x" * piece)
            left -= piece
        wire += b"0\r\nTrailer: x\r\n\r\n"
    wire += request("GET", "/last", CLOSE)
    pieces = []
    while wire:
        cut = chance.choice([1, 2, 50, 1_000, 60_000, 300_000])
        pieces.append(wire[:cut])
        wire = wire[cut:]
        if len(pieces) > 300:
            pieces, wire = [*pieces, wire], b""
    echo = Echo()
    async with listening(echo) as at:
        answers = await at.say(*pieces)
    assert statuses(answers) == [200] * 7
    assert [(scope["path"], len(body)) for scope, body in zip(echo.scopes, echo.bodies, strict=True)] == [
        *((f"/{number}", size) for number, size in enumerate(sizes)),
        ("/last", 0),
    ]
    assert not any(name == b"trailer" for scope in echo.scopes for name, _ in scope["headers"])


@pytest.mark.parametrize("sent", [request(), request() * 2, POST + b"Content-Length: 10\r\n\r\nxxx"])
async def test_a_client_that_leaves_is_noticed(sent: bytes) -> None:
    echo = Echo(go=asyncio.Event())
    async with listening(echo) as at:
        _, writer = await at.connect()
        writer.write(sent)
        await echo.arrived.wait()
        writer.transport.abort()
        await until(lambda: echo.left == 1 and not at.state.connections)


async def test_a_client_that_leaves_after_a_large_body_is_noticed() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        async with WhileConnected(receive, begin_request(scope, "req")):  # which receives nothing
            arrived.set()
            await asyncio.Event().wait()
        left.set()

    async with listening(app) as at:
        _, writer = await at.connect()
        writer.write(request("POST", body=b"x" * 4_000_000))
        await arrived.wait()
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 10)


async def test_a_half_closed_socket_is_one_that_was_left() -> None:
    echo = Echo(go=asyncio.Event())
    async with listening(echo) as at:
        assert await at.say(request(), end=True) == b""
        await until(lambda: echo.left == 1 and not at.state.connections)
        assert await at.say(POST + b"Content-Length: 10\r\n\r\nxx", end=True) == b""
        assert await at.say(b"GET / HT", end=True) == b""
        assert await at.say(end=True) == b""
        await until(lambda: not at.state.connections)


@pytest.mark.usefixtures("quick")
async def test_a_client_that_does_not_read_is_let_go() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(2_000):
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            # uvicorn takes what is said to somebody who has left, and drops it.
        finally:
            ended.set()

    async with listening(app) as at:
        reader, writer = await at.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request())
        await asyncio.wait_for(ended.wait(), 10)
        await until(lambda: not at.state.connections)
        writer.transport.abort()


@pytest.mark.usefixtures("quick")
async def test_a_closing_connection_does_not_wait_for_its_reader_for_ever() -> None:
    """An answer that is over before it is read, on a socket that takes little: the rest waits in our buffer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"x" * 30 * 2**20})

    async with listening(app) as at:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", at.port))
            await loop.sock_sendall(client, request())
            await until(lambda: len(at.state.connections) == 1)
            await until(lambda: not at.state.connections)


async def test_a_refused_body_is_read_to_its_end() -> None:
    """Else the connection would be reset, and its client would not see why it was refused."""
    for answer in (401, 429):

        async def app(scope: Scope, receive: Receive, send: Send, status: int = answer) -> None:
            await refuse(send, status, "no")

        async with listening(app) as at:
            reader, writer = await at.connect()
            size = 3 * 2**20
            writer.write(POST + f"Content-Length: {size}\r\n\r\n".encode())
            for _ in range(size // 65_536):
                writer.write(b"[" * 65_536)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(request("GET", "/", CLOSE))  # and the connection is as good as before
            assert statuses(await asyncio.wait_for(reader.read(), 10)) == [answer, answer]
            writer.close()


@pytest.mark.usefixtures("quick")
async def test_the_rest_of_a_refused_body_has_an_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(send, 401, "no")

    async with listening(app) as at:
        answer = await at.say(POST + b"Content-Length: 1000000\r\n\r\n", *[b"x"] * 40, pause=0.02)
        assert statuses(answer) == [401]
        await until(lambda: not at.state.connections)


def test_limits_are_those_that_the_docs_have() -> None:
    assert (HEAD_BYTES, connection.HEAD_SECONDS, connection.READ_SECONDS) == (65_536, 10.0, 30.0)


async def test_uvicorn_still_has_what_connections_use() -> None:
    """Names that uvicorn does not promise; the tests above fail where their meaning changes."""
    config = uvicorn.Config(Echo(), http=Connection, log_config=None)
    config.load()
    made = HttpToolsProtocol(config, ServerState(), {})
    assert {"cycle", "flow", "pipeline", "loop", "transport"} <= {*vars(made)}
    assert [*inspect.signature(HttpToolsProtocol._start_asgi_task).parameters] == ["self", "cycle", "app"]
    attributes = {"disconnected", "message_event", "more_body", "response_started", "response_complete"}
    assert attributes <= {*RequestResponseCycle.__init__.__code__.co_names}
