"""`/v1/chat/completions`: what a request may hold, and how its alignment is asked for.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from tpo.server.wire.reading import fitting
from tpo.server.wire.refusal import refused

Count: TypeAlias = Annotated[int, Meta(ge=1)]

HEADER = b"x-tpo-"


class Alignment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How an answer is to be aligned: the field `tpo` of a body, or headers `x-tpo-width` and so on.

    Attributes:
        method: tpo, tpo-fused, revision, best-of-n or sample.
        width: N, answers per step.
        depth: D, update steps.
        critic_max_tokens: completion tokens per critique.
        quorum: answers of a step that suffice to go on.
        budget_tokens: tokens of all roles, after which the best so far counts.
        budget_seconds: seconds after which the best so far counts.
        reward: the name of a reward that the server's configuration has.
        require: rules that rank before the reward, such as `max-words=80`.
        reasoning: tell in a stream how the search goes, as reasoning; true unless given.
        return_trace: have the whole trace in the answer.
    """

    method: str | None = None
    width: Annotated[int, Meta(ge=1, le=1024)] | None = None
    depth: Annotated[int, Meta(ge=0, le=100)] | None = None
    critic_max_tokens: Count | None = None
    quorum: Count | None = None
    budget_tokens: Count | None = None
    budget_seconds: Annotated[float, Meta(gt=0)] | None = None
    reward: str | None = None
    require: Annotated[list[str], Meta(max_length=32)] | None = None
    reasoning: bool | None = None
    return_trace: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What was asked for, by name."""
        values = msgspec.structs.asdict(self)
        return {name: value for name, value in values.items() if value is not None}


class StreamOptions(msgspec.Struct):
    """How a stream is to be."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, kw_only=True):
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

    @property
    def with_usage(self) -> bool:
        """Whether a stream should end with the tokens that it cost."""
        return bool(self.stream_options is not None and self.stream_options.include_usage)

    @property
    def most_tokens(self) -> int | None:
        """Completion tokens of the answer."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


# What an aligned answer cannot come with.
_REFUSED = {
    "functions": "is the older form of tools: give tools",
    "function_call": "is the older form of tool_choice: give tool_choice",
    "audio": "asks for speech, and only text is aligned: ask the plain model",
    "prediction": "foretells the answer, and an aligned one is chosen among several: ask the plain model",
}
_FIELDS = frozenset(ChatRequest.__struct_fields__) | {"cache_prompt", "user"}


def chat_request(body: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()) -> ChatRequest:
    """Read and check a request for an aligned answer.

    Args:
        body: the JSON object that was sent.
        headers: those of the request; what they say of the alignment counts where the body says nothing.

    Raises:
        BadRequest: a field does not fit, or asks for what is not here.
    """
    for field, why in _REFUSED.items():
        if body.get(field) is not None:
            raise refused(field, why)
    spoken = body.get("modalities")
    if isinstance(spoken, list) and any(kind != "text" for kind in spoken):
        raise refused("modalities", "asks for more than text, and only text is aligned: ask the plain model")
    wanted = body.get("tpo")
    if wanted is not None and not isinstance(wanted, Mapping):
        raise refused("tpo", "is no object with method, width and so on")
    _known(wanted or {})
    # OpenAI's clients send null for what was not given.
    given = {key: value for key, value in body.items() if value is not None}
    asked = fitting({**given, "tpo": {**_headers(headers), **(wanted or {})}}, ChatRequest, "")
    if asked.max_tokens is not None and asked.max_completion_tokens not in (None, asked.max_tokens):
        raise refused("max_tokens", "and max_completion_tokens differ: give one of them")
    return asked


def extra_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that reach the policy as they are."""
    given = {key: value for key, value in body.items() if key not in _FIELDS and value is not None}
    # These are read here, and meant for the policy too.
    kept = ("tools", "tool_choice", "response_format", "user")
    return given | {key: body[key] for key in kept if body.get(key) is not None}


def _known(wanted: Mapping[str, Any]) -> None:
    for name in wanted:
        if name not in Alignment.__struct_fields__:
            raise refused(f"tpo.{name}", _unknown(name))


def _unknown(name: str) -> str:
    near = get_close_matches(name, Alignment.__struct_fields__, n=1)
    known = ", ".join(Alignment.__struct_fields__)
    return f"is unknown{f': did you mean {near[0]}?' if near else ''} Known are {known}"


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for raw, value in headers:
        if not raw.startswith(HEADER):
            continue
        header, text = raw.decode("latin-1"), value.decode("latin-1").strip()
        name = header.removeprefix(HEADER.decode()).replace("-", "_")
        if name not in Alignment.__struct_fields__:
            raise refused(f"The header {header}", _unknown(name))
        if name == "require":
            found.setdefault(name, []).append(text)
            continue
        try:
            found[name] = getattr(msgspec.convert({name: text}, Alignment, strict=False), name)
        except msgspec.ValidationError as error:
            raise refused(f"The header {header}", f"does not fit: {str(error).partition(' - at')[0]}") from error
    return found
