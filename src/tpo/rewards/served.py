"""One server that scores over HTTP: its address and key, JSON in and out, what its failures mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
from tpo.http.client import ANSWERED, PATIENT, HttpClient, HttpResponse
from tpo.http.endpoint import Endpoint
from tpo.http.failures import OVERLOADED_STATUS, ContextOverflow, retry_after, server_message
from tpo.http.retry import LONGEST_WAIT, patiently
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import FixedPace

T = TypeVar("T")

PARALLEL = 32
# The engine repeats a score that failed, with a smaller batch if that may help.
TRIES = 4
# Statuses after which fewer conversations at once may do: too large (413), out of memory (424, as TEI says it),
# overloaded (429, 503).
TOO_MUCH = frozenset({413, 424, 429, 503})

# How servers report that a text is too long without the word "context": text-embeddings-inference (422), and
# llama.cpp of its batch size (500, although no later try can help).
TOO_LONG = ("must have less than", "too large to process")


class RewardServer:
    """A server that scores.

    Args:
        kind: the kind of server: "vllm" and so on.
        url: its http(s) address, with or without `/v1`; the requested pages stand below any other path.
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
        # What waits belongs to an event loop, and a reward may see several: one for each `align_sync`.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = HttpClient(self._endpoint)
        self._limiter = Limiter(FixedPace(parallel))

    async def aclose(self) -> None:
        """Close the connections; another request opens new ones."""
        await self._client.aclose()

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
        shown = self._shown(path)
        response = await self._patiently(
            path, lambda address: self._client.post(address, sent, PATIENT, shown=shown), size
        )
        if response.status == 404:
            raise self.wrong(f"answered 404 to {shown} ({self._detail(response)})")
        return self._decoded(response, path)

    async def get(self, path: str) -> Any:
        """The JSON of a page; None where the server has no such page.

        Raises:
            RewardError: as for `post`.
        """
        response = await self._patiently(path, lambda address: self._client.get(address, self._shown(path)), 1)
        return None if response.status == 404 else self._decoded(response, path)

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
        self, path: str, call: Callable[[str], Coroutine[Any, Any, HttpResponse]], size: int
    ) -> HttpResponse:
        """The first response that is an answer, or a 404."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Not an adaptive pace: it measures tokens per second, and a score has no tokens.
            self._loop, self._limiter = loop, Limiter(FixedPace(self._parallel))
        limiter = self._limiter
        address = self._exact or self._endpoint.beside(path)
        tries = status = 0

        async def once() -> HttpResponse:
            nonlocal tries, status
            tries, status = tries + 1, 0
            async with limiter.slot(1, 0, 0) as slot:
                response = await call(address)
                status = response.status
                if status not in ANSWERED | {404}:
                    raise self._refused(response, path, size)
                slot.finished(0)
                return response

        try:
            return await patiently(once, lambda error, wait: None, tries=TRIES)
        except ContextOverflow as error:
            raise self._too_long(str(error)) from error
        except ModelUnavailable as error:
            message = f"{error} Tried {tries} times."
            too_much = status in TOO_MUCH and (error.retry_after or 0.0) <= LONGEST_WAIT
            raise RewardUnavailable(message, error.retry_after, too_much=too_much) from error
        except ModelError as error:
            raise RewardError(str(error)) from error

    def _refused(self, response: HttpResponse, path: str, size: int) -> TPOError:
        status, shown, detail = response.status, self._shown(path), self._detail(response)
        # A server that says when to come back counts requests, and smaller ones are more of them.
        counts = status in OVERLOADED_STATUS and retry_after(response.headers)
        if status in TOO_MUCH and size > 1 and not counts:
            # Sending the same batch again would only make it worse.
            message = f"{shown} answered {status} for {size} conversations: {detail}"
            return RewardUnavailable(message, retry_after(response.headers), too_much=True)
        if any(sign in detail for sign in TOO_LONG):
            return self._too_long(f"{shown} answered {status}: {detail}")
        return self._client.refused(response, shown)

    def _too_long(self, detail: str) -> RewardTooLong:
        advice = "limit the answers or raise its context"
        return RewardTooLong(f"A conversation does not fit the reward model: {advice}. {detail}")

    def _decoded(self, response: HttpResponse, path: str) -> Any:
        try:
            return msgspec.json.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            with suppress(ValueError, OverflowError, RecursionError):
                value = json.loads(response.body)  # Python's own takes NaN, which Python's own also writes
                msgspec.json.encode(value)  # no journal can hold half a surrogate pair
                return value
            detail = self._detail(response)
            raise RewardError(f"{self._shown(path)} answered no JSON ({detail}): {error}.") from error

    def _detail(self, response: HttpResponse) -> str:
        return self._endpoint.redact(server_message(response.text))

    def _shown(self, path: str) -> str:
        return self.where if self._exact else f"{self.where}/{path}"


def batches(things: Sequence[T], size: int) -> list[Sequence[T]]:
    """The things in order, at most `size` at a time."""
    return [things[start : start + size] for start in range(0, len(things), size)]
