"""What tests of the server share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from server.kit import running
from server.policy import Answer, Policy, policy
from tpo.options import ServeOptions
from tpo.server.app import AppOptions
from tpo.server.service import Setup

HI = [{"role": "user", "content": "Hi"}]


async def length(conversations: list[Any]) -> list[float]:
    """The longest answer is the best."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]


@dataclass
class Up:
    """A server and the policy behind it."""

    client: httpx.AsyncClient
    policy: Policy
    url: str

    async def chat(self, model: str = "small:tpo", **body: Any) -> httpx.Response:
        """Ask for a chat completion."""
        return await self.client.post("/chat/completions", json={"model": model, "messages": HI, **body})

    async def events(self, model: str = "small:tpo", **body: Any) -> tuple[list[dict[str, Any]], str]:
        """Ask for a streamed one: its chunks, and all that came."""
        import json

        response = await self.chat(model, stream=True, **body)
        lines = [line[6:] for line in response.text.split("\n\n") if line.startswith("data: {")]
        return [json.loads(line) for line in lines], response.text


Serve = Callable[..., AbstractAsyncContextManager[Up]]


@pytest.fixture
def serve() -> Serve:
    """Start a server in front of a policy."""

    @asynccontextmanager
    async def start(
        answer: Answer,
        *,
        names: tuple[str, ...] = ("small",),
        options: AppOptions | None = None,
        serving: ServeOptions | None = None,
        rewards: Any = None,
        require: tuple[str, ...] = (),
        **search: Any,
    ) -> AsyncIterator[Up]:
        async with AsyncExitStack() as stack:
            behind = await stack.enter_async_context(policy(answer, names))
            chosen: Any = {"policy": behind.url, "reward": length, "check": False, "width": 3, "depth": 1, **search}
            setup = Setup(options=chosen, serving=serving or ServeOptions(), rewards=rewards or {}, require=require)
            url = await stack.enter_async_context(running(setup, options))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            yield Up(client, behind, url)

    return start
