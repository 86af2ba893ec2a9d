"""`/v1/completions`: a prompt as a chat of one message, and the answer to it as plain text.

Only for aligned models: what is asked of a plain one goes to its server as it is
(https://platform.openai.com/docs/api-reference/completions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from tpo.server.wire.reading import fitting
from tpo.server.wire.refusal import refused

Prompts: TypeAlias = list[str]

# A request is admitted once, however many prompts it has.
MOST_PROMPTS = 32


class CompletionsRequest(msgspec.Struct, kw_only=True):
    """The fields of a request that have a meaning here; others reach the policy as they are."""

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
    def prompts(self) -> Prompts:
        """The prompts, one or more."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def with_usage(self) -> bool:
        """Whether a stream should end with the tokens that it cost."""
        return bool((self.stream_options or {}).get("include_usage"))


def completions_request(body: Mapping[str, Any]) -> CompletionsRequest:
    """Read and check a request for text.

    Args:
        body: the JSON object that was sent.

    Raises:
        BadRequest: a field does not fit, or asks for what a chat cannot do.
    """
    given = body.get("prompt")
    if isinstance(given, list) and any(isinstance(part, int | list) for part in given):
        raise refused("prompt", "is made of tokens, which an aligned model does not take: send text")
    asked = fitting(body, CompletionsRequest, "")
    if asked.suffix:
        raise refused("suffix", "asks to fill a gap, which an aligned model does not do: ask the plain one")
    if asked.best_of is not None and asked.best_of > (asked.n or 1):
        raise refused("best_of", 'chooses by likelihood: choose by reward, with the model "…:best-of-N"')
    return asked


def chat_bodies(asked: CompletionsRequest, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chat completions that answer a request, one for each prompt.

    Args:
        asked: the request.
        body: the JSON object that it was read from; fields that are unknown here are kept.
    """
    ours = {"prompt", "echo", "logprobs", "suffix", "best_of", "stream_options"}
    fields = {key: value for key, value in body.items() if key not in ours and value is not None}
    if asked.logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": asked.logprobs}
    if asked.stream:
        fields["stream_options"] = {"include_usage": True}
    return [{**fields, "messages": [{"role": "user", "content": prompt}]} for prompt in asked.prompts]


def completion(asked: CompletionsRequest, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers to all prompts in one piece.

    Args:
        asked: the request.
        answers: the chat completion of each prompt.
    """
    choices = []
    for place, answer in enumerate(answers):
        for choice in answer["choices"]:
            text = (choice.get("message") or {}).get("content") or ""
            choices.append(_choice(asked, place, choice, _begun(asked, place) + text))
    first = answers[0]
    told: dict[str, Any] = {
        "id": _id(first),
        "object": "text_completion",
        "created": first.get("created"),
        "model": first.get("model"),
        "choices": choices,
        "usage": summed([answer.get("usage") or {} for answer in answers]),
    }
    if "tpo" in first:  # of one prompt as it is, of several in their order
        told["tpo"] = first["tpo"] if len(answers) == 1 else [answer.get("tpo") for answer in answers]
    return told


class TellingText:
    """Turns the chunks of the chats of all prompts into those of one completion.

    Args:
        asked: the request that is answered.
    """

    def __init__(self, asked: CompletionsRequest) -> None:
        self._asked = asked
        self._begun: set[tuple[int, int]] = set()
        self._usage: dict[int, Mapping[str, Any]] = {}
        self._head: dict[str, Any] | None = None

    def take(self, place: int, chunk: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a chunk brings, if it brings text or the end of one.

        Args:
            place: the prompt's number.
            chunk: a chunk of its chat, or an error in the place of one, which stays as it is.
        """
        if chunk.get("error"):
            return dict(chunk)
        if chunk.get("usage"):
            self._usage[place] = chunk["usage"]
        if self._head is None:
            kept = {key: chunk.get(key) for key in ("created", "model")}
            self._head = {"id": _id(chunk), "object": "text_completion", **kept}
        choices = []
        for choice in chunk.get("choices") or ():
            text = (choice.get("delta") or {}).get("content") or ""
            if text or choice.get("finish_reason"):
                choices.append(_choice(self._asked, place, choice, self._beginning(place, choice) + text))
        return {**self._head, "choices": choices} if choices else None

    def end(self) -> dict[str, Any] | None:
        """The last chunk, with the usage, where that was asked for."""
        if not self._asked.with_usage or self._head is None:
            return None
        return {**self._head, "choices": [], "usage": summed(list(self._usage.values()))}

    def _beginning(self, place: int, choice: Mapping[str, Any]) -> str:
        number = (place, choice.get("index") or 0)
        if number in self._begun:
            return ""
        self._begun.add(number)
        return _begun(self._asked, place)


def summed(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tokens of several answers together: numbers add up, whatever they are called."""
    total: dict[str, Any] = {}
    for usage in usages:
        for key, value in usage.items():
            if isinstance(value, Mapping):
                total[key] = summed([total.get(key) or {}, value])
            elif isinstance(value, int | float) and not isinstance(value, bool):
                total[key] = (total.get(key) or 0) + value
    return total


def _id(answer: Mapping[str, Any]) -> str:
    return "cmpl-" + str(answer.get("id") or "").removeprefix("chatcmpl-")


def _begun(asked: CompletionsRequest, place: int) -> str:
    return asked.prompts[place] if asked.echo else ""


def _choice(asked: CompletionsRequest, place: int, choice: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {
        "index": place * (asked.n or 1) + (choice.get("index") or 0),
        "text": text,
        "logprobs": _logprobs(choice.get("logprobs")),
        "finish_reason": choice.get("finish_reason"),
    }


def _logprobs(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A chat's log-probabilities, as completions have them: a list for each kind of value."""
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
