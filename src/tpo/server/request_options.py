"""Makes a search of a request: options within the server's bounds, and a reward with the output format before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.messages import Conversation, conversation, text_of
from tpo.methods import find_method, resolve_method
from tpo.methods.efforts import effort_named
from tpo.methods.presets import Preset
from tpo.methods.selection import BEST
from tpo.options import Effort, ServeOptions, default
from tpo.prompts import PromptSet
from tpo.rewards.require import Requirements
from tpo.rewards.rules import Rule
from tpo.server.errors import BadRequest, refused
from tpo.server.protocols.request import GenerationRequest
from tpo.session.effort import DIALS, with_effort
from tpo.session.output_format import OutputFormat, format_rules
from tpo.session.preference import with_preference
from tpo.session.spec import Options, Spec, specified


class RequestOptions(msgspec.Struct, frozen=True):
    """A request as a search.

    Attributes:
        model: the model as the client named it, preset included.
        messages: the conversation to answer.
        spec: the search.
        n: how many answers.
        reward: the name of the reward; None for the server's own.
        output: the form that an answer must have.
        narration: include the search's progress.
        thought: include the model's own reasoning.
        return_trace: include the whole trace.
    """

    model: str
    messages: Conversation
    spec: Spec
    n: int
    reward: str | None
    output: OutputFormat
    narration: bool
    thought: bool
    return_trace: bool


# The field of chat completions that reasoning models have; readers of other protocols use it too.
EFFORT_FIELD = "reasoning_effort"
# Options of a search that `tpo` may set.
_SEARCH = ("method", "width", "depth", "select", "critic_max_tokens", "quorum", "budget_tokens", "budget_seconds")


def request_options(
    request: GenerationRequest,
    preset: Preset | None,
    usual: Options,
    serving: ServeOptions,
    prompts: PromptSet,
    models: Sequence[str],
) -> RequestOptions:
    """Make a search of a request.

    Args:
        request: the request.
        preset: the preset that the model's name ends in.
        usual: the server's options, which count where the request sets none.
        serving: the bounds of its options.
        prompts: the wording.
        models: the names of the models that answer.

    Raises:
        BadRequest: an option is above its bound.
        InputError: its options do not fit together.
    """
    wanted = request.alignment.given
    chosen = with_dials(usual, preset, serving, models, wanted, _effort_of(request))
    sampling = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed if request.seed is None else request.seed % 2**63,
        "max_tokens": request.max_tokens,
    }
    chosen |= {name: value for name, value in sampling.items() if value is not None}
    fields = {name: value for name, value in request.policy_fields.items() if name != EFFORT_FIELD}
    if (own := wanted.get("policy_effort")) is not None:
        fields[EFFORT_FIELD] = own
    chosen["extra"] = {**usual.get("extra", {}), **fields}
    _bounded(chosen, request.n, serving)
    rules = [*Requirements(wanted["require"]).rules] if wanted.get("require") else []
    if (request.response_format or request.tools or rules) and wanted.get("select", BEST) != BEST:
        raise refused("tpo.select", "chooses by less than the rules: leave it out with tools, formats and require")
    output = OutputFormat(
        [*_format_rules(request.response_format), *rules],
        request.tools if request.tool_choice != "none" else [],
        request.tool_choice,
    )
    one_arm = preset is None or not preset.panel
    return RequestOptions(
        model=request.model,
        messages=conversation(request.messages),
        spec=output.imposed(specified(chosen, prompts, one_arm=one_arm)),  # type: ignore[arg-type]
        n=request.n,
        reward=wanted.get("reward"),
        output=output,
        narration=request.narration,
        thought=request.thought,
        return_trace=wanted.get("return_trace", False),
    )


def with_dials(
    usual: Options,
    preset: Preset | None,
    serving: ServeOptions,
    models: Sequence[str],
    wanted: Mapping[str, Any],
    effort: Effort | None = None,
) -> dict[str, Any]:
    """The server's options with the method and the dials that a request sets.

    Args:
        usual: the server's options.
        preset: the preset that the model's name ends in.
        serving: the bounds of a request's options; a level of effort stays below them.
        models: the names of the models that answer; the arms' of a panel.
        wanted: the request's own options; they count before the preset's, and these before those of an effort.
        effort: the level in a field of the protocol; a preset's and the request's own count before it.
    """
    named: dict[str, Any] = {}
    effort = wanted.get("effort") or (preset.effort if preset is not None else None) or effort
    if preset is not None and preset.method:
        named = {"method": preset.method, "width": preset.width, "depth": preset.depth}
    base = {name: value for name, value in usual.items() if effort is None or name not in DIALS}
    chosen = {**base, **{name: value for name, value in named.items() if value is not None}}
    chosen |= {name: wanted[name] for name in _SEARCH if name in wanted}
    if effort is not None:
        chosen["effort"] = effort
    if (name := wanted.get("method", named.get("method"))) is not None:
        own = resolve_method(with_effort(with_preference(usual), models).get("method", default("method")))
        if name == own.name:
            chosen["method"] = own  # its name alone need not lead to it
        else:
            find_method(str(name))  # a registered one: no client names code to import
            chosen.pop("settings", None)  # those of the server's method
    reward = wanted.get("reward") or with_preference(usual).get("reward")
    filled = with_effort({**chosen, "reward": reward}, models)
    for dial, most in (("width", serving.max_width), ("depth", serving.max_depth)):
        if dial in filled and dial not in chosen:
            filled[dial] = min(filled[dial], most)
    return {**chosen, **{name: filled[name] for name in (*DIALS, "prompts") if name in filled}}


def _effort_of(request: GenerationRequest) -> Effort | None:
    """The effort that a field of the protocol sets."""
    word = request.extra.get(EFFORT_FIELD)
    if word is None:
        return None
    if not isinstance(word, str) or (effort := effort_named(word)) is None:
        known = ", ".join(Effort)
        raise refused(
            EFFORT_FIELD, f"is {word!r}, and known are {known}; tpo.policy_effort reaches the policy as it is"
        )
    return effort


def _format_rules(response_format: Any) -> list[Rule]:
    try:
        return format_rules(response_format)
    except InputError as error:
        raise BadRequest(str(error), str(error).partition(" ")[0]) from None


# The most of each list that a request may have, and of fields.
MESSAGES = 4096
TOOLS = 1024
CALLS = 1024
PARTS = 512
FIELDS = 128
BIASES = 4096
METADATA = 64
_MOST = {"messages": MESSAGES, "input": MESSAGES, "tools": TOOLS, "logit_bias": BIASES, "metadata": METADATA}
# Characters of a string that is no part of the conversation, such as `user`, and the fields with those that are.
LONGEST = 1024
_TEXTS = ("messages", "input", "prompt", "instructions", "system", "suffix")


def check_counts(body: Mapping[str, Any]) -> None:
    """Check how many messages, tools, tool calls and fields a request has, and how long its other strings are.

    Raises:
        BadRequest: there are too many of one, or a string is too long.
    """
    if len(body) > FIELDS:
        raise refused("", f"has {len(body)} fields, and the limit is {FIELDS}")
    for name, value in body.items():
        most = _MOST.get(name)
        if most is not None and isinstance(value, list | dict) and len(value) > most:
            raise refused(name, f"has {len(value)} entries, and the limit is {most}")
        _check_string(name, value)
    metadata = body.get("metadata")
    for name, value in metadata.items() if isinstance(metadata, dict) else ():
        _check_string(f"metadata.{name}", value)
    messages = body.get("messages")
    for position, message in enumerate(messages if isinstance(messages, list) else ()):
        for name, most in (("tool_calls", CALLS), ("content", PARTS)):
            given = message.get(name) if isinstance(message, Mapping) else None
            if isinstance(given, list) and len(given) > most:
                raise refused(f"messages[{position}].{name}", f"has {len(given)} entries, and the limit is {most}")


def _check_string(name: str, value: Any) -> None:
    if len(name) > LONGEST:
        raise refused("", f"has a field whose name has {len(name)} characters, and the limit is {LONGEST}")
    if isinstance(value, str) and len(value) > LONGEST and name not in _TEXTS:
        raise refused(name, f"has {len(value)} characters, and the limit is {LONGEST}")


def check_lengths(messages: Any, most: int) -> None:
    """Check the length of each message.

    Args:
        messages: the conversation, as a client sent it.
        most: characters of one message.

    Raises:
        BadRequest: a message is too long.
    """
    if not isinstance(messages, list):
        return
    for position, message in enumerate(messages):
        size = len(text_of(message)) if isinstance(message, Mapping) else 0
        if size > most:
            where = f"messages[{position}].content"
            raise refused(where, f"has {size} characters, and the limit is {most}")


def check_size(messages: Any, most: int) -> int:
    """Check the size of a conversation that a search is made of: it is hashed, and sent with each call.

    Args:
        messages: the conversation.
        most: bytes of it as JSON, images included.

    Returns:
        its size.

    Raises:
        BadRequest: it is larger.
    """
    size = len(msgspec.json.encode(messages))
    if size > most:
        raise refused("messages", f"have {size} bytes, and the limit of a search is {most}: the plain model takes more")
    return size


def _bounded(chosen: dict[str, Any], n: int, serving: ServeOptions) -> None:
    method = resolve_method(chosen.get("method", default("method")))
    if n > 1 and not method.has_width:
        raise refused("n", f"is {n}, and {method.name} draws one answer: ask for best-of-n, or the plain model")
    if n > serving.max_width:
        raise refused("n", f"is {n}, and here it goes up to {serving.max_width}")
    # The n best are chosen among at least n.
    chosen["width"] = max(chosen.get("width", default("width")), n) if method.has_width else 1
    dials = (("width", method.has_width, serving.max_width), ("depth", method.has_depth, serving.max_depth))
    for name, has, most in dials:
        value = chosen.get(name, default(name))
        if has and value > most:
            raise refused(f"tpo.{name}", f"is {value}, and here it goes up to {most}")
    if serving.max_answer is not None and chosen.get("max_tokens", 0) > serving.max_answer:
        raise refused("max_tokens", f"is {chosen['max_tokens']}, and here it goes up to {serving.max_answer}")
    # A quorum that fits the server's width need not fit a smaller one.
    if chosen.get("quorum") is not None:
        chosen["quorum"] = min(chosen["quorum"], chosen["width"])
