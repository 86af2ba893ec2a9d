"""What the guard lets through, and what no answer leaves without."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.raw import HOST, Echo, listening, request, statuses
from tpo.server.asgi import BrokenOff, Message, Receive, Scope, Send, request_info
from tpo.server.guard import Guard

CLOSE = b"Connection: close"


async def answered(
    headers: list[tuple[bytes, bytes]],
    *,
    hosts: Any = None,
    origins: Any = (),
    version: str = "1.1",
    path: bytes = b"/",
) -> tuple[int, dict[bytes, bytes], Any]:
    """What comes of a request: status, headers, and its error."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "http_version": version,
        "headers": headers,
    }
    await Guard(Echo(), hosts=hosts, origins=origins)(scope, receive, send)
    content = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    return sent[0]["status"], dict(sent[0]["headers"]), content.get("error")


def host(name: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", name.encode("latin-1"))]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        *[
            (name, 200)
            for name in ("localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000", "10.0.0.7", "[fe80::1]")
        ],
        *[(name, 200) for name in ("tpo.internal", "TPO.Internal:8000")],
        *[
            (name, 403)
            for name in ("evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.evil.example")
        ],
        *[(name, 403) for name in ("", "a b", "localhost@evil.example", "évil", "0x7f.1", "tpo.internal.evil")],
    ],
)
async def test_names_under_which_a_server_without_keys_is_known(name: str, status: int) -> None:
    answer = await answered(host(name), hosts=["tpo.internal"])
    assert answer[0] == status
    assert (await answered(host(name)))[0] == 200  # with keys, any name will do


async def test_a_request_has_one_host() -> None:
    assert (await answered([]))[0] == 400
    assert (await answered([], version="1.0"))[0] == 200
    assert (await answered([], version="1.0", hosts=[]))[0] == 403
    assert (await answered(host("localhost") + host("localhost")))[0] == 400
    assert (await answered(host("localhost") + host("evil.example"), version="1.0"))[0] == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://chat.example.com", 200),
        ("HTTPS://CHAT.example.com", 200),
        ("http://localhost:8000", 200),  # the page of the server itself
        ("https://chat.example.com.evil.example", 403),
        ("http://chat.example.com", 403),
        ("http://localhost:9000", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("\xff", 403),
        ("file://", 403),
    ],
)
async def test_web_pages_that_may_ask(origin: str, status: int) -> None:
    headers = [*host("localhost:8000"), (b"origin", origin.encode("latin-1"))]
    assert (await answered(headers, origins=["https://chat.example.com/"]))[0] == status


async def test_no_origin_is_nobodys_host() -> None:
    assert (await answered([(b"origin", b"null")], version="1.0"))[0] == 403


@pytest.mark.parametrize("path", [b"/metrics\n", b"/v1/models\r", b"/\0", b"/a\x7fb"])
async def test_a_path_with_a_control_character_is_refused(path: bytes) -> None:
    # The checks of keys compare paths, and the routes' patterns match one that ends in a line break as well.
    assert (await answered(host("localhost"), path=path))[0] == 400
    echo = Echo()
    async with listening(Guard(echo)) as at:
        answer = await at.say(request("GET", "/v1/%0d%0aX:%20y", CLOSE))
    assert statuses(answer) == [400] and b"\nX:" not in answer and not echo.scopes


async def test_heads_that_are_too_large() -> None:
    ours = host("localhost")
    assert (await answered([*ours, *[(b"x", b"y")] * 99]))[0] == 200
    assert (await answered([*ours, *[(b"x", b"y")] * 100]))[0] == 431
    assert (await answered([*ours, (b"x", b"y" * 40_000)]))[0] == 431
    assert (await answered(ours, path=b"/" + b"a" * 9000))[0] == 414


