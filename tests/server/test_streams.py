"""Streamed answers: how the search goes, the answer, its cost, and the end of it all when the client leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from server.conftest import HI, Serve
from server.policy import Said, call, critic, drawing, saying
from tpo.server import stream as streaming


def content(chunks: list[dict[str, Any]], kind: str = "content") -> str:
    return "".join(c["delta"].get(kind) or "" for chunk in chunks for c in chunk.get("choices", []))


async def test_progress_comes_first_and_then_the_answer(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "best of all"])) as up:
        chunks, text = await up.events("small:tpo-d1-n2", stream_options={"include_usage": True})
        told = content(chunks, "reasoning_content")
        assert content(chunks) == "best of all"
        for part in ("Step 0. Writing 2 answers", "reward 3", "Critique (0.1 against 0.0): Say more.", "Step 1."):
            assert part in told, told
        kinds = [key for chunk in chunks for c in chunk["choices"] for key in c["delta"] if c["delta"][key]]
        assert kinds.index("content") > max(i for i, kind in enumerate(kinds) if kind == "reasoning_content")
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["tpo"]["critic"]["calls"] == 2
        last = next(c for chunk in reversed(chunks) for c in chunk["choices"])
        assert last["finish_reason"] == "stop" and chunks[-2]["tpo"]["reward"] == 11.0
        assert len({chunk["id"] for chunk in chunks}) == 1 and text.endswith("data: [DONE]\n\n")


async def test_progress_names_what_a_method_does(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb", "cc", "dddd"])) as up:
        merged = content((await up.events("small:fusion-n2"))[0], "reasoning_content")
        assert "Step 1. Merging the drafts into one answer" in merged and "advice" not in merged
        waves = (await up.events("small:restate-d1-n2", tpo={"require": ["contains=zzz"]}))[0]
        assert "Step 1. Writing 2 answers" in content(waves, "reasoning_content")
    async with serve(drawing(["a", "bbb", "cc", "dddd", "Verdict: A"])) as up:
        # The comparisons of a round run at once: none leaves a heading without text.
        chunks, _ = await up.events("small:best-of-4", tpo={"select": "knockout"})
        compared = content(chunks, "reasoning_content")
        assert chunks[-1]["tpo"]["select"] == "knockout:2"
        assert compared.count("Comparison: ") == 6 and "Comparison: \n" not in compared


async def test_progress_can_be_left_out(serve: Serve) -> None:
    async with serve(drawing(["a", "bbb"])) as up:
        chunks, _ = await up.events("small:tpo-d1-n2", tpo={"reasoning": False})
        assert content(chunks, "reasoning_content") == "" and content(chunks) == "bbb"
        assert not any(chunk.get("usage") for chunk in chunks)


async def test_several_answers_are_sent_one_after_the_other(serve: Serve) -> None:
    async with serve(drawing(["a", "ccc", "bb"])) as up:
        chunks, _ = await up.events("small:best-of-3", n=2)
        texts = {0: "", 1: ""}
        for chunk in chunks:
            for choice in chunk["choices"]:
                texts[choice["index"]] += choice["delta"].get("content") or ""
        assert texts == {0: "ccc", 1: "bb"}


async def test_tool_calls_come_piece_by_piece(serve: Serve) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    arguments = '{"city": "' + "Rome " * 500 + '"}'
    async with serve(saying(call("weather", arguments))) as up:
        chunks, _ = await up.events("small:best-of-2", tools=tools)
        pieces = [p for chunk in chunks for c in chunk["choices"] for p in c["delta"].get("tool_calls") or []]
        assert [piece["id"] for piece in pieces if "id" in piece] == ["call_1"]
        assert "".join(piece["function"]["arguments"] for piece in pieces) == arguments
        ends = [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
        assert ends == ["tool_calls"]


async def test_a_refusal_before_any_text_was_sent_has_its_status(serve: Serve) -> None:
    async with serve(saying(422)) as up:
        answer = await up.chat("small:best-of-2", stream=True)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "upstream_refused"


async def test_a_failure_in_the_middle_is_reported_in_the_stream(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.0)

    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(0.2)
        return 422

    async with serve(answer) as up:
        chunks, text = await up.events("small:best-of-2")
        assert chunks[-1]["error"]["code"] == "upstream_refused" and text.endswith("data: [DONE]\n\n")


BROKEN: Said = {"role": "assistant", "content": "Hello wor", "breaks": True}
# Requests for a plain answer that are not relayed.
PLAIN: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": HI, "tpo": {"reasoning": False}},
    "/completions": {"prompt": "Hi", "tpo": {"reasoning": False}},
    "/responses": {"input": "Hi"},
    "/messages": {"messages": HI, "max_tokens": 9},
}
FAILED = {"/responses": "event: response.failed", "/messages": "event: error"}


@pytest.mark.parametrize("path", PLAIN)
async def test_a_plain_stream_that_breaks_off_ends_with_an_error(serve: Serve, path: str) -> None:
    async with serve(saying(BROKEN, "Hello world")) as up:
        streamed = await up.client.post(path, json={"model": "small", "stream": True, **PLAIN[path]})
        assert streamed.status_code == 200 and len(up.policy.bodies) == 1
        before, _, end = streamed.text.partition(FAILED.get(path, '"error":'))
        assert "Hello wor" in before and "broke off in the middle of its answer" in end
        assert "Hello world" not in streamed.text


@pytest.mark.parametrize("path", PLAIN)
async def test_a_plain_call_is_repeated_while_the_client_has_nothing_of_its_answer(serve: Serve, path: str) -> None:
    for stream, first in ((False, BROKEN), (True, 503)):
        async with serve(saying(first, "Hello world")) as up:
            answer = await up.client.post(path, json={"model": "small", "stream": stream, **PLAIN[path]})
            assert answer.status_code == 200 and len(up.policy.bodies) == 2
            assert "Hello world" in answer.text and "Hello worHello" not in answer.text


async def test_a_silent_search_shows_that_it_lives(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.0)
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.05)

    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(0.4)
        return "a"

    async with serve(answer) as up:
        chunks, text = await up.events("small:best-of-2", tpo={"reasoning": False})
        assert text.count(": still at it\n\n") >= 3 and content(chunks) == "a"


@pytest.mark.parametrize("model", ["small", "small:tpo"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_work_upstream(serve: Serve, model: str, stream: bool) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(60)
        return "never"

    async with serve(answer) as up:
        body = {"model": model, "messages": HI, "stream": stream}
        asking = asyncio.create_task(up.client.post("/chat/completions", json=body))
        await asyncio.wait_for(up.policy.asked.wait(), 5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(up.policy.gone.wait(), 5)
        while up.policy.left < len(up.policy.bodies):
            up.policy.gone.clear()
            await asyncio.wait_for(up.policy.gone.wait(), 5)


async def test_what_is_cut_short_by_a_client_is_no_answer_of_anybody_else(serve: Serve) -> None:
    """Many at once, some leaving: each of the others gets its own answer."""

    async def answer(body: dict[str, Any], number: int) -> Said:
        await asyncio.sleep(0.02)
        said: str = next(m["content"] for m in body["messages"] if "token-" in m["content"])
        return "critique " * 20 if critic(body) else said[said.index("token-") :][:9]

    async def ask(client: httpx.AsyncClient, number: int) -> bool:
        token = f"token-{number:03d}"
        body = {"model": "small:tpo", "messages": [{"role": "user", "content": f"Say {token}"}]}
        asking = asyncio.create_task(client.post("/chat/completions", json={**body, "stream": number % 2 == 0}))
        if number % 5 == 0:
            await asyncio.sleep(0.03)
            asking.cancel()
            return True
        response = await asking
        return token in response.text and response.text.count("token-") == response.text.count(token)

    async with serve(answer, width=2) as up:
        assert all(await asyncio.gather(*[ask(up.client, number) for number in range(100)]))
