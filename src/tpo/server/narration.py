"""A search's progress as text, for people who wait for its answer; chat clients show it as thinking."""

from __future__ import annotations

from tpo.engine.events import Event, Retrying, TextGrew
from tpo.engine.records import Prompted, Replied, Sampled, Scored

# Headings of critic replies; others are headed by their prompt's name.
_TITLES = {"loss": "Critique", "gradient": "Advice"}


class Narrator:
    """Turns events into text that grows."""

    def __init__(self) -> None:
        self._growing: tuple[int, int] | None = None
        self._errors: dict[str, str] = {}

    def narrate(self, event: Event) -> str:
        """The text that an event adds; empty for events that are not shown."""
        match event:
            case Prompted(width=int(width)):
                answers = "one answer" if width == 1 else f"{width} answers"
                doing = "Writing" if event.step == 0 else "Following the advice in"
                return f"{self._end()}Step {event.step}. {doing} {answers} …\n"
            case Prompted():
                return self._prompted(event)
            case TextGrew() if (event.turn, event.action) == self._growing:
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

    def _prompted(self, event: Prompted) -> str:
        end = self._end()
        if event.action > 0:  # several are written at once; each is shown when it is complete
            return end
        self._growing = (event.turn, event.action)
        pair = f" ({event.chosen} against {event.rejected})" if event.chosen and event.rejected else ""
        return f"{end}\n{_title(event.name)}{pair}: "

    def _replied(self, event: Replied) -> str:
        if (event.turn, event.action) == self._growing:
            return self._end()
        return f"{self._end()}\n{_title(event.name)}: {event.text}\n"

    def _end(self) -> str:
        if self._growing is None:
            return ""
        self._growing = None
        return "\n\n"

    def _scored(self, event: Scored) -> str:
        if event.reward is not None:
            return f"Answer {event.id}: reward {event.reward:.4g}"
        error = self._errors.get(event.id) or event.error
        return f"Answer {event.id}: no reward ({error})" if error else f"Answer {event.id} is written"


def _title(name: str) -> str:
    return next((title for kind, title in _TITLES.items() if name.endswith(kind)), name.capitalize())
