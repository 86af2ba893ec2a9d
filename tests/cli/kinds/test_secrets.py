"""A key that a server sends back and a password in a URL, through the real commands: neither stands anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.kinds.commands import beside, tpo
from cli.kinds.servers import COUNTED, whole
from models.server import Received, delta, error, models, response, serving, stream
from server.kit import running
from tpo.http import retry
from tpo.http.redaction import Secrets
from tpo.options import ServeOptions
from tpo.server.service import Setup

KEY, PASSWORD = "sk-a-key/of1234", "pass-w0rd/5678"
SEARCH = ("--policy-model", "m", "--reward", "surface", "--width", "2", "--depth", "1", "--no-check")


def echo(request: Received) -> bytes:
    """Send back the request's key, in whatever the path names."""
    seen = f"{request.headers.get('authorization')} {KEY} {PASSWORD} {KEY.replace('/', '%2F')}"
    if request.path.endswith("/models"):
        return models("m", seen=seen)
    match request.path.split("/")[1]:
        case "answer":
            text = f"Your key is {seen}."
            if request.json.get("stream"):
                return stream(delta(text, finish="stop"), COUNTED)
            return whole({"message": {"role": "assistant", "content": text}}, model=seen)
        case "inside":
            return response(json.dumps({"error": {"message": seen, "code": 400}}))
        case "page":
            return response(f"<title>{seen}</title>", kind="text/html")
        case "redirect":
            return response("", 307, location=f"http://127.0.0.1:9/?k={seen}")
        case name:
            return error(seen, int(name))


WAYS = ("answer", "inside", "page", "redirect", "400", "401", "404", "500")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)
    monkeypatch.setenv("TPO_API_KEY", KEY)


def address(url: str, way: str) -> str:
    return url.replace("http://", f"http://me:{PASSWORD.replace('/', '%2F')}@").replace("/v1", f"/{way}/v1")


def clean(texts: Iterable[str]) -> None:
    for text in texts:
        for secret in (KEY, PASSWORD, KEY.replace("/", "%2F"), PASSWORD.replace("/", "%2F")):
            assert secret not in text


def written(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("as_password", [True, False])
def test_align_and_run(way: str, as_password: bool, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("How?\n")
    with beside(echo) as server:
        policy = address(server.url, way) if as_password else server.url.replace("/v1", f"/{way}/v1")
        ran = tpo("align", "How?", "--policy", policy, *SEARCH, "--trace", str(tmp_path / "trace.jsonl"))
        out = tmp_path / "out"
        run = tpo("run", str(tmp_path / "q.txt"), "--out", str(out), "--policy", policy, *SEARCH)
        shown = tpo("show", str(out)) if out.exists() else run
    # The server's other secret is no secret of this endpoint: with a password, no key is sent.
    texts = [*ran[1:], *run[1:], *shown[1:], *written(tmp_path)]
    clean(text.replace(KEY, "").replace(KEY.replace("/", "%2F"), "") for text in texts) if as_password else clean(
        text.replace(PASSWORD, "") for text in texts
    )
    assert ran.code == (0 if way == "answer" else 2)
    assert run.code == {"answer": 0, "401": 2}.get(way, 3)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_serve_aligned_and_passed_through(way: str, streamed: bool) -> None:
    async def main() -> None:
        async with serving(echo) as behind:
            url = behind.url.replace("/v1", f"/{way}/v1")
            setup = Setup(
                options={"policy": url, "policy_model": "m", "reward": "surface", "check": False, "width": 2},
                serving=ServeOptions(ui=False),
            )
            async with running(setup) as here, httpx.AsyncClient(base_url=here, timeout=30) as client:
                for model in ("m", "m:tpo"):
                    body = {"model": model, "messages": [{"role": "user", "content": "How?"}], "stream": streamed}
                    got = await client.post("/chat/completions", json=body)
                    texts = [got.text, *got.headers.values(), (await client.get("/models")).text]
                    clean(text.replace(PASSWORD, "") for text in texts)
                    assert "***" in got.text or way in ("redirect", "401")

    asyncio.run(main())


def test_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = address("http://h/v1", "x")
    (tmp_path / "tpo.toml").write_text(
        f'policy = "{url}"\n[rewards.mine]\nuse = "judge:{url}?api_key={KEY.replace("/", "%2F")}"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TPO_CRITIC", url)
    ran = tpo("config")
    assert ran.code == 0
    assert ran.out.count("me:***@h") == 3
    clean(ran[1:])


@given(st.lists(st.sampled_from([b"sk-abcdef", b"sk-abc", b"sk-", b"def-1234", b"x", b"1234"]), max_size=12), st.data())
def test_a_secret_across_pieces(parts: list[bytes], data: st.DataObject) -> None:
    secrets = Secrets(["sk-abcdef-1234", "sk-abc-9"])
    body, pieces = b"".join(parts), []
    rest = body
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.append(rest[:size])
        rest = rest[size:]
    passing = secrets.passing()
    assert b"".join(map(passing.take, pieces)) + passing.end() == secrets.out_of_body(body)
