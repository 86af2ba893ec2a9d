"""The whole server under attack, and a good client that asks all the while."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.kit import running
from server.policy import Said, critic, policy
from server.raw import Address
from tpo.options import ServeOptions
from tpo.server import connection
from tpo.server.app import AppOptions
from tpo.server.keys import Keys
from tpo.server.service import Setup

KEY = "tpo-of-the-good-client"


async def length(conversations: list[Any]) -> list[float]:
    """The longest answer is the best."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]


async def answer(body: dict[str, Any], number: int) -> Said:
    """Say again what was asked, a little differently each time."""
    text = str(body["messages"][-1]["content"])
    if "never" in text:
        await asyncio.sleep(3600)
    return "Be longer." if critic(body) else f"{text}{'!' * (number % 3)}"


@dataclass
class Under:
    """A server that is under attack.

    Attributes:
        url: its address, with /v1.
        answers: how often the good client was answered.
    """

    url: str
    client: httpx.AsyncClient
    answers: int = 0
    hurt: list[str] = field(default_factory=list)

    @property
    def at(self) -> Address:
        """Where to send bytes."""
        return Address(httpx.URL(self.url).port or 0)

    async def chat(self, text: str = "hi", model: str = "small:best-of-2", **more: Any) -> httpx.Response:
        """Ask for a chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return await self.client.post("/chat/completions", json=body)

    async def good(self, times: int = 1) -> None:
        """Wait until the good client was answered so many times more."""
        wanted = self.answers + times
        while self.answers < wanted and not self.hurt:  # noqa: ASYNC110 - counted by another task
            await asyncio.sleep(0.005)
        assert not self.hurt


Attacked = Callable[..., AbstractAsyncContextManager[Under]]


@pytest.fixture
def attacked() -> Attacked:
    """Start a server; when it is left, the good client must have been answered every time, and rightly."""

    @asynccontextmanager
    async def start(
        options: AppOptions | None = None, says: Any = answer, serving: ServeOptions | None = None, **more: Any
    ) -> AsyncIterator[Under]:
        async with policy(says) as behind:
            search: Any = {"policy": behind.url, "reward": length, "check": False, "width": 2, "depth": 0}
            async with running(Setup(options=search, serving=serving or ServeOptions()), options, **more) as url:
                headers = {"authorization": f"Bearer {KEY}"}
                limits = httpx.Limits(max_connections=None)
                async with httpx.AsyncClient(
                    base_url=url, headers=headers, timeout=60, limits=limits, trust_env=False
                ) as client:
                    under = Under(url, client)
                    asking = asyncio.create_task(_ask_all_the_while(under))
                    try:
                        await under.good()
                        yield under
                        await under.good(3)
                        assert (await client.get(url.removesuffix("/v1") + "/ready")).status_code == 200
                    finally:
                        asking.cancel()
                        await asyncio.gather(asking, return_exceptions=True)
                    assert not under.hurt

    return start


async def _ask_all_the_while(under: Under) -> None:
    for number in itertools.count():
        token, model = f"token-{number}", ("small", "small:best-of-2")[number % 2]
        try:
            response = await under.chat(token, model)
            said = response.json()["choices"][0]["message"]["content"]
            if response.status_code == 200 and said.rstrip("!") == token:
                under.answers += 1
            else:
                under.hurt.append(f"{response.status_code}: {response.text[:500]}")
        except Exception as error:
            under.hurt.append(repr(error))
        await asyncio.sleep(0.002)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The good client's key alone."""
    return Keys(single=KEY)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of time that a test can wait for."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connection, "READ_SECONDS", 0.5)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limits of time, for what a busy machine may take long to do."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 3600.0)
    monkeypatch.setattr(connection, "READ_SECONDS", 3600.0)


def refused(response: httpx.Response) -> str:
    """See that a request was refused in the right words, and return them."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text[:500])
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["type"]
    assert "Traceback" not in response.text
    assert len(response.text) < 3000
    return str(error["message"])
