"""A plain model's answer through the model client, for protocols that its server need not speak."""

from __future__ import annotations

from collections.abc import Callable

from tpo.candidate import Candidate
from tpo.http.retry import patiently
from tpo.models.fleet import Fleet
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.server.deltas import Sink, Text, Thought
from tpo.server.protocols.request import GenerationRequest
from tpo.session.response import Completion, TokenUsage


async def plain_response(
    fleet: Fleet,
    request: GenerationRequest,
    sink: Sink,
    spend: Callable[[int], None],
    patience: float = 0.0,
) -> Completion:
    """Answer a conversation by one call, without any search.

    Args:
        fleet: the model's servers.
        request: the conversation, and how it is answered; sampling settings that it does not name are left to the
            model's server.
        sink: called with each delta of text and thought.
        spend: called with the tokens of the call, however it ends.
        patience: seconds for which a server that is down or overloaded is tried again.

    Raises:
        ModelError: there is no answer.
    """
    choices: list[Choice] = []
    usage = Usage()
    call = Request(
        messages=request.messages,
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_tokens,
        seed=request.seed,
        extra=request.policy_fields,
    )
    think = (lambda index, text: sink(Thought(index, text))) if request.thought else _ignore
    receiver = Receiver(usage, choices.append, lambda index, text: sink(Text(index, text)) if text else None)
    receiver = receiver._replace(on_thought=think)
    seat = fleet.seat()
    try:
        await patiently(lambda: seat.generate(call, receiver), lambda error, wait: None, patience=patience)
    finally:
        await seat.aclose()
        spend(usage.total)
    return _response(choices[0], usage, request.thought)


def _response(choice: Choice, usage: Usage, thought: bool) -> Completion:
    candidate = Candidate(
        id="0.0",
        step=0,
        text=choice.text,
        finish_reason=choice.finish_reason,
        tokens=choice.tokens,
        message=choice.message,
        logprobs=choice.logprobs,
    )
    counts = TokenUsage(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, choice.tokens)
    return Completion([candidate], counts, {"0.0": choice.reasoning} if thought and choice.reasoning else {})


def _ignore(index: int, text: str) -> None:
    """The client does not want the model's reasoning."""
