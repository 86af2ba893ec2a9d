"""What a response consists of: output items, each of which tells how it opens, grows and closes."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

Event: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class Item(Protocol):
    """An output item that grows."""

    id: str

    def now(self, status: Status) -> dict[str, Any]:
        """The item as it is at this moment."""
        ...

    def close(self) -> list[Event]:
        """Say that no more of its content will come."""
        ...


class Reasoning:
    """What was thought before the answer, or how the search for it went."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._text: list[str] = []

    def now(self, status: Status) -> dict[str, Any]:
        summary = [self._part()] if self._text else []
        return {"id": self.id, "type": "reasoning", "summary": summary, "status": status}

    def grow(self, text: str) -> list[Event]:
        """Take more of the text."""
        begun = bool(self._text)
        events = [] if begun else [self._event("part.added", part={"type": "summary_text", "text": ""})]
        self._text.append(text)
        return [*events, self._event("text.delta", delta=text)]

    def close(self) -> list[Event]:
        part = self._part()
        return [self._event("text.done", text=part["text"]), self._event("part.done", part=part)]

    def _part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": "".join(self._text)}

    def _event(self, kind: str, **more: Any) -> Event:
        return {"type": f"response.reasoning_summary_{kind}", "item_id": self.id, "summary_index": 0, **more}


class Said:
    """The answer's text, or a refusal, or one after the other."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._done: list[dict[str, Any]] = []
        self._kind = ""
        self._text: list[str] = []
        self._logprobs: list[Any] = []

    def now(self, status: Status) -> dict[str, Any]:
        content = [*self._done, self._part()] if self._kind else list(self._done)
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def grow(self, kind: Literal["output_text", "refusal"], text: str, logprobs: list[Any]) -> list[Event]:
        """Take more of the text.

        Args:
            kind: which kind of text.
            text: what was added.
            logprobs: those of what was added, where they were asked for.
        """
        events: list[Event] = []
        if kind != self._kind:
            events = self.close()
            self._kind = kind
            events.append(self._event("response.content_part.added", part=self._part()))
        self._text.append(text)
        self._logprobs += logprobs
        more = {"logprobs": logprobs} if kind == "output_text" else {}
        return [*events, self._event(f"response.{kind}.delta", delta=text, **more)]

    def close(self) -> list[Event]:
        if not self._kind:
            return []
        part = self._part()
        told = {key: value for key, value in part.items() if key in ("logprobs",)}
        word = "text" if self._kind == "output_text" else "refusal"
        events = [
            self._event(f"response.{self._kind}.done", **{word: part[word]}, **told),
            self._event("response.content_part.done", part=part),
        ]
        self._done.append(part)
        self._kind, self._text, self._logprobs = "", [], []
        return events

    def _part(self) -> dict[str, Any]:
        text = "".join(self._text)
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self._logprobs)}

    def _event(self, kind: str, **more: Any) -> Event:
        return {"type": kind, "item_id": self.id, "content_index": len(self._done), **more}


class Call:
    """A call of a function."""

    def __init__(self, id: str, call_id: str, name: str) -> None:
        self.id = id
        self._call_id = call_id
        self._name = name
        self._arguments: list[str] = []

    def now(self, status: Status) -> dict[str, Any]:
        said = {"call_id": self._call_id, "name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self.id, "type": "function_call", "status": status, **said}

    def grow(self, arguments: str) -> list[Event]:
        """Take more of the arguments."""
        self._arguments.append(arguments)
        return [self._event("delta", delta=arguments)]

    def close(self) -> list[Event]:
        return [self._event("done", name=self._name, arguments="".join(self._arguments))]

    def _event(self, kind: str, **more: Any) -> Event:
        return {"type": f"response.function_call_arguments.{kind}", "item_id": self.id, **more}
