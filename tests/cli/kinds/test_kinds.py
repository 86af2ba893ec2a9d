"""Each kind of odd server through `tpo align`, `tpo run` and `tpo serve`: an answer, or one line that explains."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.kinds.commands import beside, tpo
from cli.kinds.servers import ANSWER, KINDS, Kind
from models.server import Server, serving
from server.kit import running
from tpo.http import retry
from tpo.options import ServeOptions
from tpo.server.service import Setup
from tpo.session.spec import Options

SEARCH = ("--reward", "surface", "--width", "2", "--depth", "1", "--no-check")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)
    monkeypatch.setattr(retry, "_overloaded_backoff", lambda state: 0.0)


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def test_align(kind: Kind, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with beside(kind.respond) as server:
        ran = tpo("align", "How?", "--policy", server.url, *SEARCH, *kind.flags, "--trace", str(trace))
    if kind.fails:
        assert (ran.code, ran.out) == (2, "")
        assert kind.fails in ran.err.strip().splitlines()[-1]
        assert "no answer" in ran.err
        replayed = tpo("replay", str(trace))
        assert (replayed.code, replayed.out) == (2, "")
        return
    assert (ran.code, ran.out) == (0, f"{ANSWER}\n")
    assert tpo("replay", str(trace)).out == ran.out


def test_run(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("How?\nWhy?\n")
    out = tmp_path / "out"
    command = ("run", str(tmp_path / "q.txt"), "--out", str(out), *SEARCH, *kind.flags)
    with beside(kind.respond) as server:
        ran = tpo(*command, "--policy", server.url)
        calls = len(server.bodies())
        rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
        assert len(rows) == 2
        if kind.fails:
            assert ran.code == 3
            assert [(kind.fails in row["error"], row["answer"]) for row in rows] == [(True, None)] * 2, rows
        else:
            assert ran.code == 0
            assert [(row["answer"], row["error"]) for row in rows] == [(ANSWER, None)] * 2
        again = tpo(*command, "--policy", server.url)
        assert (again.code, len(server.bodies())) == (ran.code, calls)  # what was written is read again


def test_serve(kind: Kind) -> None:
    async def main() -> None:
        async with serving(kind.respond) as behind, answering(kind, behind) as client:
            body: dict[str, Any] = {"model": "m:tpo", "messages": [{"role": "user", "content": "How?"}]}
            got = await client.post("/chat/completions", json=body)
            streamed = await client.post("/chat/completions", json={**body, "stream": True})
            if kind.fails:
                assert got.status_code == kind.status
                assert kind.fails in got.json()["error"]["message"]
                assert kind.fails in streamed.text
            else:
                assert got.json()["choices"][0]["message"]["content"] == ANSWER
                assert streamed.status_code == 200 and streamed.text.rstrip().endswith("[DONE]")
                assert "Wipe" in streamed.text

    asyncio.run(main())


@asynccontextmanager
async def answering(kind: Kind, behind: Server) -> AsyncIterator[httpx.AsyncClient]:
    given = dict(zip(kind.flags[::2], kind.flags[1::2], strict=True))
    options: Options = {"policy": behind.url, "reward": "surface", "check": False, "width": 2, "depth": 1}
    options |= {"policy_model": given.get("--policy-model"), "omit": [given["--omit"]] if "--omit" in given else []}
    options |= {"seed": int(given["--seed"])} if "--seed" in given else {}
    async with (
        running(Setup(options=options, serving=ServeOptions(ui=False))) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client
