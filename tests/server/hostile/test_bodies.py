"""Bodies that are there to hurt."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.hostile.conftest import Attacked, refused
from server.raw import HOST, statuses
from tpo.server.app import AppOptions
from tpo.session.output_format import CHECKERS

CLOSE = b"Connection: close\r\n"
CHATS = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")
MESSAGE = {"role": "user", "content": "hi"}


def text(number: int) -> dict[str, Any]:
    return {"model": "small:best-of-2", "messages": [{"role": "user", "content": "x" * number}]}


async def test_huge_bodies(attacked: Attacked) -> None:
    async with attacked() as under:
        huge = json.dumps(text(12_000_000)).encode()
        answers = await asyncio.gather(*[under.client.post("/chat/completions", content=huge) for _ in range(12)])
        assert {answer.status_code for answer in answers} == {413}
        refused(answers[0])

        async def pieces() -> Any:
            for _ in range(200):
                yield b"x" * 65_536

        answers = await asyncio.gather(*[under.client.post("/chat/completions", content=pieces()) for _ in range(8)])
        assert {answer.status_code for answer in answers} == {413}
        said = await under.at.say(CHATS + b"Content-Length: 9999999999999\r\n" + CLOSE + b"\r\n")
        assert statuses(said) == [413]


async def test_bodies_that_are_nothing_or_something_else(attacked: Attacked) -> None:
    async with attacked() as under:
        for path in ("/chat/completions", "/responses", "/completions"):
            for body in (
                b"",
                b" ",
                b"null",
                b"[]",
                b'"x"',
                b"1",
                b"{",
                b"{}",
                b"model=small",
                b"\x00",
                b"\xef\xbb\xbf{}",
            ):
                refused(await under.client.post(path, content=body))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5_000_000,
        b'{"a":' * 2_000_000,
        b'{"model":"small","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model": "' + b'\\"' * 3_000_000 + b"[" * 100,
        b'{"model": "small:tpo", "messages": [' + b"{}," * 200_000 + b"{}]}",
        b'{"model": "small:tpo", "messages": [[[[[]]]]]}',
    ],
    ids=["lists", "objects", "inside", "quotes", "many", "odd"],
)
async def test_json_that_is_deep_or_wide(attacked: Attacked, body: bytes) -> None:
    async with attacked() as under:
        answers = await asyncio.gather(*[under.client.post("/chat/completions", content=body) for _ in range(4)])
        for answer in answers:
            refused(answer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "small:tpo", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "small:tpo", "messages": [{"role": "user", "content": "\xc0\xaf"}]}',
        b'{"model": "\xed\xa0\x80", "messages": []}',
        b'{"model": "small:tpo", "messages": [{"role": "user", "content": "\\ud800"}]}',
        '{"model": "small:tpo"}'.encode("utf-16"),
    ],
)
async def test_text_that_is_none(attacked: Attacked, body: bytes) -> None:
    async with attacked() as under:
        refused(await under.client.post("/chat/completions", content=body))


ODD: list[dict[str, Any]] = [
    {"messages": "hi"},
    {"messages": {}},
    {"messages": []},
    {"messages": [None]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "root", "content": "x"}]},
    {"messages": [{"role": "user", "content": {"a": 1}}]},
    {"model": 3},
    {"model": None},
    {"model": "small:tpo\x00"},
    {"model": "../../etc/passwd"},
    {"model": "small:" + "x" * 100_000},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 513}]},
    {"model": "small:tpo-d999999999999999999999"},
    {"model": "small:best-of-" + "9" * 5000},
    {"model": "small:tpo-n1000000"},
    {"n": 10**9},
    {"n": -1},
    {"n": "2"},
    {"temperature": "hot"},
    {"temperature": 1e308},
    {"max_tokens": -5},
    {"seed": 10**40},
    {"stream": "yes"},
    {"stream_options": []},
    {"tools": "all"},
    {"tools": [None]},
    {"response_format": {"type": "xml"}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}},
    {"tpo": "yes"},
    {"tpo": {"width": 10**9}},
    {"tpo": {"depth": -1}},
    {"tpo": {"method": "../../x"}},
    {"tpo": {"reward": "python:os:system"}},
    {"tpo": {"reward": "http://169.254.169.254/latest"}},
    {"tpo": {"policy": "http://evil.example"}},
    {"tpo": {"budget_seconds": "inf"}},
    {"tpo": {"budget_tokens": -1}},
    {"tpo": {"require": ["file=/etc/passwd"]}},
    {"tpo": {"prompts": "/etc"}},
    {"tpo": {"reward": "x" * 1025}},
    {"tpo": {"policy_effort": "x" * 1025}},
    {"tpo": {"require": ["regex=" + "x" * 5000]}},
    {"messages": [{"role": "user", "content": [[[["deep"]]]]}]},
    {"user": "x" * 1025},
    {"safety_identifier": "x" * 100_000},
    {"x" * 1025: 1},
    {"metadata": {"a": "x" * 1025}},
    {"metadata": {"x" * 1025: 1}},
    {"metadata": {str(number): 1 for number in range(65)}},
    {"logit_bias": {str(number): 1 for number in range(4097)}},
]


# Whether these make sense is the policy's server to say.
OPEN: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    {"max_tokens": 10**30},
    {"tools": [{"type": "function"}]},
    {"user": "x" * 1024},
    {"metadata": {"a": ["b"] * 1000}},
    {"__proto__": {"x": 1}},
    {"logit_bias": {"x": "y"}},
]


async def test_requests_that_only_the_policy_can_judge(attacked: Attacked) -> None:
    async with attacked() as under:
        for odd in OPEN:
            body = {"model": "small:best-of-2", "messages": [MESSAGE], **odd}
            answer = await under.client.post("/chat/completions", json=body)
            assert answer.status_code == 200 or refused(answer)


async def test_requests_that_ask_for_what_cannot_be(attacked: Attacked) -> None:
    async with attacked() as under:
        for odd in ODD:
            body = {"model": "small:best-of-2", "messages": [MESSAGE], **odd}
            answer = await under.client.post("/chat/completions", json=body)
            assert answer.status_code in (400, 404), odd
            said = refused(answer)
            assert "passwd:" not in said
            assert "root:" not in said


async def test_free_strings_are_bounded_in_every_protocol(attacked: Attacked) -> None:
    async with attacked() as under:
        bodies: dict[str, dict[str, Any]] = {
            "/chat/completions": {"messages": [MESSAGE]},
            "/responses": {"input": "hi"},
            "/messages": {"messages": [MESSAGE], "max_tokens": 9},
            "/completions": {"prompt": "hi"},
        }
        for path, body in bodies.items():
            for model in ("small", "small:best-of-2"):
                long = {"model": model, **body, "prompt_cache_key": "x" * 1025}
                assert "prompt_cache_key has 1025 characters" in (await under.client.post(path, json=long)).text


async def test_large_bodies_of_good_clients(attacked: Attacked) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 700_000}}
    many = [{"role": ("user", "assistant")[number % 2], "content": f"{number}\n"} for number in range(1001)]
    async with attacked() as under:
        for messages in ([{"role": "user", "content": [image]}], many):
            body = {"model": "small:best-of-2", "messages": messages}
            assert (await under.client.post("/chat/completions", json=body)).status_code == 200


async def test_numbers_that_are_none(attacked: Attacked) -> None:
    async with attacked() as under:
        for number in ("1e999", "-1e999", "1" * 4000, "0.1e-99999", "NaN", "Infinity", "1e400000"):
            for name in ("temperature", "max_tokens", "n", "seed", "top_p"):
                body = json.dumps({"model": "small:best-of-2", "messages": [MESSAGE], name: 0})
                content = body.replace(": 0}", f": {number}}}").encode()
                answer = await under.client.post("/chat/completions", content=content)
                assert answer.status_code == 200 or refused(answer)


async def test_senders_that_are_slow(attacked: Attacked) -> None:
    async with attacked(AppOptions(body_seconds=0.5)) as under:
        head = CHATS + b"Content-Length: 1000\r\n" + CLOSE + b"\r\n"
        slow = [under.at.say(head, *[b"x"] * 60, pause=0.02) for _ in range(200)]
        answers = await asyncio.gather(*slow)
        assert {status for answer in answers for status in statuses(answer)} == {408}
        await under.good(3)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*b$", "(.*a){25}", "^(([a-z])+.)+[A-Z]([a-z])+$"])
async def test_a_schema_that_is_costly_to_keep_costs_only_its_sender(attacked: Attacked, pattern: str) -> None:
    async def says(body: dict[str, Any], number: int) -> str:
        text = str(body["messages"][-1]["content"])
        return json.dumps("a" * 60 + "!") if text == "schema" else text

    async with attacked(says=says) as under:
        schema = {"type": "string", "pattern": pattern}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        hostile = asyncio.create_task(under.chat("schema", response_format=form))
        # A good client is answered before the hostile one is, so that it did not have to wait for it.
        await asyncio.sleep(0.3)
        if not hostile.done():
            await under.good(20)
            assert not hostile.done()
        answer = await hostile
        assert answer.status_code == 200 or refused(answer)


@pytest.mark.skipif(not CHILDREN.exists(), reason="only Linux tells the children of a process")
async def test_many_costly_schemas_are_not_as_many_processes(attacked: Attacked) -> None:
    def processes() -> int:
        return len(CHILDREN.read_text().split())

    async def says(body: dict[str, Any], number: int) -> str:
        text = str(body["messages"][-1]["content"])
        return json.dumps("a" * 60 + "!") if text == "schema" else text

    before = processes()
    async with attacked(says=says) as under:

        def ask(number: int) -> Any:
            schema = {"type": "string", "pattern": "(a+)+$", "title": str(number)}
            form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            return under.chat("schema", response_format=form)

        hostile = [asyncio.create_task(ask(number)) for number in range(40)]
        for _ in range(20):
            await under.good(2)
            await asyncio.sleep(0.05)
            assert processes() - before <= CHECKERS
        for one in hostile:
            one.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)


async def test_rules_that_are_costly_to_keep(attacked: Attacked) -> None:
    async def says(body: dict[str, Any], number: int) -> str:
        text = str(body["messages"][-1]["content"])
        return "a" * 60 + "!" if text == "rule" else text

    async with attacked(says=says) as under:
        for pattern in ("(a+)+$", "^(a|a)*b$", "(.*a){25}"):
            answer = await under.chat("rule", tpo={"require": [f"regex={pattern}"]})
            assert answer.status_code == 200 or refused(answer)


async def test_schemas_that_are_monsters(attacked: Attacked) -> None:
    async with attacked() as under:
        deep: dict[str, Any] = {"type": "string"}
        for level in range(25):
            deep = {"allOf": [deep, deep]} if level < 12 else {"items": deep}
        wide = {"allOf": [True] * 6_000}
        around: dict[str, Any] = {"$ref": "#"}
        away = {"$ref": "http://127.0.0.1:1/schema.json"}
        local = {"$ref": "file:///etc/passwd"}
        for schema in (deep, wide, around, away, local, {"$ref": "#/nothing"}, {"properties": {"x" * 10_000: True}}):
            form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            try:
                answer = await under.chat("hi", response_format=form)
            except httpx.HTTPError as error:
                raise AssertionError(schema) from error
            assert answer.status_code == 200 or refused(answer)
            assert "root:" not in answer.text
            if schema is wide:
                assert "more than 4096 entries" in refused(answer)
