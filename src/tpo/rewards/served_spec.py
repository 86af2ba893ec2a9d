"""From a URL to the kind of reward server that it leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tpo.errors import RewardError
from tpo.rewards.served import RewardServer

KINDS = ("vllm", "sglang", "tei", "llamacpp", "nim", "http")


class Probe(NamedTuple):
    """A page that one kind of server has, and how to know its own."""

    kind: str
    page: str
    matches: Callable[[dict[str, Any]], bool]


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


async def detect(url: str, key: str | None = None) -> str:
    """Which kind of reward server a URL leads to, found by requests for the pages that each has.

    Args:
        url: an http(s) URL.
        key: the key, where it is not in the environment.

    Returns:
        One of `KINDS`, never "http".

    Raises:
        RewardError: the server cannot be reached, or has no page that shows it.
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
            if isinstance(page, dict) and probe.matches(page):
                return probe.kind
    finally:
        await server.aclose()
    kinds = ", ".join(f"{kind}:URL" for kind in KINDS)
    raise RewardError(f"{server.where} does not show what kind of reward server it is: write one of {kinds}.")
