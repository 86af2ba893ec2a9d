"""What a client sees of an answer, piece by piece, whichever protocol it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from tpo.engine.events import Event
from tpo.server.narration import Narrator
from tpo.session.response import Completion

# Clients draw a screen at a time: an answer that is already complete is sent in few pieces.
PIECE = 1024


class Narration(msgspec.Struct, frozen=True, tag=True):
    """The search's progress, as text."""

    text: str


class Thought(msgspec.Struct, frozen=True, tag=True):
    """The model's own reasoning about an answer.

    Attributes:
        index: which of the answers.
        text: what was added.
    """

    index: int
    text: str


class Text(msgspec.Struct, frozen=True, tag=True):
    """An answer's text.

    Attributes:
        index: which of the answers.
        text: what was added.
        logprobs: log-probabilities, as the policy's server sent them.
    """

    index: int
    text: str
    logprobs: dict[str, Any] | None = None


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """A refusal in place of an answer."""

    index: int
    text: str


class ToolCall(msgspec.Struct, frozen=True, tag=True):
    """A complete call of a tool.

    Attributes:
        index: which of the answers.
        number: which of the calls of this answer.
        call: the call, as chat completions have it.
    """

    index: int
    number: int
    call: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The call's id; empty where the policy's server gave none."""
        return str(self.call.get("id") or "")

    @property
    def name(self) -> str:
        """The tool's name."""
        return str((self.call.get("function") or {}).get("name") or "")

    @property
    def arguments(self) -> str:
        """The arguments, as JSON."""
        return str((self.call.get("function") or {}).get("arguments") or "")


class Finished(msgspec.Struct, frozen=True, tag=True):
    """An answer is complete.

    Attributes:
        index: which of the answers.
        reason: stop, length, tool_calls or content_filter.
    """

    index: int
    reason: str


Delta: TypeAlias = Narration | Thought | Text | Refusal | ToolCall | Finished
Sink: TypeAlias = Callable[[Delta], None]


class Progress:
    """Turns a search's events into narration.

    Args:
        sink: called with each delta.
        narrate: whether the narration is wanted.

    Attributes:
        text: the whole narration so far.
    """

    def __init__(self, sink: Sink, *, narrate: bool) -> None:
        self._sink = sink
        self._narrator = Narrator() if narrate else None
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The whole narration so far."""
        return "".join(self._pieces)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if self._narrator is not None and (text := self._narrator.narrate(event)):
            self._pieces.append(text)
            self._sink(Narration(text))


def deltas_of(response: Completion, sent: Mapping[int, str] | None = None) -> Iterator[Delta]:
    """The deltas of a complete response; without its narration.

    Args:
        response: the response.
        sent: text of each answer that the client has already, by index.
    """
    for index, candidate in enumerate(response.candidates):
        message = candidate.message or {"content": candidate.text}
        done = (sent or {}).get(index)
        if done is None and (thought := response.thoughts.get(candidate.id)):
            for text in _pieces(thought):
                yield Thought(index, text)
        content = message.get("content")
        text = content if isinstance(content, str) else ""
        for piece in _pieces(text.removeprefix(done or "")):
            yield Text(index, piece)
        if candidate.logprobs is not None:
            yield Text(index, "", candidate.logprobs)
        if message.get("refusal") and not done:
            yield Refusal(index, str(message["refusal"]))
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield ToolCall(index, number, call)
        yield Finished(index, response.finish_reason(index))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
