"""Putting a reply together: the pieces of a stream, or one piece, become choices with their token counts."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable
from itertools import accumulate
from typing import Any

import msgspec

from tpo.errors import ModelError, ModelUnavailable
from tpo.http.events import server_events
from tpo.http.failures import reported
from tpo.http.redaction import Secrets
from tpo.models.chunk import CallPiece, Chunk, Counts, Piece, decoded, plain_chunk, read_chunk
from tpo.models.protocol import Choice, Receiver

# Characters of a token, for servers that do not count: right for English within a third.
_TOKEN_CHARACTERS = 4
# A choice that was sent in fewer chunks than this part of its estimated tokens came in chunks of many tokens.
_TOO_FEW = 1 / 4


class _Call(msgspec.Struct):
    """A tool call that grows."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    more: dict[str, Any] = {}

    def begins_another(self, piece: CallPiece) -> bool:
        """Whether a piece at the same place belongs to the next call: some servers give all calls the same place."""
        if not piece.name:
            return False
        if piece.id and self.id:
            return piece.id != self.id
        return bool(piece.arguments.strip()) and _complete(self.arguments)

    def grow(self, piece: CallPiece) -> None:
        self.id = self.id or piece.id
        self.name = piece.name or self.name  # a server may repeat the name with each piece of the arguments
        self.arguments = self.arguments + piece.arguments
        self.more |= piece.more

    def finished(self, taken: set[str]) -> dict[str, Any]:
        """The call as clients expect it."""
        if not self.id or self.id in taken:
            self.id = f"call_{secrets.token_hex(12)}"
        taken.add(self.id)
        call: dict[str, Any] = {"id": self.id, "type": "function", **{k: v for k, v in self.more.items() if v}}
        if self.name or "custom" not in call:
            call["function"] = {"name": self.name, "arguments": self.arguments or "{}"}
        return call