async def test_every_answer_has_an_id() -> None:
    _, headers, _ = await answered(host("localhost"))
    assert headers[b"x-request-id"].startswith(b"req-")
    _, other, _ = await answered(host("localhost"))
    assert other[b"x-request-id"] != headers[b"x-request-id"]
    _, refused, _ = await answered([])
    assert b"x-request-id" in refused
    _, given, _ = await answered([*host("localhost"), (b"x-request-id", b"mine.1:2_3-4")])
    assert given[b"x-request-id"] == b"mine.1:2_3-4"


@given(st.binary(max_size=200))
async def test_an_id_that_is_none_is_replaced(id: bytes) -> None:
    _, headers, _ = await answered([*host("localhost"), (b"x-request-id", id)])
    said = headers[b"x-request-id"].decode("ascii")
    assert said.isprintable()
    assert 0 < len(said) <= 128


@given(st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"x-request-id", b"x"]), st.binary(max_size=60))))
async def test_no_headers_are_a_bug(headers: list[tuple[bytes, bytes]]) -> None:
    for hosts in (None, [], ["tpo.internal"]):
        status, _, error = await answered(headers, hosts=hosts, origins=["https://chat.example.com"])
        assert status in (200, 400, 403)
        assert (error is None) == (status == 200)


async def test_a_bug_shows_nothing_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret sauce")

    async with listening(Guard(app)) as at:
        answer = await at.say(request("POST", "/v1/x", CLOSE, b"X-Request-Id: mine", body=b"{}"))
    assert statuses(answer) == [500]
    assert b"mine" in answer
    assert b"secret" not in answer
    assert b"Traceback" not in answer
    assert "secret sauce" in caplog.text
    assert "request mine" in caplog.text


@pytest.mark.parametrize("failure", [RuntimeError("secret sauce"), BrokenOff("The secret server broke off.")])
async def test_a_failure_in_the_middle_of_an_answer_closes_the_connection(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise failure

    async with listening(Guard(app)) as at:
        answer = await at.say(request())
    assert statuses(answer) == [200]
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")  # nobody takes the half for the whole
    assert b"secret" not in answer
    assert caplog.text.count("secret") >= 1
    assert ("Traceback" in caplog.text) == isinstance(failure, RuntimeError)


@pytest.mark.parametrize("path", ["/%2e%2e/etc/passwd", "//v1", "/v1/X:%20y", "/%ff%fe", "/*", "/;/%5c"])
async def test_paths_reach_the_app_as_they_are_meant(path: str) -> None:
    echo = Echo()
    async with listening(Guard(echo)) as at:
        answer = await at.say(request("GET", path, CLOSE))
    assert statuses(answer) == [200]
    assert echo.scopes[0]["raw_path"] == path.encode()


async def test_heads_on_a_real_socket() -> None:
    async with listening(Guard(Echo(), hosts=[])) as at:
        flood = [b"X-%d: y" % number for number in range(150)]
        assert statuses(await at.say(request("GET", "/", CLOSE, *flood))) == [431]
        assert statuses(await at.say(request("GET", "/" + "a" * 10_000, CLOSE))) == [414]
        twice = b"GET / HTTP/1.1\r\n" + HOST + HOST + CLOSE + b"\r\n\r\n"
        assert statuses(await at.say(twice)) == [400]
        assert statuses(await at.say(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n\r\n")) == [400]
        assert statuses(
            await at.say(b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE + b"\r\n\r\n")
        ) == [403]
        # A large body behind a head that is refused is no reason for a reset.
        refused = request("POST", "/", b"Origin: http://evil.example", CLOSE, body=b"x" * 2_000_000)
        assert statuses(await at.say(refused)) == [403]


async def test_only_requests_and_the_life_of_the_server_pass() -> None:
    passed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async def nothing(*_: object) -> Message:
        return {}

    for kind in ("lifespan", "websocket"):
        await Guard(app)({"type": kind}, nothing, nothing)  # type: ignore[arg-type]
    assert passed == ["lifespan"]


async def test_what_is_known_of_a_request_is_known_inside() -> None:
    known: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known.append(request_info(scope).id)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with listening(Guard(app)) as at:
        await at.say(request("GET", "/", CLOSE, b"X-Request-Id: mine"))
    assert known == ["mine"]
