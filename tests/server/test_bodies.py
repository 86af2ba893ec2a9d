"""Bodies: whole, within bounds, and never a way to keep the server busy."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import threading
import weakref

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.raw import HOST, Address, Echo, listening, request, statuses, until
from tpo.server import bodies
from tpo.server.asgi import Message, Receive, Scope, Send
from tpo.server.bodies import BYTES, CONTAINERS, DEPTH, ESCAPES, PART, Bodies, shape_of

CLOSE = b"Connection: close"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"\r\n\r\n"

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.text('[]{}"\\'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a[{"\\'), inner, max_size=4),
    max_leaves=30,
)


async def ask(at: Address, body: bytes, *headers: bytes) -> tuple[int, str]:
    """Send a body, and return the status and what was said."""
    answer = await at.say(request("POST", "/", CLOSE, *headers, body=body))
    (status,) = statuses(answer)
    content = answer.partition(b"\r\n\r\n")[2]
    return status, "" if status == 200 else json.loads(content)["error"]["message"]


def nested(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(nested, value.values()), default=0)
    return 1 + max(map(nested, value), default=0) if isinstance(value, list) else 0


def containers(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + sum(map(containers, inner))


@given(values, st.booleans(), st.sampled_from([1, 2, 3, 7, PART]))
def test_the_shape_is_that_of_the_json(value: object, ascii: bool, part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PART", part)
        shape = shape_of(json.dumps(value, ensure_ascii=ascii).encode())
    assert (shape.depth, shape.containers) == (nested(value), containers(value))
    assert shape.escapes == json.dumps(value, ensure_ascii=ascii).count("\\")


@given(st.binary() | st.text('[]{}"\\a', max_size=60).map(str.encode))
def test_anything_has_a_shape(body: bytes) -> None:
    shape = shape_of(body)
    assert shape.depth <= shape.containers <= body.count(b"[") + body.count(b"{")
    assert shape.entries <= body.count(b",")


async def test_a_body_of_too_many_values_is_refused() -> None:
    echo = Echo()
    async with listening(Bodies(echo)) as at:
        tiny = b"[" + b'{"role":"user"},' * (CONTAINERS + 1) + b"{}]"
        status, why = await ask(at, tiny)
        assert status == 400 and "lists and objects" in why
        status, why = await ask(at, b"[" + b"1," * 600_000 + b"1]")
        assert status == 400 and "entries" in why
        assert await ask(at, b"[" + b'{"role":"user"},' * 1000 + b"{}]") == (200, "")


async def test_a_body_of_too_many_escapes_is_refused_and_a_large_one_of_few_is_not() -> None:
    echo = Echo()
    async with listening(Bodies(echo)) as at:
        for escape in (b'\\"', b"\\u00e9", b"\\\\"):
            many = ESCAPES // escape.count(b"\\") + 1
            status, why = await ask(at, b'["' + escape * many + b'"]')
            assert status == 400 and "send text as UTF-8" in why
        assert await ask(at, b'["' + b"\\n" * (ESCAPES - 1) + b'"]') == (200, "")
        assert await ask(at, b'["' + b"x" * 8_000_000 + b'"]') == (200, "")


@pytest.mark.parametrize(
    "body",
    [
        b'[[[[[[[[[["' + b'\\"' * 4_000_000,
        b'[[[["' + b"\\" * 8_000_000,
        b'"' * 8_000_000 + b"[" * 100,
        b"[" * 8_000_000,
        b"[]" * 4_000_000,
        b"[" * 65 + b"[]," * 2_000_000,
        (b"[" * 64 + b"]" * 64) * 60_000,
        b"{[" * 2_000_000 + b"]}" * 2_000_000,
        b"]" * 4_000_000 + b"[" * 4_000_000,
    ],
)
def test_no_body_takes_long_to_look_at(body: bytes) -> None:
    """It would hang here, for hours, if the time grew with the square of the length."""
    assert shape_of(body).depth >= 0


async def test_a_body_is_handed_over_whole() -> None:
    echo = Echo()
    async with listening(Bodies(echo)) as at:
        assert await ask(at, b"x" * 300_000) == (200, "")
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (b"[", b"1" * 100, b"]")]
        assert statuses(await at.say(CHUNKED, *pieces, b"0\r\n\r\n", pause=0.02)) == [200]
        assert statuses(await at.say(request("GET", "/", CLOSE))) == [200]
        assert [len(body) for body in echo.bodies] == [300_000, 102, 0]


async def test_a_body_comes_in_one_message_and_then_the_end_of_its_client() -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages.extend([await receive(), await receive()])

    async with listening(Bodies(app)) as at:
        reader, writer = await at.connect()
        writer.write(request("POST", "/", body=b"a" * 200_000))
        await until(lambda: not at.state.connections or len(at.state.tasks) == 1)
        await asyncio.sleep(0.05)
        writer.close()
        await until(lambda: len(messages) == 2)
        await reader.read()
    assert messages[0] == {"type": "http.request", "body": b"a" * 200_000, "more_body": False}
    assert messages[1]["type"] == "http.disconnect"


async def test_bodies_that_are_too_large() -> None:
    echo = Echo()
    async with listening(Bodies(echo, most=1000)) as at:
        assert (await ask(at, b"x" * 1000))[0] == 200
        for size in (1001, 100_000, 5_000_000):
            status, said = await ask(at, b"x" * size)
            assert (status, said) == (413, "A body is at most 1000 bytes long.")
        # Said to be small or not said at all, it is counted.
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
        answer = await at.say(CHUNKED, *[chunk] * 30, b"0\r\n\r\n")
        assert statuses(answer) == [413]
        # One that only says that it is huge is refused before it comes.
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 999999999999\r\n\r\n"
        reader, writer = await at.connect()
        writer.write(head)
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        assert len(echo.bodies) == 1


async def test_ordinary_clients_see_why_a_body_was_refused() -> None:
    async with listening(Bodies(Echo(), most=1000)) as at, httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{at.port}/"
        for _ in range(3):
            assert (await client.post(url, content=b"x" * 3_000_000)).status_code == 413
            assert (await client.post(url, content=b"x" * 300)).status_code == 200


async def test_senders_that_are_too_slow() -> None:
    echo = Echo()
    async with listening(Bodies(echo, seconds=0.2)) as at:
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n"
        answer = await at.say(head, *[b"x"] * 90, pause=0.02)
        assert statuses(answer) == [408]
        assert b"connection: close" in answer
        assert statuses(await at.say(CHUNKED)) == [408]
        assert not echo.bodies


async def test_senders_that_leave() -> None:
    echo = Echo()
    async with listening(Bodies(echo)) as at:
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n"
        assert await at.say(head + b"x" * 99, end=True) == b""
        assert await at.say(CHUNKED + b"5\r\nxx", end=True) == b""
        await until(lambda: not at.state.tasks)
        assert not echo.scopes


@pytest.mark.parametrize(
    ("body", "at_byte"),
    [(b"\xff", 0), (b'{"a": "\xc3\x28"}', 7), (b"\xed\xa0\x80", 0), (b"ok\xf8", 2), (b"\xc0\xaf", 0)],
)
async def test_bodies_that_are_no_text(body: bytes, at_byte: int) -> None:
    async with listening(Bodies(Echo())) as at:
        assert await ask(at, body) == (400, f"The body is not UTF-8, at byte {at_byte}.")


async def test_bodies_that_are_too_deep() -> None:
    async with listening(Bodies(Echo())) as at:
        for body in (b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 5_000_000):
            status, said = await ask(at, body)
            assert (status, said) == (400, "The body has lists and objects more than 64 deep.")
        for body in (b"[" * 64 + b"]" * 64, b'["' + b"[" * 1000 + b'"]', b"[[]" + b",[]" * 10_000 + b"]"):
            assert await ask(at, body) == (200, "")


async def test_bodies_that_are_packed() -> None:
    async with listening(Bodies(Echo())) as at:
        for coding in (b"gzip", b"br", b"identity, gzip", b"DEFLATE"):
            status, said = await ask(at, b"\x1f\x8b", b"Content-Encoding: " + coding)
            assert status == 415
            assert "Content-Encoding" in said
        assert (await ask(at, b"{}", b"Content-Encoding: Identity"))[0] == 200


async def test_lengths_that_no_server_lets_through() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    for length in (b"9" * 5000, b"-1", b"", b"1e9", "٣".encode()):
        scope = {"type": "http", "headers": [(b"content-length", length)]}
        await Bodies(Echo())(scope, receive, send)
    assert [message["status"] for message in sent if "status" in message] == [413] * 5


async def test_other_things_than_requests_pass() -> None:
    passed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async def nothing(*_: object) -> Message:
        return {}

    await Bodies(app)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert passed == ["lifespan"]


def test_limits_are_those_that_the_docs_have() -> None:
    assert (BYTES, DEPTH) == (10 * 2**20, 64)


async def test_memory_is_given_back_after_large_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(bodies, "GIVE_BACK", 0.0)
    monkeypatch.setattr(bodies, "trim", trimmed.set)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def body() -> Message:
        return {"type": "http.request", "body": b" " * (bodies.HUGE + 1), "more_body": False}

    await Bodies(app)({"type": "http", "headers": []}, body, send)
    assert await asyncio.to_thread(trimmed.wait, 10)


@pytest.mark.parametrize("size", [bodies.HUGE + 1, bodies.HUGE // 3])
async def test_what_failed_requests_held_is_freed(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    trimmed = threading.Event()
    monkeypatch.setattr(bodies, "GIVE_BACK", 0.0)
    monkeypatch.setattr(bodies, "trim", trimmed.set)

    class Failure(Exception):
        pass

    held: list[weakref.ref[Failure]] = []

    async def fail() -> None:
        raise Failure

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await receive()
        task = asyncio.ensure_future(fail())
        await asyncio.wait({task})
        try:
            task.result()  # its traceback holds this frame, which holds the task
        except Failure as error:
            held.append(weakref.ref(error))
            assert body

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def body() -> Message:
        return {"type": "http.request", "body": b" " * size, "more_body": False}

    gc.disable()
    try:
        guarded = Bodies(app)
        for _ in range(bodies.HUGE // size + 1):
            await guarded({"type": "http", "headers": []}, body, send)
            assert held[-1]() is not None
        assert await asyncio.to_thread(trimmed.wait, 10)
        assert not any(one() for one in held)
    finally:
        gc.enable()


def test_trimming_is_safe_where_it_cannot_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(bodies.trim(), bool)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not bodies.trim()
