"""Answers the conversations of requests: by a search, or by one call of a plain model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from tpo.candidate import Candidate
from tpo.engine.events import Event
from tpo.errors import ModelError, ModelUnavailable
from tpo.http.retry import patiently
from tpo.models.fleet import Fleet
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.scheduling.limiter import Owner, call_owner
from tpo.server.admission import Admission
from tpo.server.asgi import Message, Receive, RequestInfo, Send, WhileConnected
from tpo.server.bodies import pause
from tpo.server.deltas import Delta, Progress, Sink, Text, Thought
from tpo.server.errors import refused
from tpo.server.idempotency import Idempotency
from tpo.server.logs import log_contents
from tpo.server.models import NamedModel
from tpo.server.passthrough import Relay, prompt_tokens
from tpo.server.protocols.request import GenerationRequest
from tpo.server.registry import Durable, SearchRegistry
from tpo.server.request_options import RequestOptions, check_lengths, check_size
from tpo.server.service import WhileServing
from tpo.session.response import Completion, TokenUsage


async def plain_response(
    fleet: Fleet,
    request: GenerationRequest,
    sink: Sink,
    spend: Callable[[int], None],
    patience: float = 0.0,
    *,
    streamed: bool = False,
) -> Completion:
    """Answer a conversation by one call, without any search.

    Args:
        fleet: the model's servers.
        request: the conversation, and how it is answered; sampling settings that it does not name are left to the
            model's server.
        sink: called with each delta of text and thought.
        spend: called with the tokens of the call, however it ends; where its end is cut off, with an estimate of the
            prompt's, which servers report last.
        patience: seconds for which a server that is down or overloaded is tried again.
        streamed: the client gets the deltas as they come, so that after the first the call is not made again.

    Raises:
        ModelError: there is no answer.
    """
    choices: list[Choice] = []
    usage = Usage()
    call = Request(
        messages=request.messages,
        n=request.n,
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_tokens,
        seed=request.seed,
        extra=request.policy_fields,
    )
    begun = False

    def take(delta: Delta) -> None:
        nonlocal begun
        begun = True
        sink(delta)

    think = (lambda index, text: take(Thought(index, text))) if request.thought else _ignore
    receiver = Receiver(usage, choices.append, lambda index, text: take(Text(index, text)) if text else None)
    sent: list[None] = []
    receiver = receiver._replace(on_thought=think, on_start=lambda: sent.append(None))
    seat = fleet.seat()

    async def attempt() -> None:
        choices.clear()  # some of several may have been complete when the attempt before failed
        try:
            await seat.generate(call, receiver)
        except ModelUnavailable as error:
            if streamed and begun:  # the next attempt's answer would follow on this one's beginning
                raise ModelError(str(error)) from error
            raise

    try:
        await patiently(attempt, lambda error, wait: None, patience=patience)
    except asyncio.CancelledError:
        if sent and not usage.prompt_tokens:
            usage.prompt_tokens = prompt_tokens({"messages": request.messages})
        raise
    finally:
        await seat.aclose()
        spend(usage.total)
    return _response(sorted(choices, key=lambda choice: choice.index), usage, request.thought)


def _response(choices: list[Choice], usage: Usage, thought: bool) -> Completion:
    candidates = [
        Candidate(
            id=f"0.{choice.index}",
            step=0,
            text=choice.text,
            finish_reason=choice.finish_reason,
            tokens=choice.tokens,
            message=choice.message,
            logprobs=choice.logprobs,
        )
        for choice in choices
    ]
    answered = sum(choice.tokens for choice in choices)
    counts = TokenUsage(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, answered)
    thoughts = {f"0.{choice.index}": choice.reasoning for choice in choices if thought and choice.reasoning}
    return Completion(candidates, counts, thoughts)


def _ignore(index: int, text: str) -> None:
    """The client does not want the model's reasoning."""


P = ParamSpec("P")
T = TypeVar("T")

# Characters of a model's name.
LONGEST_NAME = 1024
# One after the other: clients that send costly schemas wait for each other.
_SCHEMAS = ThreadPoolExecutor(1, thread_name_prefix="tpo-schemas")
# The same for conversations of more bytes than this: checking one of many small objects takes up to 0.1 s.
_CHECKS = ThreadPoolExecutor(1, thread_name_prefix="tpo-checks")
_LONG = 16_384


def answer_size(completions: list[Completion]) -> int:
    """About how many bytes an answer takes while it is kept; a trace holds all prompts of its search."""
    return sum(
        len(one.narration)
        + sum(len(candidate.text) for candidate in one.candidates)
        + sum(map(len, one.thoughts.values()))
        + (len(msgspec.json.encode(one.search)) if one.search is not None and "trace" in one.search else 0)
        for one in completions
    )


