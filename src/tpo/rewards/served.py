"""One server that scores over HTTP: its address and key, JSON in and out, what its failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from tpo.errors import (
    InputError,
    ModelError,
    ModelUnavailable,
    RewardError,
    RewardTooLong,
    RewardUnavailable,
    TPOError,
)
from tpo.http.endpoint import Endpoint
from tpo.http.failures import ContextOverflow, explained, refused, retry_after, server_message
from tpo.http.retry import retrying

T = TypeVar("T")

# A loaded server may queue a batch for minutes.
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
PARALLEL = 32
# Fewer than for a model: whoever asks for the scores tries again too, with a smaller batch if that may help.
TRIES = 4
# Statuses after which fewer conversations at once may do: too large (413), out of memory (424, as TEI says it),
# overloaded (429, 503).
TOO_MUCH = frozenset({413, 424, 429, 503})

# How servers say that a text is too long where they do not speak of a context: text-embeddings-inference (422), and
# llama.cpp of its batch size (500, although no later try can help).
TOO_LONG = ("must have less than", "too large to process")


class RewardServer:
    """A server that scores.

    Args:
        kind: what it is taken for: "vllm" and so on.
        url: its http(s) address, with or without `/v1`; the pages that are asked for stand below any other path.
        start: how such a server is started, for the message when it turns out to be another one.
        key: the key, where it is not in `TPO_REWARD_API_KEY` or `TPO_API_KEY`.
        parallel: most requests in flight.
        exact: send everything to the address exactly as it is given.

    Attributes:
        where: its address without secrets, for names and errors.

    Raises:
        InputError: the URL is none.
    """

    def __init__(
        self,
        kind: str,
        url: str,
        start: str,
        key: str | None = None,
        parallel: int = PARALLEL,
        *,
        exact: bool = False,
    ) -> None:
        self.kind = kind
        self._endpoint = Endpoint(url, "reward", key)
        self._exact = self._endpoint.exact if exact else None
        self._start = start
        self._parallel = parallel
        shown = self._endpoint.shown
        # An endpoint takes an address without a path for one with /v1.
        self.where = shown if exact and urlsplit(url).path.strip("/") else shown.removesuffix("/v1")
        # Connections belong to an event loop, and a reward may see several: one for each `align_sync`.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._room = asyncio.Semaphore(parallel)

    async def aclose(self) -> None:
        """Close the connections; asking again opens new ones."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    async def post(self, path: str, body: dict[str, Any], size: int = 1) -> Any:
        """Send JSON and return the JSON that comes back.

        Args:
            path: a page of the server, such as "classify".
            body: what to send.
            size: how many conversations it holds.

        Raises:
            RewardError: the server refuses, or answers no JSON; `RewardTooLong` where a conversation does not fit.
            RewardUnavailable: it may answer later; `too_much` where fewer at once may help.
        """
        sent = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        response = await self._patiently(
            path, lambda client, address: client.post(address, content=sent, headers=headers), size
        )
        if response.status_code == 404:
            said = self._endpoint.redact(server_message(response.text))
            raise self.wrong(f"answered 404 to {self._shown(path)} ({said})")
        return self._decoded(response, path)

    async def get(self, path: str) -> Any:
        """The JSON of a page; None where the server has no such page.

        Raises:
            RewardError: as for `post`.
        """
        response = await self._patiently(path, lambda client, address: client.get(address), 1)
        return None if response.status_code == 404 else self._decoded(response, path)

    async def models(self) -> list[dict[str, Any]]:
        """The cards of its model list (OpenAI's `/v1/models`); none where it has no such list."""
        listed = await self.get("v1/models")
        cards = listed.get("data") if isinstance(listed, dict) else None
        return [card for card in cards if isinstance(card, dict) and card.get("id")] if isinstance(cards, list) else []

    async def model(self) -> str:
        """The name of the one model that it serves.

        Raises:
            InputError: it serves several, so that one must be named.
            RewardError: it lists none.
        """
        served = [str(card["id"]) for card in await self.models()]
        if not served:
            raise RewardError(f"{self.where} lists no models: name one (model=NAME), or check the URL.")
        if len(served) > 1:
            raise InputError(f"{self.where} serves {', '.join(served)}: name the reward model (model=NAME).")
        return served[0]

    def wrong(self, what: str) -> RewardError:
        """The error for an answer that this kind of server would not give."""
        return RewardError(f"{self.where} {what}. Is this a {self.kind} server with a reward model? {self._start}")

    async def _patiently(
        self, path: str, ask: Callable[[httpx.AsyncClient, str], Coroutine[Any, Any, httpx.Response]], size: int
    ) -> httpx.Response:
        """The response, 200 or 404, of the first try that brings one."""
        client = self._opened()
        address = self._exact or self._endpoint.beside(path)
        tries = status = 0
        try:
            async with self._room:
                async for attempt in retrying(lambda error, wait: None, tries=TRIES):
                    tries, status = tries + 1, 0
                    with attempt, explained(self._shown(path)):
                        response = await ask(client, address)
                        status = response.status_code
                        if status not in (200, 404):
                            raise self._refused(response, path, size)
        except ContextOverflow as error:
            raise self._too_long(str(error)) from error
        except ModelUnavailable as error:
            message = self._endpoint.redact(f"{error} Tried {tries} times.")
            raise RewardUnavailable(message, error.retry_after, too_much=status in TOO_MUCH) from error
        except ModelError as error:
            raise RewardError(self._endpoint.redact(str(error))) from error
        return response

    def _refused(self, response: httpx.Response, path: str, size: int) -> TPOError:
        status, said = response.status_code, server_message(response.text)
        if status in TOO_MUCH and size > 1:
            # Sending the same batch again would only make it worse.
            message = self._endpoint.redact(f"{self._shown(path)} answered {status} for {size} conversations: {said}")
            return RewardUnavailable(message, retry_after(response.headers), too_much=True)
        if any(sign in said for sign in TOO_LONG):
            return self._too_long(f"{self._shown(path)} answered {status}: {said}")
        return refused(response, self._shown(path), self._endpoint.key_variable)

    def _too_long(self, said: str) -> RewardTooLong:
        advice = "limit the answers or raise its context"
        return RewardTooLong(self._endpoint.redact(f"A conversation does not fit the reward model: {advice}. {said}"))

    def _decoded(self, response: httpx.Response, path: str) -> Any:
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = self._endpoint.redact(server_message(response.text))
            raise RewardError(f"{self._shown(path)} answered no JSON ({said}): {error}.") from error

    def _shown(self, path: str) -> str:
        return self.where if self._exact else f"{self.where}/{path}"

    def _opened(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop, self._client = loop, self._endpoint.client(TIMEOUT)
            self._room = asyncio.Semaphore(self._parallel)
        return self._client


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What the calls return, in their order; the first to fail takes the others along."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def batches(things: Sequence[T], size: int) -> list[Sequence[T]]:
    """The things in order, at most `size` at a time."""
    return [things[start : start + size] for start in range(0, len(things), size)]