class _Growing(msgspec.Struct):
    """A choice that grows."""

    text: list[str] = []
    reasoning: list[str] = []
    refusal: list[str] = []
    calls: list[_Call] = []
    places: dict[int, _Call] = {}
    logprobs: list[dict[str, Any]] = []
    finish_reason: str | None = None
    tokens: int = 0

    @property
    def estimate(self) -> int:
        """Tokens of all that was generated, by its length."""
        calls = [text for call in self.calls for text in (call.name, call.arguments)]
        return -(-sum(map(len, [*self.text, *self.reasoning, *self.refusal, *calls])) // _TOKEN_CHARACTERS)

    def call(self, piece: CallPiece) -> None:
        """Take a piece of a tool call; one without a place belongs to the last call."""
        call = self.calls[-1] if self.calls else None
        if piece.index is not None:
            call = self.places.get(piece.index)
        if call is None or call.begins_another(piece):
            call = _Call()
            self.calls.append(call)
        if piece.index is not None:
            self.places[piece.index] = call
        call.grow(piece)

    def finished(self, index: int, hidden: Secrets) -> Choice:
        """The choice, now that it is complete."""
        text, reasoning = hidden.out_of_text("".join(self.text)), hidden.out_of_text("".join(self.reasoning))
        refusal = hidden.out_of_text("".join(self.refusal))
        taken: set[str] = set()
        calls = [call.finished(taken) for call in self.calls if call.name or call.more.get("custom")]
        finish = self.finish_reason or "stop"
        if calls and finish == "function_call":
            finish = "tool_calls"
        message: dict[str, Any] | None = None
        if calls or refusal:
            message = {"role": "assistant", "content": text or None}
            message |= {"refusal": refusal} if refusal else {}
            message |= {"tool_calls": calls} if calls else {}
        text = text or refusal
        return Choice(
            index=index,
            text=text,
            reasoning=reasoning,
            finish_reason=finish,
            tokens=self.tokens,
            message=message,
            logprobs={"content": self.logprobs} if self.logprobs else None,
            failure=None if calls else _failure(text, reasoning, finish),
        )


class ReplyBuilder:
    """Puts a call's pieces together and hands on each choice once its text and tokens are known.

    Args:
        n: how many choices were requested.
        usage_per_choice: the server reports usage after each choice of a stream.
        receiver: takes the choices.
        url: where the reply comes from, safe to show.
        hidden: what must not be written down.
    """

    def __init__(self, n: int, usage_per_choice: bool, receiver: Receiver, url: str, hidden: Secrets) -> None:
        self.url = url
        self._alone = n == 1
        self._usage_per_choice = usage_per_choice
        self._receiver = receiver
        self._hidden = hidden
        self._usage = receiver.usage
        # Tokens of calls before this one: a request that was changed and sent again shares the usage.
        self._before = receiver.usage.completion_tokens
        self._growing: dict[int, _Growing] = {}
        self._handed_on: set[int] = set()
        self._finished: list[int] = []
        self._complete = False
        # The server has reported tokens of this reply.
        self._counted = False
        self._only: int | None = None

    async def stream(self, pieces: AsyncIterable[bytes]) -> None:
        """Take a stream of server-sent events to its end."""
        async for event in server_events(pieces):
            data = event.data.strip()
            if data == b"[DONE]":
                self._complete = True
                return
            if not data:
                continue
            data = self._hidden.out_of_body(data)
            chunk = plain_chunk(data) if event.name != "error" else None
            if chunk is None:
                value = decoded(data, self.url)
                if event.name == "error" and (error := reported({"error": value or event.name}, self.url)):
                    raise error
                chunk = read_chunk(value, self.url, whole=False)
            self._take(chunk)

    def whole(self, body: bytes) -> None:
        """Take a reply that came in one piece."""
        self._complete = True
        chunk = read_chunk(decoded(body, self.url), self.url, whole=True)
        for piece in chunk.pieces:
            self._grow(piece)
        if chunk.usage is not None:
            self._count_prompt(chunk.usage)
        self._share(chunk.usage.completion_tokens if chunk.usage is not None else None)

    def end(self) -> None:
        """The reply is over: hand on what is complete, and raise where something is missing.

        Raises:
            ModelUnavailable: the reply broke off.
            ModelError: there is no choice in it.
        """
        if not self._growing:
            if not self._complete:
                raise ModelUnavailable(f"{self.url} broke off before its answer began.")
            raise ModelError(f"{self.url} answered without any choice.")
        for index, growing in self._growing.items():
            if growing.finish_reason is None and self._complete:
                self._finished.append(index)
                growing.finish_reason = "tool_calls" if growing.calls else "stop"
        for index in self._finished:
            self._hand_on(index)
        if any(growing.finish_reason is None for growing in self._growing.values()):
            raise ModelUnavailable(f"{self.url} broke off in the middle of its answer.")

    def _take(self, chunk: Chunk) -> None:
        if any(piece.text or piece.reasoning or piece.calls for piece in chunk.pieces):
            self._complete = False  # some servers report usage while the answer goes on
        for piece in chunk.pieces:
            self._grow(piece)
        if chunk.usage is not None:
            self._count(chunk.usage)
            if self._growing and not chunk.pieces and not self._usage_per_choice:
                self._complete = True  # usage on its own comes after everything else

    def _grow(self, piece: Piece) -> None:
        index = piece.index or 0
        if self._alone:
            # One choice was requested, whatever its index; a second one would mix with it.
            if self._only is None:
                self._only = piece.index
            elif piece.index not in (None, self._only):
                return
            index = 0
        growing = self._growing.get(index)
        if growing is None:
            growing = self._growing[index] = _Growing()
        text = piece.text or piece.refusal
        if text or piece.reasoning or piece.calls:
            if piece.text:
                growing.text.append(piece.text)
            elif piece.refusal:
                growing.refusal.append(piece.refusal)
            growing.reasoning.append(piece.reasoning)
            for call in piece.calls:
                growing.call(call)
            # A chunk is a token on nearly every server: close enough until the true count comes.
            growing.tokens += 1
            self._usage.completion_tokens += 1
            self._receiver.on_text(index, text)
            if piece.reasoning:
                self._receiver.on_thought(index, piece.reasoning)
        growing.logprobs.extend(piece.logprobs)
        if piece.finish_reason is not None and growing.finish_reason is None:
            growing.finish_reason = piece.finish_reason
            self._finished.append(index)
            if not (self._alone or self._usage_per_choice or self._complete):  # a whole reply is counted first
                self._hand_on(index)

    def _count(self, usage: Counts) -> None:
        completion = usage.completion_tokens or None  # a server that does not count reports none
        if completion is not None:
            self._counted = True
            if self._usage_per_choice and self._finished:
                self._growing[self._finished[-1]].tokens = completion
            elif self._alone and self._growing:
                self._growing[0].tokens = completion
            if self._usage_per_choice or self._alone:
                completion = sum(growing.tokens for growing in self._growing.values())
            self._usage.completion_tokens = self._before + completion
        self._count_prompt(usage)
        if self._usage_per_choice and self._finished:
            self._hand_on(self._finished[-1])

    def _count_prompt(self, usage: Counts) -> None:
        self._usage.prompt_tokens = usage.prompt_tokens or self._usage.prompt_tokens
        self._usage.cached_tokens = usage.cached_tokens or 0

    def _share(self, reported: int | None) -> None:
        """Count the tokens of a whole reply's choices by their lengths, which add up to what the server reports."""
        estimates = [growing.estimate for growing in self._growing.values()]
        self._counted = True
        total = reported or sum(estimates)  # a server that does not count reports none
        weights = estimates if any(estimates) else [1] * len(estimates)
        before = 0
        for growing, upto in zip(self._growing.values(), accumulate(weights), strict=True):
            growing.tokens = total * upto // sum(weights) - before
            before += growing.tokens
        self._usage.completion_tokens = self._before + total

    def _hand_on(self, index: int) -> None:
        if index in self._handed_on:
            return
        self._handed_on.add(index)
        growing = self._growing[index]
        if not self._counted and growing.tokens < _TOO_FEW * growing.estimate:
            self._usage.completion_tokens += growing.estimate - growing.tokens
            growing.tokens = growing.estimate
        self._receiver.on_choice(growing.finished(index, self._hidden))


def _failure(text: str, reasoning: str, finish: str) -> str | None:
    """Why a reply without a tool call is no answer; None where it is one."""
    if finish == "content_filter":
        return "the server's content filter withheld the reply"
    if text.strip():
        return None
    if reasoning.strip() and finish == "length":
        return "the reply is reasoning only: the token limit was reached before the answer began; raise max-tokens"
    if reasoning.strip():
        return "the reply is reasoning only, without an answer"
    if finish == "length":
        return "the reply is empty, and the token limit was reached; raise max-tokens"
    return f"the reply is empty (finish reason {finish[:40]!r})"


def _complete(arguments: str) -> bool:
    """Whether arguments are complete JSON, so that nothing can follow."""
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False
    return True
