"""Putting a server's answer together: chunks of a stream, or one piece, become choices with their token counts."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
from httpx_sse import EventSource, SSEError

from tpo.errors import ModelError, ModelUnavailable
from tpo.http.failures import server_message
from tpo.models.protocol import Choice, Receiver


async def read_stream(response: httpx.Response, reply: Reply) -> None:
    """Take a stream of server-sent events to its end."""
    try:
        async for event in EventSource(response).aiter_sse():
            if event.data.strip() == "[DONE]":
                return
            if event.data:
                reply.chunk(decoded(event.data, reply.url))
    except SSEError as error:
        raise ModelError(f"{reply.url} sent a broken event stream: {error}") from error


def decoded(data: str | bytes, url: str) -> dict[str, Any]:
    """A JSON object that a server sent; an error that it reports inside is raised."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = data if isinstance(data, str) else data.decode(errors="replace")
        raise ModelError(f"{url} sent broken JSON ({error}): {shown[:120]!r}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{url} sent JSON that is no object: {str(value)[:120]!r}")
    if value.get("error"):
        raise ModelError(f"{url} failed while answering: {server_message(msgspec.json.encode(value).decode())}")
    return value


class _Growing(msgspec.Struct):
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    refusal: list[str] = []
    logprobs: list[Any] = []
    finish_reason: str | None = None
    tokens: int = 0

    def message(self) -> dict[str, Any] | None:
        """The assistant's message, where it is more than text."""
        if not self.calls and not self.refusal:
            return None
        refusal = "".join(self.refusal)
        content = "".join(self.text) if not refusal else ""
        message: dict[str, Any] = {"role": "assistant", "content": content or None}
        if refusal:
            message["refusal"] = refusal
        if self.calls:
            message["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        return message


class Reply:
    """Puts a call's chunks together and hands on each choice once its text and tokens are known."""

    def __init__(
        self,
        n: int,
        usage_per_choice: bool,
        receiver: Receiver,
        url: str,
    ) -> None:
        self.url = url
        self._alone = n == 1
        self._usage_per_choice = usage_per_choice
        self._receiver = receiver
        self._usage = receiver.usage
        # Tokens of calls before this one (a request that was clipped and sent again shares the usage).
        self._before = receiver.usage.completion_tokens
        self._growing: dict[int, _Growing] = {}
        self._handed_on: set[int] = set()
        self._finished: list[int] = []

    def chunk(self, chunk: dict[str, Any]) -> None:
        """Take one chunk of a stream."""
        for choice in choices_in(chunk):
            self._grow(choice, choice.get("delta"))
        if isinstance(chunk.get("usage"), dict):
            self._count(chunk["usage"])

    def whole(self, completion: dict[str, Any]) -> None:
        """Take a completion that came in one piece."""
        for choice in choices_in(completion):
            self._grow({"finish_reason": "stop", **choice}, choice.get("message"))
        if isinstance(completion.get("usage"), dict):
            self._count(completion["usage"])

    def end(self) -> None:
        """The answer is over: hand on what is complete, and complain of what is not."""
        if not self._growing:
            raise ModelError(f"{self.url} answered without any choice.")
        for index in self._finished:
            self._hand_on(index)
        if any(growing.finish_reason is None for growing in self._growing.values()):
            raise ModelUnavailable(f"{self.url} broke off in the middle of its answer.")

    def _grow(self, choice: dict[str, Any], delta: Any) -> None:
        index = choice.get("index") or 0
        growing = self._growing.setdefault(index, _Growing())
        if isinstance(delta, dict):
            text = _string(delta, "content") or _string(delta, "refusal")
            reasoning = _string(delta, "reasoning_content") or _string(delta, "reasoning")
            called = _call(growing.calls, delta.get("tool_calls"))
            if text or reasoning or called:
                growing.text.append(text)
                growing.reasoning.append(reasoning)
                if delta.get("refusal"):
                    growing.refusal.append(text)
                # A chunk is a token on nearly every server: close enough until the true count comes.
                growing.tokens += 1
                self._usage.completion_tokens += 1
                self._receiver.on_text(index, text)
                if reasoning:
                    self._receiver.on_thought(index, reasoning)
        if isinstance(choice.get("logprobs"), dict):
            growing.logprobs.extend(choice["logprobs"].get("content") or ())
        if choice.get("finish_reason") and growing.finish_reason is None:
            growing.finish_reason = choice["finish_reason"]
            self._finished.append(index)
            if not (self._alone or self._usage_per_choice):
                self._hand_on(index)

    def _count(self, usage: dict[str, Any]) -> None:
        completion = usage.get("completion_tokens") or 0
        if self._usage_per_choice and self._finished:
            last = self._finished[-1]
            self._growing[last].tokens = completion
        elif self._alone and self._growing:
            next(iter(self._growing.values())).tokens = completion
        if self._usage_per_choice or self._alone:
            completion = sum(growing.tokens for growing in self._growing.values())
        self._usage.completion_tokens = self._before + completion
        self._usage.prompt_tokens = usage.get("prompt_tokens") or 0
        self._usage.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        if self._usage_per_choice and self._finished:
            self._hand_on(self._finished[-1])

    def _hand_on(self, index: int) -> None:
        if index in self._handed_on:
            return
        self._handed_on.add(index)
        growing = self._growing[index]
        self._receiver.on_choice(
            Choice(
                index=index,
                text="".join(growing.text),
                reasoning="".join(growing.reasoning),
                finish_reason=growing.finish_reason or "stop",
                tokens=growing.tokens,
                message=growing.message(),
                logprobs={"content": growing.logprobs} if growing.logprobs else None,
            )
        )


def _string(delta: dict[str, Any], key: str) -> str:
    value = delta.get(key)
    return value if isinstance(value, str) else ""


def _call(calls: dict[int, dict[str, Any]], deltas: Any) -> bool:
    """Take pieces of tool calls: a piece with a new index begins a call, and arguments grow piece by piece."""
    if not isinstance(deltas, list):
        return False
    for place, piece in enumerate(piece for piece in deltas if isinstance(piece, dict)):
        index = piece.get("index")
        call = calls.setdefault(index if isinstance(index, int) else place, {"id": "", "type": "function"})
        call.update((key, value) for key, value in piece.items() if key not in ("index", "function") and value)
        function = call.setdefault("function", {"name": "", "arguments": ""})
        for key, value in (piece.get("function") or {}).items():
            # A server may send a name once more with each piece of the arguments.
            grows = key == "arguments" and isinstance(value, str)
            if value:
                function[key] = function.get(key, "") + value if grows else value
    return bool(deltas)


def choices_in(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of a completion or a chunk."""
    choices = value.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
