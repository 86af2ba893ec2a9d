"""Errors: each has its status, its shape, and words that say what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.conftest import HI, Serve
from server.policy import Said, call, drawing, saying
from tpo.server import stream as streams
from tpo.server.admission import Busy
from tpo.server.answers import Answers
from tpo.server.errors import explained
from tpo.server.service import Service

ENDPOINTS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": HI},
    "/responses": {"input": "Hi"},
    "/completions": {"prompt": "Hi"},
    "/messages": {"messages": HI, "max_tokens": 9},
}


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_a_bug_is_json_with_the_requests_id(serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: Any) -> None:
        raise LookupError("a secret of ours")

    monkeypatch.setattr(Answers, "answer", broken)
    async with serve(saying("a")) as up:
        answer = await up.client.post(path, json={"model": "small:tpo", **ENDPOINTS[path]})
        assert answer.status_code == 500 and answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
        assert "secret" not in answer.text


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_candidates_that_all_fail_are_a_502_that_names_the_upstream(
    serve: Serve, path: str, stream: bool
) -> None:
    for broken in (saying(401), saying("")):
        async with serve(broken) as up:
            body = {"model": "small:best-of-2", "stream": stream, **ENDPOINTS[path]}
            answer = await up.client.post(path, json=body)
            if answer.status_code == 200:
                assert stream and '"error"' in answer.text  # it came after the stream had begun
            else:
                assert answer.status_code == 502, answer.text
            assert up.policy.url in answer.text


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_a_failure_in_the_middle_ends_the_stream(
    serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.0)
    begun = asyncio.Event()

    async def answer(body: dict[str, Any], number: int) -> Said:
        await begun.wait()
        return 422

    async with serve(answer) as up:
        body = {"model": "small:best-of-2", "stream": True, **ENDPOINTS[path]}
        async with up.client.stream("POST", path, json=body) as response:
            assert response.status_code == 200
            begun.set()
            text = "".join([piece async for piece in response.aiter_text()])
        assert ("error" in text and "422" in text) or "refused" in text


@pytest.mark.parametrize("calls", [{"a": 1}, [5], [{"function": "f"}], "x"])
async def test_odd_tool_calls_are_refused(serve: Serve, calls: Any) -> None:
    messages = [*HI, {"role": "assistant", "content": "x", "tool_calls": calls}, *HI]
    async with serve(drawing(["a"])) as up:
        answer = await up.chat(messages=messages)
        assert answer.status_code == 400 and "tool_calls" in answer.json()["error"]["message"]


@pytest.mark.parametrize("preset", ["best-of-0", "best-of-٣", "tpo-d٣", "tpo-n0", "tpo-d99-n99"])
async def test_presets_that_cannot_be(serve: Serve, preset: str) -> None:
    async with serve(drawing(["a"])) as up:
        assert (await up.chat(f"small:{preset}")).status_code in (400, 404)
        assert (await up.client.get(f"/models/small:{preset}")).status_code == 404


async def test_an_unknown_option_lists_the_known_ones_in_a_sentence(serve: Serve) -> None:
    async with serve(drawing(["a"])) as up:
        message = (await up.chat(tpo={"zz": 1})).json()["error"]["message"]
        assert message.startswith("tpo.zz is unknown. The options are method, width")


async def test_an_integer_may_be_written_with_a_point(serve: Serve) -> None:
    async with serve(drawing(["a", "bb"])) as up:
        answer = await up.chat("small:best-of-2", n=1.0, max_tokens=10.0, tpo={"width": 2.0})
        assert answer.status_code == 200 and answer.json()["tpo"]["width"] == 2
        assert (await up.chat("small:best-of-2", max_tokens=10.5)).status_code == 400


@pytest.mark.parametrize("model", ["small", "small:tpo"])
@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
async def test_the_servers_end_is_a_503(serve: Serve, path: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    services: list[Service] = []
    opened = Service.open

    async def remembered(self: Service) -> None:
        services.append(self)
        await opened(self)

    monkeypatch.setattr(Service, "open", remembered)

    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(60)
        return "never"

    async with serve(answer) as up:
        asking = asyncio.create_task(up.client.post(path, json={"model": model, **ENDPOINTS[path]}))
        await asyncio.wait_for(up.policy.asked.wait(), 10)
        services[0].cut_short()
        refusal = await asyncio.wait_for(asking, 20)
        assert refusal.status_code == 503 and refusal.headers["retry-after"] == "5"
        assert "being stopped" in refusal.json()["error"]["message"]


THINKING: Said = {"role": "assistant", "content": "Ho", "reasoning_content": "Hm."}


@pytest.mark.parametrize("switch", [None, "reasoning", "narration", "thought"])
async def test_reasoning_is_the_same_streamed_and_whole(serve: Serve, switch: str | None) -> None:
    options = {} if switch is None else {switch: False}
    async with serve(saying(THINKING)) as up:
        whole = (await up.chat("small:best-of-2", tpo=options)).json()["choices"][0]["message"]
        chunks, _ = await up.events("small:best-of-2", tpo=options)
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        details = [detail for delta in deltas for detail in delta.get("reasoning_details", [])]
        for narrated in (whole.get("reasoning_details", []), details):
            kinds = {detail["type"] for detail in narrated}
            assert ("reasoning.summary" in kinds) == (switch not in ("reasoning", "narration"))
            assert ("reasoning.text" in kinds) == (switch not in ("reasoning", "thought"))
        response = (
            await up.client.post("/responses", json={"model": "small:best-of-2", "input": "Hi", "tpo": options})
        ).json()
        items = [item for item in response["output"] if item["type"] == "reasoning"]
        assert bool(items) == (switch != "reasoning")
        assert any(item["summary"] for item in items) == (switch not in ("reasoning", "narration"))
        assert any(item.get("content") for item in items) == (switch not in ("reasoning", "thought"))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_models_thought_is_there_in_every_protocol(serve: Serve, stream: bool) -> None:
    async with serve(saying(THINKING)) as up:
        for path, more in (("/responses", {}), ("/messages", {"thinking": {"type": "adaptive"}})):
            body = {"model": "small", "stream": stream, **ENDPOINTS[path], **more}
            assert "Hm." in (await up.client.post(path, json=body)).text
            assert "Hm." not in (await up.client.post(path, json={**body, "tpo": {"thought": False}})).text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_model_keeps_its_servers_settings(serve: Serve, stream: bool) -> None:
    async with serve(saying(call("weather", "{}"))) as up:
        for path in ("/responses", "/messages"):
            answer = await up.client.post(path, json={"model": "small", "stream": stream, **ENDPOINTS[path]})
            assert answer.status_code == 200 and "weather" in answer.text
        for body in up.policy.bodies:
            assert not {"temperature", "top_p", "seed"} & body.keys()


def test_a_full_server_is_the_same_error_in_a_stream() -> None:
    refusal = explained(Busy(7))
    assert (refusal.status, refusal.type, refusal.headers) == (429, "rate_limit_error", {"retry-after": "7"})
