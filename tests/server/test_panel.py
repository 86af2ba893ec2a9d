"""A panel behind the server: `MODEL:panel` draws from all arms, a model's own name from one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx

from server.conftest import HI, length
from server.kit import running
from server.policy import Answer, Policy, policy, saying
from tpo.server.service import Setup

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


class Panel:
    """A server in front of two policies."""

    def __init__(self, one: Answer, two: Answer, names: tuple[str, str] = ("one", "two"), **options: Any) -> None:
        self._answers = (one, two)
        self._names = names
        self._options = options
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> tuple[httpx.AsyncClient, Policy, Policy]:
        enter = self._stack.enter_async_context
        one, two = [
            await enter(policy(answer, (name,))) for answer, name in zip(self._answers, self._names, strict=True)
        ]
        usual: Any = {
            "policy": {"a": one.url, "b": two.url},
            "reward": length,
            "check": False,
            "width": 4,
            "depth": 1,
        }
        chosen: Any = {**usual, "method": "best-of-n", **self._options}
        url = await enter(running(Setup(options=chosen)))
        return await enter(httpx.AsyncClient(base_url=url, timeout=30)), one, two

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


async def chat(client: httpx.AsyncClient, model: str, **body: Any) -> Any:
    answer = await client.post("/chat/completions", json={"model": model, "messages": HI, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_all_arms_are_drawn_from_and_listed() -> None:
    async with Panel(saying("short"), saying("a longer one")) as (client, one, two):
        names = [card["id"] for card in (await client.get("/models")).json()["data"]]
        assert {"one", "two", "one:panel", "two:panel", "one:tpo"} <= set(names)
        for model in ("one:panel", "two:panel"):
            answer = await chat(client, model)
            assert answer["choices"][0]["message"]["content"] == "a longer one"
            assert answer["tpo"]["arms"]["b"]["wins"] == 1 and answer["tpo"]["arms"]["a"]["answers"] == 2
        assert len(one.bodies) == len(two.bodies) == 4


async def test_a_model_of_its_own_name_is_one_arm() -> None:
    async with Panel(saying("short"), saying("a longer one")) as (client, one, two):
        assert (await chat(client, "one:best-of-2"))["choices"][0]["message"]["content"] == "short"
        assert (await chat(client, "two"))["choices"][0]["message"]["content"] == "a longer one"
        assert (len(one.bodies), len(two.bodies)) == (2, 1)


async def test_the_playground_asks_all_arms() -> None:
    async with Panel(saying("short"), saying("a longer one")) as (client, one, two):
        body = {"question": "Hi", "method": "best-of-n", "width": 4, "depth": 0}
        played = await client.post(f"{str(client.base_url).partition('/v1')[0]}/ui/api/play", json=body)
        assert "event: story" in played.text and "a longer one" in played.text
        assert len(one.bodies) == len(two.bodies) == 2


async def test_tools_are_picked_and_never_merged() -> None:
    async with Panel(saying("short"), saying("a longer one"), method="fusion") as (client, one, two):
        answer = await chat(client, "one:panel", tools=TOOLS)
        assert answer["tpo"]["method"] == "best-of-n"
        assert len(one.bodies) + len(two.bodies) == 4
        assert (await chat(client, "one:panel"))["tpo"]["method"] == "fusion"


async def test_one_arm_keeps_its_preset_beside_tools() -> None:
    async with Panel(saying("short", "shorter 1"), saying("a longer one")) as (client, one, two):
        answer = await chat(client, "one:tpo-d1-n2", tools=TOOLS)
        assert (answer["tpo"]["method"], answer["tpo"]["width"], answer["tpo"]["depth"]) == ("tpo", 2, 1)
        assert len(one.bodies) == 2 + 2 + 2 and not two.bodies
        assert (await chat(client, "one:panel", tools=TOOLS))["tpo"]["method"] == "best-of-n"


async def test_an_arm_that_dies_costs_no_answer() -> None:
    async with Panel(saying("alive"), saying("dead")) as (client, _, two):
        await two.close()
        answer = await chat(client, "one:panel")
        assert answer["choices"][0]["message"]["content"] == "alive"
        assert answer["tpo"]["arms"]["a"]["answers"] == 4


async def test_an_effort_is_that_of_the_smallest_arm() -> None:
    async with Panel(saying("short"), saying("a longer one"), names=("big-70B", "a-1B")) as (client, _, _):
        for model in ("big-70B:panel", "a-1B:panel"):
            answer = await chat(client, model, reasoning_effort="medium")
            assert answer["tpo"]["method"] == "best-of-n"
        assert (await chat(client, "big-70B:effort-medium"))["tpo"]["method"] == "fusion"


async def test_without_a_panel_there_is_none() -> None:
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(policy(saying("Ho"), ("small",)))
        options: Any = {"policy": behind.url, "reward": length, "check": False}
        url = await stack.enter_async_context(running(Setup(options=options)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        body = {"model": "small:panel", "messages": HI}
        refusal = await client.post("/chat/completions", json=body)
        assert refusal.status_code == 404
        assert "no panel" in refusal.json()["error"]["message"]
