"""How servers differ, as data. A server is recognised by a field of its model list.

Servers also differ in how a request says that the reply has to be one of a few texts (constrained decoding).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

# As vLLM has it (`structured_outputs`), SGLang (`regex`) and llama.cpp (a grammar in GBNF); empty for no such field.
Constraint: TypeAlias = Literal["", "structured_outputs", "regex", "grammar"]


def only_one_of(texts: Sequence[str], constraint: Constraint) -> dict[str, Any]:
    """The fields of a request that restrict its reply; none where the server has no such field.

    Args:
        texts: the replies that are allowed; empty for any.
        constraint: the server's way.
    """
    if not texts or not constraint:
        return {}
    if constraint == "structured_outputs":
        return {constraint: {"choice": list(texts)}}
    if constraint == "regex":
        return {constraint: f"({'|'.join(map(re.escape, texts))})"}
    return {constraint: f"root ::= {' | '.join(json.dumps(text, ensure_ascii=False) for text in texts)}"}


class Profile(msgspec.Struct, frozen=True):
    """What a server supports, and how far its numbers can be trusted.

    Attributes:
        name: the server's usual name.
        owned_by: the `owned_by` value by which its model list gives it away.
        choices: "n" if N answers are best drawn by one request, "separate" if by N requests.
        max_choices: most choices in one request.
        usage_per_choice: a stream reports usage after each choice instead of once for all.
        seeds: requests may carry a seed.
        token_limit: the field that limits an answer's tokens.
        parallel: most sequences in flight at once, as far as it is known.
        slots: it is known: the server writes so many at once, and everything beyond waits in its queue.
        prefix: a request states whether it continues the one before (llama.cpp's cache_prompt), so that only a search's
            own prompts are reused: texts must not depend on the prompts of others.
        omit: fields that requests go without, because the server refuses them.
        prefill: a request needs a field to continue the assistant's message it ends with (`continue_final_message`).
        constraint: how a request restricts the reply to a few texts.
        room: tokens that all sequences in flight may take together; None where each has its own.
    """

    name: str
    owned_by: str = ""
    choices: Literal["separate", "n"] = "separate"
    max_choices: int = 1
    usage_per_choice: bool = False
    seeds: bool = True
    token_limit: str = "max_tokens"
    parallel: int = 64
    slots: bool = False
    prefix: bool = False
    omit: tuple[str, ...] = ()
    prefill: bool = False
    room: int | None = None
    constraint: Constraint = ""


# Separate requests are the safe default: they return one by one and so are scored as they land, their tokens are
# counted apart, a shared prefix is computed once all the same, and servers that ignore `n` cannot do harm.
GENERIC = Profile("OpenAI-compatible server")

PROFILES = (
    Profile("vLLM", owned_by="vllm", prefill=True, constraint="structured_outputs"),
    # A seeded request that is batched with others brings the CPU build's engine down for good (seen with 0.32).
    Profile("vLLM on a CPU", owned_by="vllm+cpu", seeds=False, prefill=True, constraint="structured_outputs"),
    Profile("SGLang", owned_by="sglang", prefill=True, constraint="regex"),
    # One request with n choices starts as one batch, which makes seeded answers repeatable; requests that join a
    # running batch change its numerics. It refuses an n above its slots.
    Profile("llama.cpp", owned_by="llamacpp", choices="n", usage_per_choice=True, max_choices=1, constraint="grammar"),
    Profile("Ollama", owned_by="library"),
    # Bills the prompt for each request, so that one request with n choices is the cheaper one.
    Profile("OpenAI", owned_by="api.openai.com", choices="n", max_choices=8, token_limit="max_completion_tokens"),
)


def profile_for(owned_by: str) -> Profile:
    """The profile of a server that calls itself that, or the generic one."""
    return next((profile for profile in PROFILES if profile.owned_by == owned_by), GENERIC)
