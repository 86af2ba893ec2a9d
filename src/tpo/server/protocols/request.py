"""A request of any protocol: the one form that everything behind the protocols knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from tpo.decoding import prepared
from tpo.messages import Conversation
from tpo.options import Effort
from tpo.server.errors import refused
from tpo.server.protocols.reading import fitting
from tpo.specs import did_you_mean

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Word: TypeAlias = Annotated[str, Meta(max_length=1024)]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

HEADER = b"x-tpo-"
# Options of what the client sees, which say nothing of a search.
_SHOWN = ("reasoning", "narration", "thought")


class Alignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer is aligned: the field `tpo` of a body, or headers `x-tpo-width` and so on.

    Attributes:
        method: tpo, tpo-fused, revision, best-of-n or sample.
        effort: low, medium, high or max, which decide method, width and depth; `reasoning_effort` does the same.
        policy_effort: the policy's own effort, which it gets as `reasoning_effort`.
        width: N, answers per step.
        depth: D, update steps.
        select: the rule that chooses the answer among the candidates.
        critic_max_tokens: completion tokens per critique.
        quorum: answers of a step that suffice to go on.
        budget_tokens: tokens of all roles, after which the best answer so far is returned.
        budget_seconds: seconds after which the best answer so far is returned.
        reward: the name of a reward that the server's configuration has.
        require: rules that rank before the reward, such as `max-words=80`.
        reasoning: include narration and thought; each has its own switch, which overrides this one.
        narration: include the search's progress as reasoning.
        thought: include the model's own reasoning.
        return_trace: include the whole trace in the answer.
    """

    method: Word | None = None
    width: Annotated[int, Meta(ge=1, le=1024)] | None = None
    depth: Annotated[int, Meta(ge=0, le=100)] | None = None
    select: Word | None = None
    effort: Effort | None = None
    policy_effort: Word | None = None
    critic_max_tokens: Count | None = None
    quorum: Count | None = None
    budget_tokens: Count | None = None
    budget_seconds: Annotated[float, Meta(gt=0)] | None = None
    reward: Word | None = None
    require: Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=32)] | None = None
    reasoning: bool | None = None
    narration: bool | None = None
    thought: bool | None = None
    return_trace: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        values = msgspec.structs.asdict(self)
        return {name: value for name, value in values.items() if value is not None}

    def wants(self, kind: str, default: bool = True) -> bool:
        """Whether the client wants narration or thought.

        Args:
            kind: narration or thought.
            default: where the client does not set it.
        """
        own = getattr(self, kind)
        wanted = self.reasoning if own is None else own
        return default if wanted is None else bool(wanted)


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation to answer, and how.

    Attributes:
        model: the model as the client named it, preset included.
        messages: the conversation.
        n: how many answers.
        temperature: sampling temperature; None for the server's default, like the three that follow.
        top_p: nucleus mass.
        seed: the search's seed.
        max_tokens: completion tokens per answer.
        tools: the tools that an answer may call, as chat completions have them.
        tool_choice: which of them an answer should call, likewise.
        response_format: the form of an answer, likewise.
        extra: further fields of chat completions that reach the policy as they are.
        alignment: how the answer is aligned.
        narration: include the search's progress.
        thought: include the model's own reasoning.
        sets_search: the body sets options of a search, so that a plain model's answer is aligned too.
    """

    model: str
    messages: Conversation
    n: int = 1
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    extra: dict[str, Any] = {}
    alignment: Alignment = Alignment()
    narration: bool = True
    thought: bool = True
    sets_search: bool = False

    @property
    def policy_fields(self) -> dict[str, Any]:
        """The fields of chat completions that the policy gets beside the messages and the sampling settings."""
        form = {"tools": self.tools, "tool_choice": self.tool_choice, "response_format": self.response_format}
        return {**self.extra, **{name: value for name, value in form.items() if value}}


def alignment_of(body: Mapping[str, Any], headers: Headers = ()) -> Alignment:
    """How a request's answer is aligned.

    Args:
        body: the request.
        headers: its headers; they count where the body has none.

    Raises:
        BadRequest: an option is unknown or out of range.
    """
    wanted = body.get("tpo")
    if wanted is not None and not isinstance(wanted, Mapping):
        raise refused("tpo", "is not an object with method, width and so on")
    for name in wanted or {}:
        if name not in Alignment.__struct_fields__:
            raise refused(f"tpo.{name}", _unknown(str(name)))
    return fitting({**_headers(headers), **(wanted or {})}, Alignment, "tpo")


def sets_search(body: Mapping[str, Any]) -> bool:
    """Whether a body that was read sets options of a search, and not only of what the client sees."""
    wanted = body.get("tpo") or {}
    return any(value is not None and name not in _SHOWN for name, value in wanted.items())


def extra_fields(body: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The fields of a request that reach the policy as they are.

    Args:
        body: the request.
        known: fields that have a meaning here.
    """
    known = frozenset(known)
    return {key: value for key, value in body.items() if key not in known and value is not None}


def _unknown(name: str) -> str:
    known = Alignment.__struct_fields__
    return f"is unknown.{did_you_mean(name, known)} The options are {', '.join(known)}"


def _headers(headers: Headers) -> dict[str, Any]:
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
            found[name] = getattr(msgspec.convert({name: text}, prepared(Alignment), strict=False), name)
        except msgspec.ValidationError as error:
            raise refused(f"The header {header}", f"does not fit: {str(error).partition(' - at')[0]}") from error
    return found
