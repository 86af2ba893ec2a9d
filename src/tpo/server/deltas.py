"""What a client sees of an answer, piece by piece, whichever protocol it speaks, with the search's progress as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Prompted, Replied, Sampled, Scored
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


# Headings of critic replies, by the end of the prompt's name; others are headed by that name.
_TITLES = {
    "loss": "Critique",
    "gradient": "Advice",
    "advise": "Advice",
    "analysis": "Comparison",
    "compare": "Comparison",
}
# What answers are drawn for, by the end of the prompt's name; all others are written from the question.
_DRAWING = {"update": "Following the advice in", "fuse": "Merging the drafts into"}


class Narrator:
    """Turns events into text that grows."""

    def __init__(self) -> None:
        self._growing: tuple[int, int] | None = None
        # The heading of the growing reply, until its first text: several replies may be written at once.
        self._heading = ""
        self._errors: dict[str, str] = {}

    def narrate(self, event: Event) -> str:
        """The text that an event adds; empty for events that are not shown."""
        match event:
            case Prompted(width=int(width)):
                answers = "one answer" if width == 1 else f"{width} answers"
                doing = next((words for kind, words in _DRAWING.items() if event.name.endswith(kind)), "Writing")
                return f"{self._end()}Step {event.step}. {doing} {answers} …\n"
            case Prompted():
                return self._prompted(event)
            case TextGrew() if (event.turn, event.action) == self._growing:
                heading, self._heading = self._heading, ""
                return heading + event.text
            case Replied():
                return self._replied(event)
            case Sampled(error=str(error)):
                self._errors[event.id] = error
                return ""
            case Scored():
                return f"{self._end()}{self._scored(event)}\n"
            case Retrying():
                return f"{self._end()}The {event.role} failed and is tried again in {event.wait:.0f} s.\n"
            case _:
                return ""

    def _prompted(self, event: Prompted) -> str:
        end = self._end()
        if event.action > 0:  # several are written at once; each is shown when it is complete
            return end
        self._growing = (event.turn, event.action)
        pair = f" ({event.chosen} against {event.rejected})" if event.chosen and event.rejected else ""
        self._heading = f"\n{_title(event.name)}{pair}: "
        return end

    def _replied(self, event: Replied) -> str:
        if (event.turn, event.action) != self._growing:
            return f"{self._end()}\n{_title(event.name)}: {event.text}\n"
        heading, self._heading = self._heading, ""
        return f"{heading}{event.text if heading else ''}{self._end()}"

    def _end(self) -> str:
        begun = self._growing is not None and not self._heading
        self._growing, self._heading = None, ""
        return "\n\n" if begun else ""

    def _scored(self, event: Scored) -> str:
        if event.reward is not None:
            return f"Answer {event.id}: reward {event.reward:.4g}"
        error = self._errors.get(event.id) or event.error
        return f"Answer {event.id}: no reward ({error})" if error else f"Answer {event.id} is written"


def _title(name: str) -> str:
    return next((title for kind, title in _TITLES.items() if name.endswith(kind)), name.capitalize())
