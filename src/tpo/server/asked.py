"""From a request to a search: what is asked for, by whom it is answered, and what steers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tpo.engine.events import Event
from tpo.errors import InputError
from tpo.messages import Conversation, conversation, text_of
from tpo.methods import find_method, resolve_method
from tpo.methods.presets import Preset
from tpo.prompts import PromptSet
from tpo.rewards.gate import gated
from tpo.rewards.protocol import PoolReward, Reward
from tpo.rewards.require import Requirements
from tpo.rewards.rules import Rule
from tpo.server.keeping import Tools, format_rules
from tpo.server.wire.chat import ChatRequest, extra_of
from tpo.server.wire.refusal import refused
from tpo.session.spec import Options, Spec, specified


class Bounds(msgspec.Struct, frozen=True):
    """How much a client may ask for.

    Attributes:
        width: N.
        depth: D.
        max_tokens: completion tokens per answer; None for any number.
        seconds: seconds from when a request came, after which the best so far is its answer; None for no end.
        message: characters of one message, whoever answers it; None for any number.
    """

    width: int = 32
    depth: int = 8
    max_tokens: int | None = None
    seconds: float | None = 300.0
    message: int | None = 1_000_000


class Asked(msgspec.Struct, frozen=True):
    """What a client wants.

    Attributes:
        model: the model as the client named it, preset included.
        messages: the conversation to answer.
        spec: the search.
        n: how many answers.
        reward: the name of the reward; None for the server's own.
        rules: what an answer's form has to keep.
        tools: the tools that an answer may call.
        tool_choice: which of them it should.
        stream: it comes as a stream.
        with_usage: which ends with the tokens that it cost.
        reasoning: and tells how the search goes.
        return_trace: the answer comes with the whole trace.
    """

    model: str
    messages: Conversation
    spec: Spec
    n: int
    reward: str | None
    rules: list[Rule]
    tools: list[dict[str, Any]]
    tool_choice: Any
    stream: bool
    with_usage: bool
    reasoning: bool
    return_trace: bool


def asked_for(
    request: ChatRequest,
    body: Mapping[str, Any],
    preset: Preset | None,
    usual: Options,
    bounds: Bounds,
    prompts: PromptSet,
) -> Asked:
    """Find out what a client wants.

    Args:
        request: what was sent, as it was read.
        body: and as it came.
        preset: the preset that the model's name ends in.
        usual: what counts where nothing else was said.
        bounds: what may be asked for.
        prompts: the wording.

    Raises:
        BadRequest: it is more than may be asked for.
        InputError: it does not fit together.
    """
    wanted = request.tpo.given if request.tpo is not None else {}
    named = {"method": preset.method, "width": preset.width, "depth": preset.depth} if preset is not None else {}
    chosen = {**usual, **{name: value for name, value in named.items() if value is not None}}
    searching = ("method", "width", "depth", "critic_max_tokens", "quorum", "budget_tokens", "budget_seconds")
    chosen |= {name: wanted[name] for name in searching if name in wanted}
    if chosen.get("method") != usual.get("method"):
        find_method(str(chosen["method"]))  # a registered one: no client names code to import
        chosen.pop("settings", None)  # those of the server's method
    sampling = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed if request.seed is None else request.seed % 2**63,
        "max_tokens": request.most_tokens,
    }
    chosen |= {name: value for name, value in sampling.items() if value is not None}
    chosen["extra"] = {**usual.get("extra", {}), **extra_of(body)}
    n = request.n or 1
    _bounded(chosen, n, bounds)
    rules = [*Requirements(wanted["require"]).rules] if wanted.get("require") else []
    return Asked(
        model=request.model,
        messages=conversation(request.messages),
        spec=specified(chosen, prompts),  # type: ignore[arg-type]
        n=n,
        reward=wanted.get("reward"),
        rules=[*format_rules(request.response_format), *rules],
        tools=request.tools if request.tools and request.tool_choice != "none" else [],
        tool_choice=request.tool_choice,
        stream=bool(request.stream),
        with_usage=request.with_usage,
        reasoning=wanted.get("reasoning", True),
        return_trace=wanted.get("return_trace", False),
    )


def see_sizes(body: Mapping[str, Any], bounds: Bounds) -> None:
    """See that no message is too long.

    Raises:
        BadRequest: one is.
    """
    messages = body.get("messages")
    if bounds.message is None or not isinstance(messages, list):
        return
    for position, message in enumerate(messages):
        size = len(text_of(message)) if isinstance(message, Mapping) else 0
        if size > bounds.message:
            where = f"messages[{position}].content"
            raise refused(where, f"has {size} characters, and here a message has up to {bounds.message}")


def _bounded(chosen: dict[str, Any], n: int, bounds: Bounds) -> None:
    method = resolve_method(chosen.get("method", "tpo"))
    if n > 1 and not method.has_width:
        raise refused("n", f"is {n}, and {method.name} draws one answer: ask for best-of-n, or the plain model")
    # The n best are chosen among at least n.
    chosen["width"] = max(chosen.get("width", 5), n) if method.has_width else 1
    for name, has, most in (("width", method.has_width, bounds.width), ("depth", method.has_depth, bounds.depth)):
        if has and chosen.get(name, 0) > most:
            raise refused(f"tpo.{name}", f"is {chosen[name]}, and here it goes up to {most}")
    if bounds.max_tokens is not None and chosen.get("max_tokens", 0) > bounds.max_tokens:
        raise refused("max_tokens", f"is {chosen['max_tokens']}, and here it goes up to {bounds.max_tokens}")
    # A quorum that fits the server's width need not fit a smaller one.
    if chosen.get("quorum") is not None:
        chosen["quorum"] = min(chosen["quorum"], chosen["width"])


class Steering(msgspec.Struct, frozen=True):
    """What steers one search.

    Attributes:
        reward: what scores its answers; None where the method needs nothing.
        tools: the same, where it ranks by calls of tools.
    """

    reward: Reward | PoolReward | None
    tools: Tools | None = None

    def listen(self, event: Event) -> None:
        """Hear what happens."""
        if self.tools is not None:
            self.tools.listen(event)


def steering(asked: Asked, base: Reward | PoolReward | None) -> Steering:
    """Put what the form of an answer has to keep before a reward.

    Raises:
        InputError: there is nothing to choose by.
    """
    if not asked.spec.method.needs_reward:
        return Steering(None)
    reward = gated(base, asked.rules) if asked.rules else base
    if reward is None:
        raise InputError(f"The method {asked.spec.method.name} needs a reward to choose by, and the server has none.")
    if not asked.tools:
        return Steering(reward)
    tools = Tools(asked.tools, asked.tool_choice, reward)
    return Steering(tools, tools)
