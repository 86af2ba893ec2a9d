"""Log lines: one for each request, that a machine can read, and that nobody outside can forge."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.raw import Echo, listening, request, until
from tpo.server import logs
from tpo.server.asgi import Receive, Scope, Send, request_info
from tpo.server.guard import Guard
from tpo.server.logs import Logged, configure, log_contents

CLOSE = b"Connection: close"
Lines = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What `configure` changes is as it was afterwards."""
    loggers = [logging.getLogger(name) for name in ("tpo.server", "uvicorn", "tpo.server.content")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: capsys.readouterr().err.splitlines()


def parsed(found: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found]


async def test_a_request_is_a_line(lines: Lines) -> None:
    configure("json")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known = request_info(scope)
        known.client, known.model, known.kind = "alice", "small:tpo", "aligned"
        known.spend(42)
        await Echo()(scope, receive, send)

    async with listening(Guard(Logged(app))) as at:
        await at.say(request("POST", "/v1/x", CLOSE, b"X-Request-Id: mine", body=b'{"a": "secret"}'))
    (line,) = parsed(lines())
    assert line["level"] == "info"
    assert line["message"] == "request"
    expected = {
        "request_id": "mine",
        "client": "alice",
        "method": "POST",
        "path": "/v1/x",
        "status": 200,
        "model": "small:tpo",
        "kind": "aligned",
        "tokens": 42,
    }
    assert line.items() >= expected.items()
    assert line["seconds"] >= 0
    assert "secret" not in str(line)


async def test_probes_are_no_lines(lines: Lines) -> None:
    configure("json")
    async with listening(Guard(Logged(Echo()))) as at:
        for path in ("/health", "/ready", "/metrics", "/other"):
            await at.say(request("GET", path, CLOSE))
    assert [line["path"] for line in parsed(lines())] == ["/other"]


async def test_a_client_that_left_has_a_line_too(lines: Lines) -> None:
    import asyncio

    configure("json")
    echo = Echo(go=asyncio.Event())
    async with listening(Guard(Logged(echo))) as at:
        await at.say(request("POST", "/v1/x", body=b"{}"), end=True)
        await until(lambda: echo.left == 1)
    (line,) = parsed(lines())
    assert "status" not in line


async def test_what_happens_within_a_request_has_its_id(lines: Lines) -> None:
    configure("json")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logs.log.warning("something odd")
        raise RuntimeError("secret sauce")

    async with listening(Guard(Logged(app))) as at:
        await at.say(request("GET", "/v1/x", CLOSE, b"X-Request-Id: mine"))
    odd, asked, bug = parsed(lines())
    assert (odd["message"], odd["request_id"]) == ("something odd", "mine")
    assert (asked["message"], asked["status"]) == ("request", 500)
    assert "secret sauce" in bug["traceback"]
    assert bug["request_id"] == "mine"


async def test_text_for_people(lines: Lines) -> None:
    configure("text")
    async with listening(Guard(Logged(Echo()))) as at:
        await at.say(request("GET", "/v1/x", CLOSE, b"X-Request-Id: mine"))
    (line,) = lines()
    assert " info request request_id=mine method=GET path=/v1/x status=200 seconds=" in line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["text", "json"]))
def test_nobody_forges_a_line(capsys: pytest.CaptureFixture[str], said: str, kind: Any) -> None:
    configure(kind)
    logs.log.info("request", extra={"facts": {"request_id": "mine", "path": said}})
    logs.log.warning("A bug: %s", said)
    written = capsys.readouterr().err
    assert written.count("\n") == 2
    for line in written.split("\n")[:-1]:
        assert len(line.splitlines()) == 1
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    if kind == "json":
        first, second = parsed(written.split("\n")[:-1])
        assert first["path"] == said
        assert second["message"] == f"A bug: {said}"


async def test_paths_do_not_forge_lines(lines: Lines) -> None:
    configure("text")
    async with listening(Guard(Logged(Echo()))) as at:
        await at.say(request("GET", "/x%0a2026-11-26%20info%20forged%0d%1b[2J%c2%85%e2%80%a8", CLOSE))
    (line,) = lines()
    assert r"path=/x\n2026-11-26 info forged\r\x1b[2J\x85\u2028" in line


def test_contents_only_where_somebody_wants_them(lines: Lines) -> None:
    configure("json")
    log_contents("asked", ["answered"])
    assert lines() == []
    configure("json", contents=True)
    log_contents([{"role": "user", "content": "asked"}], ["answered"])
    (line,) = parsed(lines())
    assert (line["message"], line["asked"][0]["content"], line["answered"]) == ("content", "asked", ["answered"])
    configure("json")
    log_contents("asked", ["answered"])
    assert lines() == []


def test_configured_twice_is_reported_once(lines: Lines) -> None:
    configure("json")
    configure("text")
    logs.log.info("hello")
    logging.getLogger("uvicorn.error").warning("of uvicorn")
    logging.getLogger("uvicorn.error").info("chatter")
    found = lines()
    assert len(found) == 2
    assert found[0].endswith("info hello")
    assert found[1].endswith("warning of uvicorn")
