"""The recipe of a run: everything that decides its results, but for the queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tpo.http.redaction import without_passwords
from tpo.models.fleet import Fleet
from tpo.models.openai import OpenAIModel
from tpo.prompts import Role
from tpo.rewards.protocol import Reward
from tpo.rewards.resolve import ResolvedReward
from tpo.runs.directory import unlocated
from tpo.session.spec import Spec, plan_of

# What is known only when servers were reached.
BACKENDS = ("models", "reward", "judge")


def named_backends(spec: Spec) -> dict[str, Any]:
    """The models and the reward as the user named them, before any server is reached."""
    backends: dict[str, Any] = {role: [_named(one.where), one.model] for role, one in spec.roles.items()}
    reward = spec.reward
    named = reward if isinstance(reward, str | None) else str(getattr(reward, "name", None) or type(reward).__name__)
    # The name of one that was found has the rules.
    rules = [] if isinstance(reward, ResolvedReward) else list(spec.require)
    backends |= {"reward": named, "require": rules}
    if (judge := spec.judge) is not None:
        name = judge if isinstance(judge, str) else str(getattr(judge, "name", None) or type(judge).__name__)
        backends["judge"] = name
    return unlocated(without_passwords(backends))  # type: ignore[no-any-return]


def _named(where: Any) -> Any:
    if isinstance(where, Mapping):
        return {name: _named(arm) for name, arm in where.items()}
    return where if isinstance(where, str | None) else str(getattr(where, "name", ""))


def recipe_without_backends(spec: Spec) -> dict[str, Any]:
    """The part of the recipe that is known before any server is reached."""
    recipe = recipe_of(spec, {}, None)
    return {name: value for name, value in recipe.items() if name not in BACKENDS}


def recipe_of(
    spec: Spec, fleets: dict[Role, Fleet], reward: Reward | None, judge: Reward | None = None
) -> dict[str, Any]:
    """Everything that decides the results, but for the queries."""
    plan = plan_of(spec, [], {role: fleet.name for role, fleet in fleets.items()}, reward, judge)
    recipe: dict[str, Any] = msgspec.to_builtins(plan)
    del recipe["query"]
    budget = msgspec.to_builtins(spec.budget)
    return recipe | {"budget": budget}


def endpoints_of(fleets: dict[Role, Fleet]) -> dict[str, list[str]]:
    """The endpoints of each role, without secrets."""
    return {
        role: [
            server.model.endpoint.shown if isinstance(server.model, OpenAIModel) else server.model.name
            for server in fleet.servers
        ]
        for role, fleet in fleets.items()
    }
