"""From what a user names to what a search runs on: models with their servers, a checked reward, sampling settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import msgspec

from tpo.checks.reward import refuse_broken
from tpo.engine.limits import Budget
from tpo.engine.records import Plan, Settings
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Method, find_method
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import Profile
from tpo.models.protocol import Model
from tpo.models.resolve import EMBEDDED, open_model
from tpo.prompts import ROLES, PromptSet, Role, prompt_set
from tpo.rewards.call import close, connect
from tpo.rewards.batching import shared
from tpo.rewards.protocol import Reward
from tpo.rewards.resolve import resolve_reward
from tpo.scheduling.fleet import Fleet, Server
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import FixedPace, Pace

Note: TypeAlias = Callable[[str], None]

# Fields of a chat-completions request that tpo decides about.
OURS = frozenset(
    ["messages", "model", "n", "stream", "stream_options", "temperature", "top_p", "seed", "cache_prompt"]
) | {"max_tokens", "max_completion_tokens"}


class RoleSpec(msgspec.Struct, frozen=True):
    """Who plays a role, as a user names it.

    Attributes:
        where: `embedded`, `gguf:PATH`, a URL or several with commas between them, or a `Model`; None for whoever the
            policy is.
        model: the model's name there; None where one model is served.
    """

    where: Any = None
    model: str | None = None


def as_many_as_it_takes(profile: Profile) -> Pace:
    """The pace for a single query: what the server's profile says it takes."""
    return FixedPace(profile.parallel)


async def open_fleets(
    roles: Mapping[Role, RoleSpec],
    stack: AsyncExitStack,
    on_note: Note,
    pace: Callable[[Profile], Pace] = as_many_as_it_takes,
    limiters: dict[str, Limiter] | None = None,
) -> dict[Role, Fleet]:
    """Connect to the models of all roles.

    Args:
        roles: who plays which role.
        stack: closes what was opened.
        on_note: told in a sentence of what a user should know.
        pace: how many sequences a server with such a profile should have in flight.
        limiters: by machine, for whoever opens fleets several times and wants them to share what a server takes;
            those that are new are added.

    Returns:
        The model of each role; roles that nobody was named for share the policy's.

    Raises:
        InputError: what was named is no model.
        ModelError: a server cannot be reached, or refuses.
    """
    fleets: dict[Role, Fleet] = {}
    limiters = {} if limiters is None else limiters  # roles on the same server share what it takes
    for role in ROLES:
        spec = roles.get(role, RoleSpec())
        if role != "policy" and spec.where is None and spec.model is None:
            fleets[role] = fleets["policy"]
            continue
        # A role with only a model of its own is served where the policy is.
        where = spec.where if spec.where is not None else roles["policy"].where
        if spec.where is None and not isinstance(where, str):
            raise InputError(f"{role}_model is given without {role}: say where that model is served.")
        servers = []
        for model in await _models(where, role, spec.model, stack, on_note):
            machine = model.endpoint.shown if isinstance(model, OpenAIModel) else f"object {id(model)}"
            if machine not in limiters:
                limiters[machine] = Limiter(pace(model.profile), model.profile.room)
            servers.append(Server(model, limiters[machine]))
        fleets[role] = Fleet(servers)
    return fleets


async def _models(where: Any, role: Role, name: str | None, stack: AsyncExitStack, on_note: Note) -> list[Model]:
    if not isinstance(where, str):
        return [where]  # an object is the caller's to close
    models: list[Model] = []
    for one in filter(None, (part.strip() for part in where.split(","))):
        model = await open_model(one, role, name, on_note)
        stack.push_async_callback(model.aclose)
        models.append(model)
    if not models:
        raise InputError(f"The {role} is {where!r}: give a URL such as http://localhost:8000/v1, or {EMBEDDED}.")
    return models


class Spec(msgspec.Struct, frozen=True):
    """What to do with a query, checked as far as it can be without asking anybody.

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
    reward: str | Reward | Callable[..., Any] | None
    require: Sequence[str]
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
        prompts: the prompt set that they name, for whoever has it already.

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
    )


async def open_reward(spec: Spec, stack: AsyncExitStack) -> Reward | None:
    """Find the reward, connect to it, and see that it works.

    Args:
        spec: what was asked for.
        stack: closes what was opened.

    Returns:
        The reward; None where the method needs none.

    Raises:
        InputError: the reward is unknown, or the method needs one.
        RewardError: it cannot be loaded or reached.
        CheckError: it is broken.
    """
    if not spec.method.needs_reward:
        return None
    reward = resolve_reward(spec.reward, spec.require)
    if isinstance(reward, Reward):
        reward = shared(reward)  # queries that run at once share its batches
    if reward is None:
        name = spec.method.name
        raise InputError(f"The method {name} needs a reward to choose by; without one there is only sample.")
    if spec.reward is None or isinstance(spec.reward, str):  # an object is the caller's to close
        stack.push_async_callback(close, reward)
    await connect(reward)
    if spec.check:
        await refuse_broken(reward)
    return reward


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


def say_where_seeds_are_lost(fleets: Mapping[Role, Fleet], on_note: Note) -> None:
    """Tell of servers that cannot take seeds."""
    for name, profile in {fleet.name: fleet.profile for fleet in fleets.values()}.items():
        if not profile.seeds:
            on_note(f"{name} ({profile.name}) cannot take seeds, so this run will not repeat exactly.")


def plan_of(spec: Spec, query: Conversation, models: Mapping[Role, str], reward: Reward | None) -> Plan:
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
