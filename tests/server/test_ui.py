"""The page at /ui: there, guarded by the same keys, and on the server's own models."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from server.conftest import HI, Serve
from server.policy import Said, drawing
from tpo.options import ServeOptions
from tpo.server.app import AppOptions
from tpo.server.keyfile import make_key
from tpo.server.keys import Keys
from tpo.server.limits import Limits

KEY = "tpo-" + "k" * 40


async def test_the_page_is_there_and_its_playground_answers(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb"])) as up:
        root = up.url.removesuffix("/v1")
        shown = await up.client.get(f"{root}/ui/")
        assert shown.status_code == 200 and "<html" in shown.text
        about = (await up.client.get(f"{root}/ui/api/about")).json()
        assert about["play"]["width"] == 3 and about["live"]
        body = {"question": "Hi", "method": "best-of-n", "width": 2, "depth": 0}
        played = await up.client.post(f"{root}/ui/api/play", json=body)
        assert played.status_code == 200 and "event: story" in played.text and "bbb" in played.text


async def test_a_search_that_fails_shows_its_best_answer_and_the_error(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb"], other=401)) as up:
        root = up.url.removesuffix("/v1")
        body = {"question": "Hi", "method": "tpo", "width": 2, "depth": 1}
        played = (await up.client.post(f"{root}/ui/api/play", json=body)).text
        story = json.loads(played.split("event: story\ndata: ")[1])
        assert (story["state"], story["stop"], story["answer"]) == ("failed", "error", "0.1")
        assert "refused the key (401" in story["error"]
        kept = await up.client.get(f"{root}/ui/api/play/result", params={"id": story["result"]})
        assert kept.json()["error"] == story["error"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"reward": "nobodys"}, "which is not a reward of this server"),
        ({"temperature": 200}, "temperature does not fit"),
        ({"max_tokens": 0}, "max_tokens does not fit"),
        ({"question": "broken"}, "It is not to be had"),
    ],
)
async def test_the_playground_says_what_is_wrong(serve: Serve, option: dict[str, Any], words: str) -> None:
    async def answer(asked: dict[str, Any], number: int) -> Said:
        return 400 if asked["messages"][-1]["content"] == "broken" else "a"

    async with serve(answer) as up:
        body = {"question": "Hi", "method": "best-of-n", "width": 2, "depth": 0, **option}
        played = await up.client.post(f"{up.url.removesuffix('/v1')}/ui/api/play", json=body)
        assert "event: error" in played.text and words in played.text
        assert "Something broke" not in played.text


async def test_requests_show_while_they_are_answered_and_after(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb"])) as up:
        await up.chat("small:best-of-2")
        (line,) = (await up.client.get(f"{up.url.removesuffix('/v1')}/ui/api/live")).json()
        assert line["question"] == "Hi" and line["reward"] == 3.0


async def test_without_the_page_nothing_is_kept_for_it(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb"]), serving=ServeOptions(ui=False)) as up:
        await up.chat("small:best-of-2")
        assert (await up.client.get(f"{up.url.removesuffix('/v1')}/ui/")).status_code == 404


async def test_browsers_are_asked_for_the_key(serve: Serve) -> None:
    async with serve(drawing(["a"]), options=AppOptions(keys=Keys(single=KEY))) as up:
        root = up.url.removesuffix("/v1")
        refused = await up.client.get(f"{root}/ui/")
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Basic ")
        assert (await up.client.get("/models")).headers["www-authenticate"] == "Bearer"
        for pair, status in ((f"me:{KEY}", 200), ("me:wrong", 401), (f"{KEY}:", 401)):
            headers = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
            assert (await up.client.get(f"{root}/ui/", headers=headers)).status_code == status
        assert (await up.client.get(f"{root}/ui/", headers={"authorization": "Basic ###"})).status_code == 401


async def test_everybodys_requests_are_for_operators(serve: Serve, tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path / "keys.toml", name, Limits(), operator=name == "olga") for name in ("al", "olga")}
    async with serve(drawing(["a", "bbb"]), options=AppOptions(keys=Keys(tmp_path / "keys.toml"))) as up:
        root = up.url.removesuffix("/v1")
        for path in ("/ui/", "/ui/api/live", "/ui/static/style.css", "/metrics"):
            for name, status in (("al", 401), ("olga", 200)):
                headers = {"authorization": f"Bearer {keys[name]}"}
                answer = await up.client.get(f"{root}{path}", headers=headers)
                assert answer.status_code == status, (path, name)
                if status == 401:
                    assert "operator" in answer.text
                    asks = answer.headers["www-authenticate"]
                    assert asks.startswith("Basic " if path.startswith("/ui") else "Bearer")
        asked = {"model": "small:best-of-2", "messages": HI}
        headers = {"authorization": f"Bearer {keys['al']}"}
        assert (await up.client.post("/chat/completions", json=asked, headers=headers)).status_code == 200


async def test_the_playground_is_counted_like_any_request(serve: Serve, tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys.toml", "olga", Limits(tokens_per_minute=1), operator=True)
    serving = ServeOptions(record=tmp_path / "kept")
    options = AppOptions(keys=Keys(tmp_path / "keys.toml"))
    async with serve(drawing(["a", "bbb"]), options=options, serving=serving) as up:
        root = up.url.removesuffix("/v1")
        headers = {"authorization": f"Bearer {key}"}
        body = {"question": "Hi", "method": "best-of-n", "width": 2, "depth": 0}
        assert "event: story" in (await up.client.post(f"{root}/ui/api/play", json=body, headers=headers)).text
        # It used more than the one token that there was.
        assert (await up.client.post(f"{root}/ui/api/play", json=body, headers=headers)).status_code == 429
        metrics = (await up.client.get(f"{root}/metrics", headers=headers)).text
        assert 'tpo_searches_total{method="best-of-n"' in metrics
    assert len([*(tmp_path / "kept").glob("*/*.jsonl")]) == 1


async def test_traces_are_kept_where_somebody_wants_them(serve: Serve, tmp_path: Path) -> None:
    from tpo import replay

    async with serve(drawing(["a", "bbb"]), serving=ServeOptions(record=tmp_path / "kept")) as up:
        headers = {"x-request-id": "mine-1"}
        body = {"model": "small:best-of-2", "messages": HI}
        await up.client.post("/chat/completions", json=body, headers=headers)
        await up.chat("small")
    (trace,) = (tmp_path / "kept").glob("*/*.jsonl")
    assert "mine-1" in trace.name and replay(trace).answer == "bbb"
    assert trace.stat().st_mode & 0o077 == 0


async def test_leaving_the_playground_ends_its_search(serve: Serve) -> None:
    async def never(body: dict[str, Any], number: int) -> Said:
        await asyncio.Event().wait()
        return ""

    async with serve(never) as up:
        root = up.url.removesuffix("/v1")
        body = {"question": "Hi", "method": "best-of-n", "width": 2, "depth": 0}
        playing = asyncio.create_task(up.client.post(f"{root}/ui/api/play", json=body))
        await asyncio.wait_for(up.policy.asked.wait(), 10)
        metrics = (await up.client.get(f"{root}/metrics")).text
        assert 'tpo_in_flight{kind="aligned"} 1.0' in metrics
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await asyncio.wait_for(up.policy.gone.wait(), 10)


async def test_background_responses_show_too(serve: Serve, tmp_path: Path) -> None:
    async with serve(drawing(["a", "bbb"]), serving=ServeOptions(store=tmp_path / "store")) as up:
        body = {"model": "small:best-of-2", "input": "Hi", "background": True}
        id = (await up.client.post("/responses", json=body)).json()["id"]
        await up.client.get(f"/responses/{id}?stream=true")
        (line,) = (await up.client.get(f"{up.url.removesuffix('/v1')}/ui/api/live")).json()
        assert line["question"] == "Hi" and line["reward"] == 3.0
