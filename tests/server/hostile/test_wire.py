"""Bytes that no client should send."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from server.hostile.conftest import KEY, Attacked, refused
from server.raw import HOST, request, statuses
from tpo.server.app import AppOptions
from tpo.server.keyfile import make_key
from tpo.server.keys import Keys, hashed
from tpo.server.limits import Limits

CLOSE = b"Connection: close"
BODY = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hi"}]}).encode()
PATHS = [
    "/%2e%2e/%2e%2e/etc/passwd",
    "/../../../etc/passwd",
    "/v1/../../etc/passwd",
    "/v1/%00",
    "/v1/models/%00",
    "/v1/models/..%2f..%2fetc%2fpasswd",
    "/v1/models/" + "x" * 5000,
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/V1/CHAT/COMPLETIONS",
    "/v1/chat/completions%20",
    "/v1/chat/completions;x=1",
    "/v1\\chat\\completions",
    "/ui/%2e%2e/%2e%2e/etc/passwd",
    "/ui/..%5c..%5cetc",
    "/ui/static/../../app.py",
    "/ui/static/%2e%2e/app.py",
    "/ui//etc/passwd",
    "/ui/api/traces/..%2f..%2fetc%2fpasswd",
    "/ui/api/runs/%2fetc",
    "/%ff%fe%00",
    "/health%0d%0aX-Injected:%20yes",
    "/health?" + "a=b&" * 500,
    "/*",
    "/.env",
    "/.git/config",
    "/metrics/../v1/models",
]


async def test_paths(attacked: Attacked) -> None:
    async with attacked() as under:
        for method, path in itertools.product(("GET", "POST"), PATHS):
            answer = await under.at.say(request(method, path, CLOSE, body=BODY if method == "POST" else None))
            head, _, body = answer.partition(b"\r\n\r\n")
            (status,) = statuses(answer)
            assert status < 500, path
            assert b"injected" not in head.lower().replace(b"x-injected:%20", b"")
            assert b"root:" not in body
            assert b"import " not in body
            assert b"Traceback" not in body


async def test_methods(attacked: Attacked) -> None:
    async with attacked() as under:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "get", "PoSt"):
            answer = await under.at.say(request(method, "/v1/chat/completions", CLOSE, body=BODY))
            assert statuses(answer)[0] in (400, 405), method
        assert b"secret-of-the-client" not in await under.at.say(
            request("TRACE", "/", CLOSE, b"Authorization: Bearer secret-of-the-client")
        )


async def test_headers(attacked: Attacked) -> None:
    async with attacked() as under:
        for headers, status in (
            ([b"X-%d: y" % number for number in range(500)], 431),
            ([b"X: " + b"y" * 40_000], 431),
            ([b"Host: localhost"], 400),
            ([b"Origin: http://evil.example"], 403),
            ([b"Origin: null"], 403),
            ([b"Origin: http://["], 403),
            ([b"Content-Encoding: gzip"], 415),
            ([b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: evil.example", b"X-Original-URL: /metrics"], 200),
            ([b"X-Request-Id: a b\xff"], 200),
            ([b"X-Tpo-Width: 99999999999"], 200),  # a plain model has no width
            ([b"Traceparent: 00-zz-zz-zz"], 200),
            ([b"Accept: " + b"text/html," * 500], 200),
            ([b"Cookie: " + b"a=b;" * 2000], 200),
            ([b"Range: bytes=0-0"], 200),
            ([b"Expect: the-unexpected"], 200),
        ):
            answer = await under.at.say(request("POST", "/v1/chat/completions", CLOSE, *headers, body=BODY))
            assert statuses(answer)[-1] == status, headers[0][:50]
        rebound = b"POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\n" + CLOSE
        answer = await under.at.say(rebound + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        assert statuses(answer) == [403]
        assert b"access-control" not in answer.lower()


async def test_headers_that_ask_for_what_cannot_be(attacked: Attacked) -> None:
    async with attacked() as under:
        body = {"model": "small:tpo", "messages": [{"role": "user", "content": "hi"}]}
        for name, value in (("width", "9" * 30), ("depth", "-1"), ("method", "../x"), ("nothing", "1")):
            refused(await under.client.post("/chat/completions", json=body, headers={f"x-tpo-{name}": value}))


async def test_what_is_sent_ahead(attacked: Attacked) -> None:
    async with attacked() as under:
        flood = [under.at.say(request("GET", "/health") * 5_000) for _ in range(20)]
        await asyncio.gather(*flood)
        mixed = request("POST", "/v1/chat/completions", body=BODY) * 3 + request("GET", "/health", CLOSE)
        assert statuses(await under.at.say(mixed)) == [200] * 4


@pytest.mark.parametrize(
    "attack",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
        b"Content-Length: 0\r\nContent-Length: 40\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
async def test_requests_within_requests(attacked: Attacked, attack: bytes) -> None:
    async with attacked() as under:
        answer = await under.at.say(b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + attack, end=True)
        assert b"tpo_requests" not in answer
        assert set(statuses(answer)) <= {400}


async def test_garbage(attacked: Attacked) -> None:
    import random

    chance = random.Random(7)
    async with attacked() as under:
        whole = request("POST", "/v1/chat/completions", CLOSE, body=BODY)
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            answer = await under.at.say(bytes(damaged), end=chance.random() < 0.7 or b"lose" not in damaged)
            assert not [status for status in statuses(answer) if status >= 500], bytes(damaged)
        await asyncio.gather(*[under.at.say(chance.randbytes(2000), end=True) for _ in range(100)])


async def test_script_in_what_is_reported_again_is_data(attacked: Attacked) -> None:
    script = "<script>alert(1)</script>\u2028\"'\x07"
    async with attacked() as under:
        for answer in (
            await under.chat(script),
            await under.chat("hi", model=script),
            await under.client.get(f"/{quote(script)}"),
            await under.client.get("/models/" + quote(script)),
            await under.client.post("/chat/completions", content=script.encode()),
        ):
            assert answer.headers["content-type"] == "application/json"
            assert answer.status_code in (200, 400, 404)
        shown = await under.client.get(under.url.removesuffix("/v1") + "/ui/")
        assert script not in shown.text
        assert "content-security-policy" in shown.headers


async def test_guesses_of_keys(attacked: Attacked, keys: Keys) -> None:
    async with attacked(AppOptions(keys=keys)) as under:
        guesses = [b"Authorization: Bearer " + guess for guess in (b"", b"x" * 20_000, KEY[:-1].encode(), b"\xff\xfe")]
        guesses += [b"Authorization: Basic Og==", b"Authorization: Bearer " + hashed(KEY).encode()]
        for path in ("/v1/chat/completions", "/v1/models", "/metrics", "/ui/", "/ui/api/live", "/nothing"):
            for guess in guesses:
                answer = await under.at.say(request("POST", path, CLOSE, guess, body=BODY))
                assert statuses(answer) == [401], (path, guess)
        many = [under.at.say(request("GET", "/v1/models", CLOSE, b"Authorization: Bearer %d" % n)) for n in range(500)]
        assert {status for answer in await asyncio.gather(*many) for status in statuses(answer)} == {401}


async def test_a_key_file_that_is_broken_while_it_is_used(attacked: Attacked, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    secret = make_key(file, "alice", Limits())
    now = [0.0]
    keys = Keys(file, single=KEY, clock=lambda: now[0])
    good = file.read_text()
    async with attacked(AppOptions(keys=keys)) as under:
        mine = {"authorization": f"Bearer {secret}"}
        for written in ("[alice\n", "", good, None, good):
            if written is None:
                file.unlink()
            else:
                file.write_text(written)
            now[0] += 10
            status = (await under.client.get("/models", headers=mine)).status_code
            assert status == (401 if written == "" else 200)
            await under.good()
