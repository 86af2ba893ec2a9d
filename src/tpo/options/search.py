"""The options of one search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tpo.options.groups import METHOD, MODELS, REWARD, SAMPLING
from tpo.options.option import Option, table

# Bounds of the two dials.
MAX_WIDTH, MAX_DEPTH = 1024, 100


class Effort(StrEnum):
    """How much an answer may cost; `tpo.methods.efforts` has what each level is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one search: what `tpo.align` and every command that searches take."""

    method: Annotated[
        Any,
        Option(
            help="The method: tpo, best-of-n or another that `tpo methods` lists, or python:MODULE:NAME.",
            group=METHOD,
            metavar="NAME",
            in_requests=True,
        ),
    ] = "tpo"
    effort: Annotated[
        Effort | str | None,
        Option(
            help="Chooses method, width, depth, length of critiques and prompts by the reward and the model's size; "
            "`tpo methods --efforts` lists the levels. Explicit flags win.",
            group=METHOD,
            in_requests=True,
        ),
    ] = None
    settings: Annotated[
        Sequence[str],
        Option(
            help="A setting of the method (repeatable); `tpo methods` lists them.",
            group=METHOD,
            metavar="NAME=VALUE",
            flag="set",
        ),
    ] = ()
    width: Annotated[
        int, Option(help="N: answers per step.", group=METHOD, least=1, most=MAX_WIDTH, in_requests=True)
    ] = 5
    depth: Annotated[int, Option(help="D: update steps.", group=METHOD, least=0, most=MAX_DEPTH, in_requests=True)] = 2
    select: Annotated[
        str,
        Option(
            help="The rule that chooses the answer among the candidates: best, soft, hedged, mbr, majority or knockout "
            "(docs/methods.md).",
            group=METHOD,
            metavar="RULE",
            in_requests=True,
        ),
    ] = "best"
    prompts: Annotated[
        str | Path | None,
        Option(
            help="A folder of templates that replace the default prompts. small: the prompts for small models. auto: "
            "small or default, by the size in the model's name.",
            group=METHOD,
            metavar="FOLDER",
            named=True,
        ),
    ] = None
    policy: Annotated[
        Any,
        Option(
            help="The model that answers: embedded, gguf:PATH, hub:ORG/REPO, or http://HOST:PORT/v1. "
            "Several, as NAME=MODEL (repeatable): a panel.",
            group=MODELS,
            metavar="MODEL",
            repeatable=True,
        ),
    ] = "embedded"
    policy_model: Annotated[
        str | None,
        Option(help="The policy's model name, if its server has several.", group=MODELS, metavar="NAME"),
    ] = None
    critic: Annotated[
        Any,
        Option(
            help="The model that writes critiques and advice; the policy unless given.", group=MODELS, metavar="MODEL"
        ),
    ] = None
    critic_model: Annotated[str | None, Option(help="The critic's model name.", group=MODELS, metavar="NAME")] = None
    editor: Annotated[
        Any,
        Option(help="The model that writes updated answers; the policy unless given.", group=MODELS, metavar="MODEL"),
    ] = None
    editor_model: Annotated[str | None, Option(help="The editor's model name.", group=MODELS, metavar="NAME")] = None
    reward: Annotated[
        Any,
        Option(
            help="The reward: surface, vllm:URL, hf:NAME, judge:URL, verifier:NAME, python:MODULE:FUNCTION, … (docs/"
            "rewards.md), or a name from tpo.toml.",
            group=REWARD,
            metavar="REWARD",
            in_requests=True,
        ),
    ] = "surface"
    prefer: Annotated[
        str | Path | None,
        Option(
            help="A file as the reward: a rubric in plain words, or liked and disliked answers (JSON Lines). The "
            "critic, or else the policy, checks answers by it.",
            group=REWARD,
            metavar="FILE",
        ),
    ] = None
    require: Annotated[
        Sequence[str],
        Option(
            help="A rule that ranks before the reward (repeatable), such as max-words=80 or bullets=3.",
            group=REWARD,
            metavar="RULE",
            in_requests=True,
        ),
    ] = ()
    score_cache: Annotated[
        str | Path | None, Option(help="A file that keeps scores, for later runs.", group=REWARD, metavar="FILE")
    ] = None
    check: Annotated[bool, Option(help="Test a reward model first, and refuse a broken one.", group=REWARD)] = True
    judge: Annotated[
        Any,
        Option(
            help="A held-out judge or reward: it scores the first sample and the answer, and changes neither. "
            "http://HOST:PORT/v1, or as for --reward.",
            group=REWARD,
            metavar="REWARD",
        ),
    ] = None
    temperature: Annotated[
        float, Option(help="Sampling temperature.", group=SAMPLING, least=0, most=100, in_requests=True)
    ] = 0.7
    top_p: Annotated[
        float,
        Option(
            help="Nucleus sampling: the probability mass to sample from.",
            group=SAMPLING,
            above=0,
            most=1,
            in_requests=True,
        ),
    ] = 0.95
    seed: Annotated[
        int | None,
        Option(
            help="Seed of all random choices: the search repeats.",
            group=SAMPLING,
            least=0,
            most=2**63 - 1,
            in_requests=True,
        ),
    ] = None
    max_tokens: Annotated[
        int, Option(help="Most tokens of an answer.", group=SAMPLING, least=1, metavar="COUNT", in_requests=True)
    ] = 1024
    critic_max_tokens: Annotated[
        int | None,
        Option(
            help="Most tokens of a critique; as many as for an answer unless given.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    quorum: Annotated[
        int | None,
        Option(
            help="Answers of a step that are enough to continue; all unless given.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    extra: Annotated[
        Mapping[str, Any] | None,
        Option(
            help='More fields for the requests for answers, such as \'{"stop": ["END"], "top_k": 20}\'.',
            group=SAMPLING,
            metavar="JSON",
        ),
    ] = None
    omit: Annotated[
        Sequence[str],
        Option(
            help="A field to leave out of requests (repeatable), such as top_p, if a server refuses it.",
            group=SAMPLING,
            metavar="FIELD",
        ),
    ] = ()
    budget_tokens: Annotated[
        int | None,
        Option(
            help="Tokens of all roles after which the search ends with the best answer so far.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
            in_requests=True,
        ),
    ] = None
    budget_seconds: Annotated[
        float | None,
        Option(
            help="Seconds after which the search ends with the best answer so far.",
            group=SAMPLING,
            above=0,
            metavar="SECONDS",
            in_requests=True,
        ),
    ] = None


def default(name: str) -> Any:
    """The default of a search option."""
    return table(SearchOptions)[name].default