class Answers:
    """Answers the conversations of requests, aligned or plain; all protocols share it.

    Args:
        registry: runs searches.
        admission: how many plain requests are worked on at once.

    Attributes:
        service: models and rewards.
        aligned: how many aligned requests are worked on at once.
        idempotency: work that is shared by requests with the same key.
    """

    def __init__(self, registry: SearchRegistry, admission: Admission) -> None:
        self._registry = registry
        self.service = registry.service
        self.aligned = registry.admission
        self._admission = admission
        self._relay = Relay()
        self.idempotency: Idempotency[list[Completion]] = Idempotency(size_of=answer_size)

    async def aclose(self) -> None:
        """End shared work, and close the connections to plain models' servers."""
        await self.idempotency.aclose()
        await self._relay.aclose()

    def model_of(self, body: dict[str, Any]) -> NamedModel:
        """The model that a request names.

        Raises:
            BadRequest: it names none.
            ApiError: there is no such model, or the server is not ready.
        """
        name = body.get("model")
        if not isinstance(name, str):
            raise refused("model", "is missing" if name is None else "is not a string")
        if len(name) > LONGEST_NAME:
            raise refused("model", f"has {len(name)} characters, and the limit is {LONGEST_NAME}")
        self.service.expect_ready()
        return self.service.models.find(name)

    async def relay(
        self,
        path: str,
        message: Message,
        body: dict[str, Any],
        model: str,
        info: RequestInfo,
        receive: Receive,
        send: Send,
    ) -> None:
        """Pass a plain model's request on as it is, and its answer back.

        Args:
            path: where to, below the address of the API of the model's server.
            message: the request's body as it came.
            body: the same, read.
            model: the model's name.
            info: the request, whose account the tokens are charged to.
            receive: the client's messages; its leaving ends the work upstream.
            send: the way to the client.
        """
        raw, longest = message["body"], self.service.setup.serving.max_message
        if len(raw) > longest:  # no text is longer than its JSON
            check_lengths(body.get("messages"), longest)
        info.kind = "passed"
        async with WhileConnected(receive, info), self._admission.admitted(info.client, info.weight):
            fleet = (await self.service.fleets(model))["policy"]
            async with WhileServing(self.service):
                await self._relay.relay(fleet, path, raw, body, send, info.spend)

    async def options(self, request: GenerationRequest, named: NamedModel) -> RequestOptions | None:
        """The search that a request means; None where it means a plain model's answer.

        Raises:
            BadRequest: an option is above its bound.
            InputError: its options do not fit together.
        """
        serving = self.service.setup.serving
        check_lengths(request.messages, serving.max_message)
        if named.preset is None and not request.sets_search:
            return None
        size = check_size(request.messages, serving.max_conversation)
        await pause(size)
        if request.response_format or request.alignment.require:
            # In a thread: a schema may take seconds to compile and a pattern milliseconds, and other requests go on.
            return await _apart(_SCHEMAS, self.service.options, request, named.preset)
        if size > _LONG:
            return await _apart(_CHECKS, self.service.options, request, named.preset)
        return self.service.options(request, named.preset)

    async def answer(
        self,
        request: GenerationRequest,
        named: NamedModel,
        id: str,
        info: RequestInfo,
        sink: Sink,
        listen: Callable[[Event], None],
        durable: Durable | None = None,
        *,
        streamed: bool = False,
    ) -> Completion:
        """Answer one conversation.

        Args:
            request: the conversation, and how it is answered.
            named: the model and its preset.
            id: the answer's id.
            info: the request, whose account the tokens are charged to.
            sink: called with each delta that precedes the complete answer.
            listen: called with each event of a search.
            durable: where the search survives the server's end.
            streamed: the client gets the deltas as they come.
        """
        options = await self.options(request, named)
        if options is None:
            info.kind = "passed"
            call_owner.set(Owner(info.client, info.weight))
            async with self._admission.admitted(info.client, info.weight):
                fleet = (await self.service.fleets(named.model))["policy"]
                patience = self.service.setup.serving.patience
                async with WhileServing(self.service):
                    return await plain_response(fleet, request, sink, info.spend, patience, streamed=streamed)
        info.kind = "aligned"
        progress = Progress(sink, narrate=options.narration)

        def take(event: Event) -> None:
            listen(event)
            progress(event)

        result = await self._registry.search(options, named.model, id, info, take, durable)
        log_contents(options.messages, [candidate.text for candidate in result.best])
        return result.response(narration=progress.text, thoughts=options.thought, trace=options.return_trace)


async def _apart(executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, partial(call, *args, **kwargs))
