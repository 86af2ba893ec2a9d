"""A judge's side of the wire: one chat completion, whole, with the probabilities of its tokens where there are any."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import httpx
import msgspec

from tpo.errors import InputError, ModelError, ModelUnavailable, RewardError, RewardUnavailable
from tpo.http.endpoint import Endpoint
from tpo.http.failures import ContextOverflow, explained, refused, server_message
from tpo.http.retry import retrying
from tpo.messages import Conversation
from tpo.models.protocol import Usage
from tpo.models.resolve import connect
from tpo.rewards.judges.wire import Completion, Token, tokens_of
from tpo.rewards.usage import spend

# A loaded server may queue a request for minutes before it answers.
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
# Whoever asks for the scores may try again too.
TRIES = 4
# How many alternatives to ask for at each token: all that the protocol allows, then what stricter servers allow.
TOPS = (20, 5, 0)


class DoesNotFit(RewardError):
    """What was to be judged is longer than the judge's context."""


class Reply(NamedTuple):
    """What a judge said.

    Attributes:
        text: the reply as it came, thinking included where the server leaves it in.
        tokens: its tokens with their alternatives; empty where the server gives none.
        cut: whether it ended at the token limit.
    """

    text: str
    tokens: list[Token]
    cut: bool = False


class JudgeClient:
    """Asks one model at one endpoint, at temperature 0.

    Args:
        url: an OpenAI-compatible API; its key is in `TPO_JUDGE_API_KEY` or `TPO_API_KEY`.
        model: the model's name there; found at the first call where one model is served.
        parallel: most calls in flight; what is known of the server's kind unless given.
        logprobs: whether to ask for the probabilities of tokens.
        key: the key, where it is not in the environment.

    Attributes:
        usage: tokens spent so far.

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
        self._parallel = parallel
        # What the server turned out to refuse is not sent again.
        self._top = TOPS[0] if logprobs else 0
        self._cold = True
        self._limit_field = ""
        # Connections belong to an event loop, and a reward may see several: one for each `align_sync`.
        self._session: _Session | None = None

    @property
    def where(self) -> str:
        """The endpoint without secrets."""
        return self._endpoint.shown

    async def aclose(self) -> None:
        """Close the connections; asking again opens new ones."""
        session, self._session = self._session, None
        if session is not None and session.loop is asyncio.get_running_loop():
            await session.client.aclose()

    async def connect(self) -> None:
        """Find out what is served, once.

        Raises:
            InputError: several models are served, so that one must be named.
            RewardError: the server cannot be reached, refuses, or serves no model.
        """
        session = self._opened()
        async with session.lock:
            if self._limit_field:
                return
            try:
                found = await connect(self._endpoint, "judge", self.model)
            except InputError as error:
                raise InputError(_in_a_spec(str(error))) from error
            except ModelUnavailable as error:
                raise RewardUnavailable(str(error), error.retry_after) from error
            except ModelError as error:
                raise RewardError(_in_a_spec(str(error))) from error
            await found.aclose()
            self.model, self._limit_field = found.model, found.profile.token_limit
            self._parallel = self._parallel or found.profile.parallel
            session.room = asyncio.Semaphore(self._parallel)

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = True) -> Reply:
        """One reply.

        Args:
            messages: the chat to reply to.
            max_tokens: most tokens of the reply, thinking included; what is left where the context leaves fewer.
            logprobs: whether the probabilities of this reply's tokens are wanted, where the judge gives any.

        Raises:
            DoesNotFit: the messages exceed the judge's context.
            RewardError: the server refuses, or sends something unusable.
            RewardUnavailable: it may answer later.
        """
        await self.connect()
        tries = 0
        try:
            async with self._opened().room:
                async for attempt in retrying(lambda error, wait: None, tries=TRIES):
                    tries += 1
                    with attempt:
                        return await self._accepted(messages, max_tokens, logprobs)
        except ContextOverflow as error:
            said = self._endpoint.redact(str(error))
            raise DoesNotFit(
                f"this does not fit the judge's context; limit the answers, or serve it with a longer one: {said}"
            ) from error
        except ModelUnavailable as error:
            message = self._endpoint.redact(f"{error} Tried {tries} times.")
            raise RewardUnavailable(message, error.retry_after) from error
        except ModelError as error:
            raise RewardError(self._endpoint.redact(str(error))) from error
        raise AssertionError("the last attempt returns or raises")

    async def _accepted(self, messages: Conversation, max_tokens: int, logprobs: bool) -> Reply:
        """The reply to the fullest request that the server takes."""
        limit: int | None = max_tokens
        while True:
            top, cold = self._top if logprobs else 0, self._cold
            try:
                return await self._post(messages, limit, top, cold)
            except ContextOverflow:
                if limit is None:
                    raise
                limit = None  # the reply gets what is left of the context, which is less
            except ModelUnavailable:
                raise
            except ModelError as error:
                said = str(error).lower()
                if top and "logprob" in said:
                    self._top = min(self._top, TOPS[TOPS.index(top) + 1])
                elif cold and "temperature" in said:
                    self._cold = False
                else:
                    raise

    async def _post(self, messages: Conversation, limit: int | None, top: int, cold: bool) -> Reply:
        body: dict[str, Any] = {"model": self.model, "messages": messages}
        if limit is not None:
            body[self._limit_field] = limit
        if cold:
            body["temperature"] = 0
        if top:
            body |= {"logprobs": True, "top_logprobs": top}
        url = f"{self.where}/chat/completions"
        with explained(url):
            response = await self._opened().client.post(
                self._endpoint.at("chat/completions"),
                content=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
            )
        if response.status_code != 200:
            raise refused(response, url, self._endpoint.key_variable)
        try:
            completion = msgspec.json.decode(response.content, type=Completion)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            said = server_message(response.text)
            raise ModelError(f"{url} sent no completion ({said}): is this an OpenAI-compatible API?") from error
        if completion.error or not completion.choices:
            said = server_message(response.text)
            raise ModelError(f"{url} failed while answering: {said}")
        if completion.usage is not None:
            self.usage.prompt_tokens += completion.usage.prompt_tokens or 0
            self.usage.completion_tokens += completion.usage.completion_tokens or 0
            spend(completion.usage.prompt_tokens or 0, 0, completion.usage.completion_tokens or 0)
        choice = completion.choices[0]
        return Reply(choice.message.content or "", tokens_of(choice.logprobs), choice.finish_reason == "length")

    def _opened(self) -> _Session:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.loop is not loop:
            room = asyncio.Semaphore(self._parallel or 1)
            self._session = _Session(loop, self._endpoint.client(TIMEOUT), room, asyncio.Lock())
        return self._session


class _Session(msgspec.Struct):
    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    room: asyncio.Semaphore
    lock: asyncio.Lock


def _in_a_spec(message: str) -> str:
    # A judge is named in its spec, not by an option of the command line.
    return message.replace("--judge-model", "model=NAME")
