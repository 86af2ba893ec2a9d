"""How a search goes, in words for whoever waits for its answer; chat clients show it as thinking."""

from __future__ import annotations

from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Prompted, Replied, Sampled, Scored

# What the replies to a method's questions are called; others are told by their prompt's name.
_TITLES = {"loss": "Critique", "gradient": "Advice"}


class Narrator:
    """Turns events into text that grows."""

    def __init__(self) -> None:
        self._telling: tuple[int, int] | None = None
        self._errors: dict[str, str] = {}

    def tell(self, event: Event) -> str:
        """What an event adds to the text; nothing where it is not worth a word."""
        match event:
            case Prompted(width=int(width)):
                answers = "one answer" if width == 1 else f"{width} answers"
                doing = "Writing" if event.step == 0 else "Following the advice in"
                return f"{self._end()}Step {event.step}. {doing} {answers} …\n"
            case Prompted():
                return self._ask(event)
            case TextGrew() if (event.turn, event.action) == self._telling:
                return event.text
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

    def _ask(self, event: Prompted) -> str:
        told = self._end()
        if event.action > 0:  # several are written at once, and told when they are there
            return told
        self._telling = (event.turn, event.action)
        pair = f" ({event.chosen} against {event.rejected})" if event.chosen and event.rejected else ""
        return f"{told}\n{_title(event.name)}{pair}: "

    def _replied(self, event: Replied) -> str:
        if (event.turn, event.action) == self._telling:
            return self._end()
        return f"{self._end()}\n{_title(event.name)}: {event.text}\n"

    def _end(self) -> str:
        if self._telling is None:
            return ""
        self._telling = None
        return "\n\n"

    def _scored(self, event: Scored) -> str:
        if event.reward is not None:
            return f"Answer {event.id}: reward {event.reward:.4g}"
        error = self._errors.get(event.id) or event.error
        return f"Answer {event.id}: no reward ({error})" if error else f"Answer {event.id} is written"


def _title(name: str) -> str:
    return next((title for kind, title in _TITLES.items() if name.endswith(kind)), name.capitalize())
