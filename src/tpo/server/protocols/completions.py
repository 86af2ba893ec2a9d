"""`/v1/completions`: each prompt is a conversation of one message, and its answer is plain text.

Only for aligned models: a plain model's request goes to its server as it is
(https://platform.openai.com/docs/api-reference/completions).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tpo.server.deltas import Delta, Refusal, Text
from tpo.server.errors import ApiError, refused
from tpo.server.protocols import sse
from tpo.server.protocols.chat import chat_request, usage_body
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import fitting
from tpo.server.protocols.request import Headers
from tpo.session.response import Completion, TokenUsage, total

# A request is admitted once, however many prompts it has.
MOST_PROMPTS = 32


class CompletionsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request that have a meaning here; others are those of chat completions."""

    model: str
    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=MOST_PROMPTS)]
    echo: bool | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    suffix: str | None = None
    best_of: int | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts, one or more."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


def read_completions(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    """Read and check a request.

    Args:
        body: the JSON object that was sent.
        headers: the request's headers.

    Raises:
        BadRequest: a field does not fit, or needs what a chat cannot do.
    """
    given = body.get("prompt")
    if isinstance(given, list) and any(isinstance(part, int | list) for part in given):
        raise refused("prompt", "is made of tokens, which an aligned model does not take: send text")
    request = fitting(body, CompletionsRequest, "")
    if request.suffix:
        raise refused("suffix", "asks to fill a gap, which an aligned model does not do: ask the plain one")
    if request.best_of is not None and request.best_of > (request.n or 1):
        raise refused("best_of", 'chooses by likelihood: choose by reward, with the model "…:best-of-N"')
    own = {"prompt", "echo", "logprobs", "suffix", "best_of"}
    fields = {key: value for key, value in body.items() if key not in own and value is not None}
    if request.logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": request.logprobs}
    queries = [
        chat_request({**fields, "messages": [{"role": "user", "content": prompt}]}, headers)
        for prompt in request.prompts
    ]
    return ParsedRequest(queries, CompletionsRenderer(request), bool(request.stream))


COMPLETIONS = ProtocolSpec(read_completions, "completions")


class CompletionsRenderer:
    """Writes completions. They have no place for reasoning.

    Args:
        request: the request that is answered.
        id: the answer's id; random unless given.
    """

    def __init__(self, request: CompletionsRequest, id: str | None = None) -> None:
        self.id = id or f"cmpl-{secrets.token_hex(16)}"
        self._request = request
        self._created = int(time.time())
        self._begun: set[int] = set()
        self._usages: list[TokenUsage] = []

    def begin(self) -> bytes:
        """Nothing: the first chunk is the first text."""
        return b""

    def delta(self, place: int, delta: Delta) -> bytes:
        """A chunk of text."""
        match delta:
            case Text(index, text, logprobs) if text or logprobs:
                return self._chunk([self._choice(place, index, text, logprobs, None)])
            case Refusal(index, text):
                return self._chunk([self._choice(place, index, text, None, None)])
            case _:
                return b""

    def finish(self, place: int, response: Completion) -> bytes:
        """The chunks that end a prompt's answers."""
        self._usages.append(response.usage)
        ends = [
            self._choice(place, index, "", None, response.finish_reason(index))
            for index in range(len(response.candidates))
        ]
        search = {} if response.search is None else {"tpo": response.search}
        return b"".join([*(self._chunk([end]) for end in ends[:-1]), self._chunk(ends[-1:], **search)])

    def end(self) -> bytes:
        """The token counts, where they are wanted, and the end."""
        wanted = (self._request.stream_options or {}).get("include_usage")
        return (self._chunk([], usage=usage_body(total(self._usages))) if wanted else b"") + sse.DONE

    def fail(self, error: ApiError) -> bytes:
        """The error in place of a chunk, and the end."""
        return sse.data(error.to_dict()) + sse.DONE

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The answers to all prompts in one piece."""
        choices = [
            self._choice(place, index, candidate.text, candidate.logprobs, response.finish_reason(index))
            for place, response in enumerate(responses)
            for index, candidate in enumerate(response.candidates)
        ]
        usage = usage_body(total(response.usage for response in responses))
        body = {**self._head, "choices": choices, "usage": usage}
        searches = [response.search for response in responses]
        if searches[0] is not None:  # of one prompt as it is, of several in their order
            body["tpo"] = searches[0] if len(searches) == 1 else searches
        return body

    @property
    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self._created,
            "model": self._request.model,
        }

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return sse.data({**self._head, "choices": choices, **more})

    def _choice(
        self, place: int, index: int, text: str, logprobs: Mapping[str, Any] | None, finish: str | None
    ) -> dict[str, Any]:
        number = place * (self._request.n or 1) + index
        first = number not in self._begun
        self._begun.add(number)
        return {
            "index": number,
            "text": (self._request.prompts[place] if first and self._request.echo else "") + text,
            "logprobs": _logprobs(logprobs),
            "finish_reason": finish,
        }


def _logprobs(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A chat's log-probabilities in the form of completions: a list for each kind of value."""
    tokens = (given or {}).get("content")
    if not tokens:
        return None
    tops = [{top["token"]: top["logprob"] for top in token.get("top_logprobs") or ()} for token in tokens]
    offsets, end = [], 0
    for token in tokens:
        offsets.append(end)
        end += len(token["token"])
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": tops,
        "text_offset": offsets,
    }
