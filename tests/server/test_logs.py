"""Log lines: one for each request, that a machine can read, and that nobody outside can forge."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.raw import Echo, listening, request, until
from tpo.server import logs
from tpo.server.asgi import Receive, Scope, Send, request_info
from tpo.server.guard import Guard
from tpo.server.logs import configure, log_contents

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
    def written() -> list[str]:
        for handler in logging.getLogger("tpo.server").handlers:
            handler.flush()
        return capsys.readouterr().err.splitlines()

    return written


def parsed(found: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found]


async def test_a_request_is_a_line(lines: Lines) -> None:
    configure("json")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known = request_info(scope)
        known.client, known.model, known.kind = "alice", "small:tpo", "aligned"
        known.spend(42)
        await Echo()(scope, receive, send)

    async with listening(Guard(app)) as at:
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
    async with listening(Guard(Echo())) as at:
        for path in ("/health", "/ready", "/metrics", "/other"):
            await at.say(request("GET", path, CLOSE))
    assert [line["path"] for line in parsed(lines())] == ["/other"]


async def test_a_client_that_left_has_a_line_too(lines: Lines) -> None:
    configure("json")
    echo = Echo(go=asyncio.Event())
    async with listening(Guard(echo)) as at:
        await at.say(request("POST", "/v1/x", body=b"{}"), end=True)
        await until(lambda: echo.left == 1)
    (line,) = parsed(lines())
    assert "status" not in line


async def test_what_happens_within_a_request_has_its_id(lines: Lines) -> None:
    configure("json")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logs.log.warning("something odd")
        raise RuntimeError("secret sauce")

    async with listening(Guard(app)) as at:
        await at.say(request("GET", "/v1/x", CLOSE, b"X-Request-Id: mine"))
    odd, bug, asked = parsed(lines())
    assert (odd["message"], odd["request_id"]) == ("something odd", "mine")
    assert (asked["message"], asked["status"]) == ("request", 500)
    assert "secret sauce" in bug["traceback"]
    assert bug["request_id"] == "mine"


async def test_lines_of_requests_are_written_together_and_before_any_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("json")

    def written() -> list[str]:
        return [line["message"] for line in parsed(capsys.readouterr().err.splitlines())]

    logs.log.info("one")
    logs.log.info("two")
    assert written() == []
    logs.log.warning("three")
    assert written() == ["one", "two", "three"]
    monkeypatch.setattr(logs, "HELD", 0.0)
    configure("json")
    logs.log.info("four")
    for _ in range(100):
        if found := written():
            break
        await asyncio.sleep(0.01)
    assert found == ["four"]


def test_lines_are_written_at_once_where_no_event_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    async def held() -> None:
        logs.log.info("one")

    asyncio.run(held())  # its event loop ends before it would write
    assert capsys.readouterr().err == ""
    logs.log.info("two")
    assert [line["message"] for line in parsed(capsys.readouterr().err.splitlines())] == ["one", "two"]


async def test_a_standard_error_that_is_closed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    configure("json")
    async with listening(Guard(Echo())) as at:
        assert b" 200 " in await at.say(request("GET", "/v1/x", CLOSE))
    logs.log.warning("nobody reads this")


async def test_text_for_people(lines: Lines) -> None:
    configure("text")
    async with listening(Guard(Echo())) as at:
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
    async with listening(Guard(Echo())) as at:
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
