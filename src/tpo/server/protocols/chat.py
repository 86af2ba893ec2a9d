"""`/v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from tpo.candidate import Candidate
from tpo.server.deltas import Delta, Finished, Narration, Refusal, Text, Thought, ToolCall
from tpo.server.errors import ApiError, refused
from tpo.server.protocols import sse
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import fitting
from tpo.server.protocols.request import (
    Alignment,
    Count,
    GenerationRequest,
    Headers,
    alignment_of,
    extra_fields,
    sets_search,
)
from tpo.session.response import Completion, TokenUsage

Chunk: TypeAlias = dict[str, Any]


class StreamOptions(msgspec.Struct, frozen=True):
    """Options of a stream."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request that have a meaning here; others reach the policy as they are."""

    model: str
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tpo: Alignment | None = None


# What an aligned answer cannot come with.
_REFUSED = {
    "functions": "is the older form of tools: give tools",
    "function_call": "is the older form of tool_choice: give tool_choice",
    "audio": "asks for speech, and only text is aligned: ask the plain model",
    "prediction": "predicts the answer, and an aligned one is chosen among several: ask the plain model",
}
# Where clients send an answer's reasoning back. It is for people, and no part of the conversation.
_REASONING = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_KNOWN = frozenset(ChatRequest.__struct_fields__) | {"cache_prompt"}


def chat_request(body: Mapping[str, Any], headers: Headers = ()) -> GenerationRequest:
    """Read and check a request for an aligned answer.

    Args:
        body: the JSON object that was sent.
        headers: the request's headers; their options count where the body has none.

    Raises:
        BadRequest: a field does not fit, or is not supported.
    """
    return _generation(_read(body), body, alignment_of(body, headers))


