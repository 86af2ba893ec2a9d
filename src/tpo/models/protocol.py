"""What a model is: a request in, choices out as they finish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from tpo.messages import Conversation
from tpo.models.profiles import Profile
from tpo.options import default


class Request(msgspec.Struct, frozen=True):
    """One generation call.

    Attributes:
        messages: the chat to continue.
        n: how many choices to request; a server may return fewer.
        temperature: sampling temperature; None for the server's default.
        top_p: nucleus mass; None for the server's default.
        max_tokens: completion tokens per choice; None for whatever the model's context leaves.
        seed: seed of the first choice, the next one has `seed + 1` and so on; None for none.
        urgency: where calls have to wait for each other, the highest goes first.
        stream: have the text while it grows; without it a call costs less of our own time.
        continues: the prompt begins with that of the call before and the reply to it, with no other call between them.
        top_logprobs: how many of the likeliest tokens to report at each place; 0 for none. A server that takes fewer
            is asked for fewer.
        extra: further fields of the chat-completions request (tools, stop, response_format, …), sent as they are.
        one_of: the reply is one of these texts, where the server can see to that; empty for any reply.
    """

    messages: Conversation
    n: int = 1
    temperature: float | None = default("temperature")
    top_p: float | None = default("top_p")
    max_tokens: int | None = default("max_tokens")
    seed: int | None = None
    urgency: int = 0
    stream: bool = True
    continues: bool = False
    top_logprobs: int = 0
    extra: dict[str, Any] = {}
    one_of: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    """One finished choice.

    Attributes:
        index: its place in the call, from 0.
        text: the answer's text.
        reasoning: the text of the reasoning, where the server reports that apart.
        finish_reason: as the server reports it.
        tokens: completion tokens, reasoning included.
        message: the assistant's message where it is more than text: its tool calls, its refusal.
        logprobs: `{"content": […]}` in OpenAI's form, where the request wanted them.
        arm: the arm of a panel that wrote it.
        failure: why this is no answer: it is empty, reasoning only, or withheld by a filter. None for an answer.
    """

    index: int
    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    tokens: int = 0
    message: dict[str, Any] | None = None
    logprobs: dict[str, Any] | None = None
    failure: str | None = None
    arm: str | None = None

    @property
    def worth_a_retry(self) -> bool:
        """Whether the same call may end better: it failed, and not at its token limit."""
        return self.failure is not None and self.finish_reason != "length"


class Usage(msgspec.Struct):
    """Tokens of one call; written to while the call runs, so that a call cut short is counted too."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


class Receiver(NamedTuple):
    """Takes the results of a call while they arrive.

    Attributes:
        usage: written to while the call runs, and exact when it returns.
        on_choice: called once for each choice, as soon as it is complete.
        on_text: called with a choice's index and the new text (none while the model is reasoning).
        on_start: called when the call really begins, after it has waited for others.
        on_thought: called with a choice's index and the reasoning that it grew by.
    """

    usage: Usage
    on_choice: Callable[[Choice], None]
    on_text: Callable[[int, str], None] = lambda index, text: None
    on_start: Callable[[], None] = lambda: None
    on_thought: Callable[[int, str], None] = lambda index, text: None


class Model(Protocol):
    """Generates text. Tests and users can bring their own."""

    @property
    def name(self) -> str:
        """What identifies model and endpoint in a journal; holds no secret."""
        ...

    @property
    def profile(self) -> Profile:
        """How this backend behaves."""
        ...

    async def generate(self, request: Request, receiver: Receiver) -> None:
        """Make one call.

        Args:
            request: what to generate.
            receiver: takes the choices as they finish, the text as it grows, and the token counts.

        Raises:
            ModelUnavailable: the call may be tried again.
            ModelError: it may not.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
