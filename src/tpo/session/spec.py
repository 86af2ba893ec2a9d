"""What a user asks for, checked as far as possible before anything is opened: `Options` in, a `Spec` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from tpo.config import NamedReward
from tpo.engine.limits import Budget
from tpo.engine.records import Plan, Settings
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Method, find_method
from tpo.models.protocol import Model
from tpo.models.resolve import EMBEDDED
from tpo.prompts import PromptSet, Role, prompt_set
from tpo.rewards.protocol import PoolReward, Reward

# Fields of a chat-completions request that tpo decides about.
OURS = frozenset(
    ["messages", "model", "n", "stream", "stream_options", "temperature", "top_p", "seed", "cache_prompt"]
) | {"max_tokens", "max_completion_tokens"}


class RoleSpec(msgspec.Struct, frozen=True):
    """Who plays a role, as a user names it.

    Attributes:
        where: `embedded`, `gguf:PATH`, a URL or several with commas between them, or a `Model`; None for the policy's.
        model: the model's name there; None where one model is served.
    """

    where: Any = None
    model: str | None = None


class Spec(msgspec.Struct, frozen=True):
    """What to do with a query, checked as far as possible without any call.

    Attributes:
        method: the method.
        width: N.
        depth: D.
        settings: how text is sampled.
        budget: what one query may cost.
        prompts: the wording.
        roles: who plays which role.
        reward: as `tpo.align` takes it.
        require: rules that rank before the reward.
        check: refuse a reward that looks broken.
        rewards: rewards that a configuration file names.
        score_cache: a file that keeps scores for later runs.
    """

    method: Method
    width: int
    depth: int
    settings: Settings
    budget: Budget
    prompts: PromptSet
    roles: dict[Role, RoleSpec]
    reward: Any
    require: Sequence[str]
    check: bool
    rewards: Mapping[str, NamedReward]
    score_cache: Path | None


class Options(TypedDict, total=False):
    """The options that `tpo.align` and `tpo.run_dataset` share; `tpo.align` says what they mean."""

    method: str
    width: int
    depth: int
    policy: str | Model
    policy_model: str | None
    critic: str | Model | None
    critic_model: str | None
    editor: str | Model | None
    editor_model: str | None
    reward: str | Reward | PoolReward | Callable[..., Any] | None
    require: Sequence[str]
    rewards: Mapping[str, NamedReward]
    score_cache: str | Path | None
    check: bool
    prompts: str | Path | None
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    critic_max_tokens: int | None
    quorum: int | None
    budget_tokens: int | None
    budget_seconds: float | None
    extra: Mapping[str, Any]


def specified(options: Options, prompts: PromptSet | None = None) -> Spec:
    """Check what a user asks for.

    Args:
        options: as `tpo.align` takes them.
        prompts: the prompt set that they name, where it was read before.

    Raises:
        InputError: something is out of range or unknown.
        PromptError: a template is broken.
    """
    method = find_method(options.get("method", "tpo"))
    width, depth = method.dials(options.get("width", 5), options.get("depth", 2))
    max_tokens, critic_max_tokens = options.get("max_tokens", 1024), options.get("critic_max_tokens")
    settings = Settings(
        options.get("temperature", 0.7),
        options.get("top_p", 0.95),
        max_tokens,
        max_tokens if critic_max_tokens is None else critic_max_tokens,
        options.get("seed"),
        options.get("quorum"),
        dict(options.get("extra") or {}),
    )
    return Spec(
        method,
        width,
        depth,
        _checked(settings, width),
        Budget(options.get("budget_tokens"), options.get("budget_seconds")),
        prompts or prompt_set(options.get("prompts")),
        {
            "policy": RoleSpec(options.get("policy", EMBEDDED), options.get("policy_model")),
            "critic": RoleSpec(options.get("critic"), options.get("critic_model")),
            "editor": RoleSpec(options.get("editor"), options.get("editor_model")),
        },
        options.get("reward"),
        options.get("require", ()),
        options.get("check", True),
        options.get("rewards") or {},
        Path(cache) if (cache := options.get("score_cache")) is not None else None,
    )


def _checked(settings: Settings, width: int) -> Settings:
    if not 0 <= settings.temperature <= 100:
        raise InputError(f"The temperature is {settings.temperature}; it is 0 or more.")
    if not 0 < settings.top_p <= 1:
        raise InputError(f"top-p is {settings.top_p}; it is above 0 and at most 1.")
    for name, value in (("max-tokens", settings.max_tokens), ("critic-max-tokens", settings.critic_max_tokens)):
        if value < 1:
            raise InputError(f"{name} is {value}; it is at least 1.")
    if settings.seed is not None and not 0 <= settings.seed < 2**63:
        raise InputError(f"The seed is {settings.seed}; it goes from 0 to 2**63 - 1.")
    ours = sorted(OURS & settings.extra.keys())
    if ours:
        raise InputError(f"extra has {', '.join(ours)}, which tpo sets by itself: use its own options for these.")
    if settings.quorum is not None and not 1 <= settings.quorum <= width:
        raise InputError(f"The quorum is {settings.quorum}; it goes from 1 to the width, {width}.")
    return settings


def plan_of(spec: Spec, query: Conversation, models: Mapping[Role, str], reward: Reward | PoolReward | None) -> Plan:
    """Everything that decides the result of a query.

    Args:
        spec: what was asked for.
        query: the query.
        models: the name of each role's model.
        reward: the reward that was opened.
    """
    reward_name = reward.name if reward is not None else None
    return Plan(
        query, spec.method.name, spec.width, spec.depth, spec.settings, spec.prompts.name, dict(models), reward_name
    )