def read_chat(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    """Read a request; see `chat_request`."""
    given = _read(body)
    query = _generation(given, body, alignment_of(body, headers))
    usage = bool(given.stream_options is not None and given.stream_options.include_usage)
    return ParsedRequest([query], ChatRenderer(query.model, with_usage=usage), bool(given.stream))


CHAT = ProtocolSpec(read_chat, "chat/completions")


def _read(body: Mapping[str, Any]) -> ChatRequest:
    for field, why in _REFUSED.items():
        if body.get(field) is not None:
            raise refused(field, why)
    modalities = body.get("modalities")
    if isinstance(modalities, list) and any(kind != "text" for kind in modalities):
        raise refused("modalities", "asks for more than text, and only text is aligned: ask the plain model")
    # OpenAI's clients send null for what was not given; `tpo` is read by `alignment_of`.
    given = fitting({key: v for key, v in body.items() if v is not None and key != "tpo"}, ChatRequest, "")
    if given.max_tokens is not None and given.max_completion_tokens not in (None, given.max_tokens):
        raise refused("max_tokens", "and max_completion_tokens differ: give one of them")
    return given


def _generation(given: ChatRequest, body: Mapping[str, Any], alignment: Alignment) -> GenerationRequest:
    most = given.max_completion_tokens
    return GenerationRequest(
        model=given.model,
        messages=[_without_reasoning(message) for message in given.messages],
        n=given.n or 1,
        temperature=given.temperature,
        top_p=given.top_p,
        seed=given.seed,
        max_tokens=given.max_tokens if most is None else most,
        tools=given.tools or [],
        tool_choice=given.tool_choice,
        response_format=given.response_format,
        extra=extra_fields(body, _KNOWN),
        alignment=alignment,
        narration=alignment.wants("narration"),
        thought=alignment.wants("thought"),
        sets_search=sets_search(body),
    )


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    if _REASONING.isdisjoint(message):
        return message
    return {name: value for name, value in message.items() if name not in _REASONING}


class ChatRenderer:
    """Writes chat completions.

    Narration and thought are both `reasoning_content`, which chat clients show; `reasoning_details` marks each.

    Args:
        model: the model as the client named it.
        with_usage: end a stream with its token counts.
        id: the answer's id; random unless given.
    """

    def __init__(self, model: str, *, with_usage: bool = False, id: str | None = None) -> None:
        self.id = id or f"chatcmpl-{secrets.token_hex(16)}"
        self._model = model
        self._created = int(time.time())
        self._with_usage = with_usage
        self._usage: TokenUsage | None = None
        self._begun: set[int] = set()

    def begin(self) -> bytes:
        """The first chunk, with the role."""
        return self._role(0)

    def delta(self, place: int, delta: Delta) -> bytes:
        """A chunk by which an answer grows."""
        match delta:
            case Narration(text):
                return self._delta(0, reasoning_content=text, reasoning_details=[_summary(text)])
            case Thought(index, text):
                return self._delta(index, reasoning_content=text, reasoning_details=[_thought(text)])
            case Text(index, text, None):
                return self._delta(index, content=text)
            case Text(index, text, logprobs):
                return self._delta(index, logprobs=logprobs, **({"content": text} if text else {}))
            case Refusal(index, text):
                return self._delta(index, refusal=text)
            case ToolCall():
                return self._call(delta)
            case Finished():
                return b""  # the last chunk carries it, see `finish`

    def finish(self, place: int, response: Completion) -> bytes:
        """The chunks that end the answers."""
        self._usage = response.usage
        out = []
        last = len(response.candidates) - 1
        for index in range(last + 1):
            choice = {"index": index, "delta": {}, "finish_reason": response.finish_reason(index)}
            more = {"tpo": response.search} if index == last and response.search is not None else {}
            out.append(sse.data(self._chunk(choice, **more)))
        return b"".join(out)

    def end(self) -> bytes:
        """The token counts, where they are wanted, and the end."""
        usage = sse.data(self._chunk(usage=usage_body(self._usage))) if self._with_usage and self._usage else b""
        return usage + sse.DONE

    def fail(self, error: ApiError) -> bytes:
        """The error in place of a chunk, and the end."""
        return sse.data(error.to_dict()) + sse.DONE

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The completion in one piece."""
        response = responses[0]
        choices = [
            {
                "index": index,
                "message": message_body(candidate, response, narrated=index == 0),
                "logprobs": candidate.logprobs,
                "finish_reason": response.finish_reason(index),
            }
            for index, candidate in enumerate(response.candidates)
        ]
        head = {"id": self.id, "object": "chat.completion", "created": self._created, "model": self._model}
        summary = {} if response.search is None else {"tpo": response.search}
        return {**head, "choices": choices, "usage": usage_body(response.usage), **summary}

    def _role(self, index: int) -> bytes:
        self._begun.add(index)
        return sse.data(self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}}))

    def _delta(self, index: int, logprobs: Any = None, **delta: Any) -> bytes:
        role = b"" if index in self._begun else self._role(index)
        more = {} if logprobs is None else {"logprobs": logprobs}
        return role + sse.data(self._chunk({"index": index, "delta": delta, **more, "finish_reason": None}))

    def _call(self, call: ToolCall) -> bytes:
        function = {"name": call.name, "arguments": ""}
        begun = {**call.call, "index": call.number, "function": function}
        pieces = [self._delta(call.index, tool_calls=[begun])]
        for start in range(0, len(call.arguments), 1024):
            more = {"index": call.number, "function": {"arguments": call.arguments[start : start + 1024]}}
            pieces.append(self._delta(call.index, tool_calls=[more]))
        return b"".join(pieces)

    def _chunk(self, *choices: Chunk, **more: Any) -> Chunk:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        return {**head, "choices": [{"finish_reason": None, **choice} for choice in choices], **more}


def message_body(candidate: Candidate, response: Completion, *, narrated: bool) -> dict[str, Any]:
    """An answer as the assistant's message.

    Args:
        candidate: the answer.
        response: the response that it belongs to.
        narrated: the search's progress belongs to this answer.
    """
    message = dict(candidate.message or {"content": candidate.text})
    message = {"role": "assistant", "content": message.get("content"), "refusal": None, **message}
    narration = response.narration if narrated else ""
    thought = response.thoughts.get(candidate.id, "")
    details = [_summary(narration)] * bool(narration) + [_thought(thought)] * bool(thought)
    return message | ({"reasoning_content": narration + thought, "reasoning_details": details} if details else {})


def usage_body(usage: TokenUsage) -> dict[str, Any]:
    """The tokens of all roles together; those of the answer and of each role apart, under `tpo`."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "tpo": usage.details,
    }


# Clients put the pieces of a stream together by their index, and OpenAI's own fails without one.
def _summary(text: str) -> dict[str, Any]:
    return {"type": "reasoning.summary", "index": 0, "summary": text}


def _thought(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "index": 1, "text": text}
