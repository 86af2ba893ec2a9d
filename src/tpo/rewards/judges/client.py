"""A judge's model: one reply at temperature 0, with the probabilities of its tokens where the server reports them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tpo.errors import InputError, ModelError, ModelUnavailable, RewardError, RewardUnavailable
from tpo.http.endpoint import Endpoint
from tpo.http.failures import ContextOverflow
from tpo.http.retry import patiently
from tpo.messages import Conversation
from tpo.models.dialect import TOPS
from tpo.models.fleet import Fleet, Seat, Server, ServerLimits, pace_for_many
from tpo.models.openai import OpenAIModel
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.models.resolve import connect
from tpo.rewards.call import spend
from tpo.rewards.judges.tokens import Token, tokens_of

# The engine repeats a score that failed, so that fewer tries than for an answer are enough here.
TRIES = 4
# Before other calls to a server that it shares: searches wait for their scores.
URGENCY = 1_000_000


class DoesNotFit(RewardError):
    """A conversation is longer than the judge's context."""


class JudgeResponse(NamedTuple):
    """A judge's reply.

    Attributes:
        text: the reply as it came, thinking included where the server leaves it in.
        tokens: its tokens with their alternatives; empty where the server reports none.
        cut: whether it ended at the token limit.
    """

    text: str
    tokens: list[Token]
    cut: bool = False


class JudgeClient:
    """Sends requests to one model at temperature 0, with the policy's client, retries and kind of limit.

    Args:
        url: an OpenAI-compatible API; its key is in `TPO_JUDGE_API_KEY` or `TPO_API_KEY`.
        model: the model's name there; found at the first call where one model is served.
        parallel: most calls in flight; unless given, what the server takes is measured.
        logprobs: whether to request the probabilities of tokens.
        key: the key, where it is not in the environment.

    Attributes:
        model: the model's name, once it is known.
        usage: tokens spent so far.
        limits: what servers may have in flight, where other models of a session share the judge's; read when the
            judge's model is opened.

    Raises:
        InputError: the URL is none, or no call may be in flight.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        parallel: int | None = None,
        logprobs: bool = True,
        key: str | None = None,
    ) -> None:
        if parallel is not None and parallel < 1:
            raise InputError(f"parallel={parallel}: a judge needs at least one call in flight.")
        self.model = model
        self.usage = Usage()
        self._endpoint = Endpoint(url, "judge", key)
        self.limits = ServerLimits(pace_for_many())
        self._parallel = parallel
        self._top = TOPS[0] if logprobs else 0
        self._opened: tuple[OpenAIModel, Seat] | None = None
        # A lock belongs to an event loop, and a reward may see several: one for each `align_sync`.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()

    @property
    def where(self) -> str:
        """The endpoint without secrets."""
        return self._endpoint.shown

    async def aclose(self) -> None:
        """Close the connections; another request opens new ones."""
        if self._opened is not None:
            await self._opened[0].aclose()

    async def connect(self) -> None:
        """Find out what is served, once.

        Raises:
            InputError: several models are served, so that one must be named.
            RewardError: the server cannot be reached, refuses, or serves no model.
        """
        await self._seat()

    async def ask(
        self, messages: Conversation, max_tokens: int, *, logprobs: bool = True, one_of: tuple[str, ...] = ()
    ) -> JudgeResponse:
        """One reply.

        Args:
            messages: the chat to reply to.
            max_tokens: most tokens of the reply, thinking included; what is left where the context leaves fewer.
            logprobs: whether the probabilities of this reply's tokens are wanted, where the judge has any.
            one_of: the only replies that are allowed, where the server can see to that; empty for any.

        Raises:
            DoesNotFit: the messages exceed the judge's context.
            RewardError: the server refuses, or sends something unusable.
            RewardUnavailable: it may answer later.
        """
        seat = await self._seat()
        request = Request(
            messages,
            temperature=0,
            top_p=None,
            max_tokens=max_tokens,
            stream=False,
            top_logprobs=self._top if logprobs else 0,
            urgency=URGENCY,
            one_of=one_of,
        )
        tries = 0

        async def once() -> Choice:
            nonlocal tries
            tries += 1
            usage, found = Usage(), list[Choice]()
            try:
                await seat.generate(request, Receiver(usage, found.append))
            finally:
                self.usage.prompt_tokens += usage.prompt_tokens
                self.usage.completion_tokens += usage.completion_tokens
                spend(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
            return found[0]

        try:
            choice = await patiently(once, lambda error, wait: None, tries=TRIES)
        except ContextOverflow as error:
            raise DoesNotFit(
                f"this does not fit the judge's context; limit the answers, or serve it with a longer one: {error}"
            ) from error
        except ModelUnavailable as error:
            raise RewardUnavailable(f"{error} Tried {tries} times.", error.retry_after) from error
        except ModelError as error:
            raise RewardError(str(error)) from error
        return JudgeResponse(choice.text, tokens_of(choice.logprobs), choice.finish_reason == "length")

    async def _seat(self) -> Seat:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._opening = loop, asyncio.Lock()
        async with self._opening:
            if self._opened is None:
                model = await self._connected()
                limits = self.limits if self._parallel is None else ServerLimits(pace_for_many(self._parallel))
                self._opened = model, Fleet([Server(model, limits.of(model))]).seat()
                self.model = model.model
            return self._opened[1]

    async def _connected(self) -> OpenAIModel:
        # A judge's model is named in its spec, not by an option of the command line.
        try:
            return await connect(self._endpoint, "judge", self.model)
        except InputError as error:
            raise InputError(_in_a_spec(str(error))) from error
        except ModelUnavailable as error:
            raise RewardUnavailable(str(error), error.retry_after) from error
        except ModelError as error:
            raise RewardError(_in_a_spec(str(error))) from error


def _in_a_spec(message: str) -> str:
    return message.replace("--judge-model", "model=NAME")
