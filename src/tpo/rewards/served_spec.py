"""From "KIND:URL?option=value&option=value" to a served reward, and from a URL alone to its kind."""

from __future__ import annotations

import difflib
import importlib
import typing
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from tpo.errors import InputError, RewardError
from tpo.rewards.served import RewardServer
from tpo.rewards.served_reward import ServedReward

# Where each kind's class is; it is imported when it is asked for.
CLASSES = {
    "vllm": ("tpo.rewards.vllm", "VLLMReward"),
    "sglang": ("tpo.rewards.sglang", "SGLangReward"),
    "tei": ("tpo.rewards.tei", "TEIReward"),
    "llamacpp": ("tpo.rewards.llamacpp", "LlamaCppReward"),
    "nim": ("tpo.rewards.nim", "NIMReward"),
    "http": ("tpo.rewards.http", "HTTPReward"),
}


class Probe(NamedTuple):
    """A page that one kind of server has, and how to know its own."""

    kind: str
    page: str
    told_by: Callable[[dict[str, Any]], bool]


def _owner(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda listed: any(isinstance(m, dict) and m.get("owned_by") == name for m in listed.get("data") or [])


# In this order: a NIM may call itself a vLLM, which is what runs inside.
PROBES = (
    Probe("tei", "info", lambda info: "max_client_batch_size" in info),
    Probe("nim", "v1/metadata", lambda metadata: "modelInfo" in metadata),
    Probe("vllm", "v1/models", _owner("vllm")),
    Probe("llamacpp", "v1/models", _owner("llamacpp")),
    Probe("sglang", "v1/models", _owner("sglang")),
    Probe("sglang", "get_model_info", lambda info: "is_generation" in info),
)


def served_reward(kind: str, rest: str) -> ServedReward:
    """Make the reward that a user named.

    Args:
        kind: one of `CLASSES`.
        rest: what stands after the colon: a URL, and perhaps options after a question mark. For "http", whose URL may
            have a query of its own, what is no option stays in the URL.

    Raises:
        InputError: the URL is none, or an option is unknown or has an unusable value.
    """
    module, name = CLASSES[kind]
    made = getattr(importlib.import_module(module), name)
    # Keys come from the environment alone: what is written in a spec ends up in journals and shell histories.
    hints = {n: h for n, h in typing.get_type_hints(made.__init__).items() if n not in ("url", "key", "return")}
    parts = urlsplit(rest)
    options: dict[str, Any] = {}
    others: list[tuple[str, str]] = []
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option in hints:
            options[option] = _value(f"{kind}: {option}={value}", option, value, hints[option])
        else:
            others.append((option, value))
    if others and kind != "http":
        near = difflib.get_close_matches(others[0][0], hints, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Options are {', '.join(hints)}."
        raise InputError(f"The reward {kind} has no option {others[0][0]!r}. {hint}")
    url = urlunsplit(parts._replace(query=urlencode(others))) if options else rest
    reward: ServedReward = made(url, **options)
    return reward


async def detect(url: str, key: str | None = None) -> str:
    """Which kind of reward server a URL leads to, found by asking for the pages that each has.

    Args:
        url: an http(s) URL.
        key: the key, where it is not in the environment.

    Returns:
        A kind of `CLASSES`, never "http".

    Raises:
        RewardError: the server cannot be reached, or shows no page that tells.
    """
    server = RewardServer("reward", url, "", key)
    try:
        for probe in PROBES:
            try:
                page = await server.get(probe.page)
            except RewardError as error:
                if "answered no JSON" in str(error):
                    continue
                raise
            if isinstance(page, dict) and probe.told_by(page):
                return probe.kind
    finally:
        await server.aclose()
    kinds = ", ".join(f"{kind}:URL" for kind in CLASSES)
    raise RewardError(f"{server.where} does not tell what kind of reward server it is: write one of {kinds}.")


def _value(shown: str, option: str, text: str, hint: Any) -> Any:
    value: Any = text
    if option == "weights":
        pairs = [entry.rpartition(":") for entry in text.split(",")]
        if not all(name and weight for name, _, weight in pairs):
            raise InputError(f"{shown} is no list of NAME:NUMBER, such as helpfulness:0.7,verbosity:-0.1.")
        value = {name: weight for name, _, weight in pairs}
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"{shown} cannot be used: {error}.") from error
