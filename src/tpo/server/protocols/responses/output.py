"""The output items of a response; each makes the events by which it opens, grows and closes."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

Event: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]


class Item(Protocol):
    """An output item that grows."""

    id: str

    def now(self, status: Status) -> dict[str, Any]:
        """The item so far."""
        ...

    def close(self) -> list[Event]:
        """The events that end its content."""
        ...


class Reasoning:
    """Reasoning before the answer: the search's progress as `summary`, the model's own thought as `content`."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._texts: dict[str, list[str]] = {"summary": [], "content": []}
        self._open: str | None = None

    def now(self, status: Status) -> dict[str, Any]:
        summary, content = (self._part(kind) for kind in ("summary", "content"))
        item: dict[str, Any] = {"id": self.id, "type": "reasoning", "summary": [summary] if summary["text"] else []}
        return {**item, **({"content": [content]} if content["text"] else {}), "status": status}

    def narrate(self, text: str) -> list[Event]:
        """Add to the search's progress."""
        return self._grow("summary", text)

    def think(self, text: str) -> list[Event]:
        """Add to the model's thought."""
        return self._grow("content", text)

    def close(self) -> list[Event]:
        kind, self._open = self._open, None
        if kind is None:
            return []
        part = self._part(kind)
        done = [self._event(kind, "text.done", text=part["text"])]
        return [*done, self._event(kind, "part.done", part=part)] if kind == "summary" else done

    def _grow(self, kind: str, text: str) -> list[Event]:
        events: list[Event] = []
        if kind != self._open:
            events = self.close()
            self._open = kind
            if kind == "summary":
                events.append(self._event(kind, "part.added", part={**self._part(kind), "text": ""}))
        self._texts[kind].append(text)
        return [*events, self._event(kind, "text.delta", delta=text)]

    def _part(self, kind: str) -> dict[str, Any]:
        name = "summary_text" if kind == "summary" else "reasoning_text"
        return {"type": name, "text": "".join(self._texts[kind])}

    def _event(self, kind: str, what: str, **more: Any) -> Event:
        if kind == "summary":
            return {"type": f"response.reasoning_summary_{what}", "item_id": self.id, "summary_index": 0, **more}
        return {"type": f"response.reasoning_{what}", "item_id": self.id, "content_index": 0, **more}


class OutputMessage:
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
        """Add to the text.

        Args:
            kind: which kind of text.
            text: what was added.
            logprobs: those of what was added, where the client wants them.
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
        logprobs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
        word = "text" if self._kind == "output_text" else "refusal"
        events = [
            self._event(f"response.{self._kind}.done", **{word: part[word]}, **logprobs),
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


class OutputCall:
    """A call of a function."""

    def __init__(self, id: str, call_id: str, name: str) -> None:
        self.id = id
        self._call_id = call_id
        self._name = name
        self._arguments: list[str] = []

    def now(self, status: Status) -> dict[str, Any]:
        call = {"call_id": self._call_id, "name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self.id, "type": "function_call", "status": status, **call}

    def grow(self, arguments: str) -> list[Event]:
        """Add to the arguments."""
        self._arguments.append(arguments)
        return [self._event("delta", delta=arguments)]

    def close(self) -> list[Event]:
        return [self._event("done", name=self._name, arguments="".join(self._arguments))]

    def _event(self, kind: str, **more: Any) -> Event:
        return {"type": f"response.function_call_arguments.{kind}", "item_id": self.id, **more}
