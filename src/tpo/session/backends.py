"""Opens what a search needs: the model of each role with its limiter, and a reward that was seen to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import msgspec

from tpo.checks.reward import refuse_broken
from tpo.errors import InputError, TPOError
from tpo.models.fleet import Fleet, Server, ServerLimits
from tpo.models.panel import ArmSpec, Panel, key_role_of
from tpo.models.protocol import Model
from tpo.models.resolve import EMBEDDED, open_model
from tpo.prompts import ROLES, Role
from tpo.rewards.protocol import Reward
from tpo.rewards.resolve import opened
from tpo.session.spec import RoleSpec, Spec

Note: TypeAlias = Callable[[str], None]


async def open_models(
    roles: Mapping[Role, RoleSpec],
    stack: AsyncExitStack,
    on_note: Note,
    limits: ServerLimits,
) -> dict[Role, Fleet]:
    """Connect to the models of all roles.

    Args:
        roles: who plays which role.
        stack: closes what was opened here.
        on_note: called with each sentence that a user should read.
        limits: what a server may have in flight.

    Returns:
        The model of each role; a role without a model of its own shares the policy's.

    Raises:
        InputError: what was named is no model.
        ModelError: a server cannot be reached, or refuses.
    """
    fleets: dict[Role, Fleet] = {}
    for role in ROLES:
        spec = roles.get(role, RoleSpec())
        if role != "policy" and spec.where is None and spec.model is None:
            fleets[role] = fleets["policy"]
            continue
        # A role that only names a model is served where the policy is.
        where = spec.where if spec.where is not None else roles["policy"].where
        if spec.where is None and not isinstance(where, str):
            raise InputError(f"{role}_model is given without {role}: say where that model is served.")
        if isinstance(where, Mapping):
            fleets[role] = await _panel(where, spec, stack, on_note, limits)
            continue
        models = await _models(where, role, spec, stack, on_note)
        fleets[role] = Fleet([Server(model, limits.of(model)) for model in models])
    return fleets


async def _panel(
    arms: Mapping[str, Any], spec: RoleSpec, stack: AsyncExitStack, on_note: Note, limits: ServerLimits
) -> Panel:
    """Connect to the arms of a panel; each may name its model, MODEL@URL."""
    if spec.model is not None:
        raise InputError("policy_model names one model, and the policy is a panel: write NAME=MODEL@URL for each arm.")
    fleets: dict[str, Fleet] = {}
    embedded = []
    for name, given in arms.items():
        arm = ArmSpec(given)
        own = msgspec.structs.replace(spec, model=arm.model)
        try:
            models = await _models(arm.where, "policy", own, stack, on_note, key_role_of(name))
        except TPOError as error:
            error.args = (f"The arm {name} of the panel: {error}",)
            raise
        fleets[name] = Fleet([Server(model, limits.of(model)) for model in models])
        if arm.is_embedded:
            embedded.append(name)
    return Panel(fleets, embedded, on_note)


async def _models(
    where: Any, role: Role, spec: RoleSpec, stack: AsyncExitStack, on_note: Note, key_role: str | None = None
) -> list[Model]:
    if not isinstance(where, str):
        return [where]  # an object is the caller's to close
    models: list[Model] = []
    for one in filter(None, (part.strip() for part in where.split(","))):
        model = await open_model(one, role, spec.model, on_note, omit=spec.omit, key_role=key_role)
        stack.push_async_callback(model.aclose)
        models.append(model)
    if not models:
        raise InputError(f"The {role} is {where!r}: give a URL such as http://localhost:8000/v1, or {EMBEDDED}.")
    return models


async def open_reward(
    spec: Spec, stack: AsyncExitStack, name: str | None = None, limits: ServerLimits | None = None
) -> Reward | None:
    """Find the reward, connect to it, and see that it works.

    Args:
        spec: the checked options.
        stack: closes what was opened here; an object that the user gave is the user's to close.
        name: the reward to open instead of the spec's own.
        limits: what a judge's server may have in flight; the judge's own limit unless given.

    Returns:
        The reward; None where none was requested.

    Raises:
        InputError: the reward is unknown.
        RewardError: it cannot be loaded or reached.
        CheckError: it is broken.
    """
    given = spec.reward if name is None else name
    reward = await opened(given, stack, spec.require, named=spec.rewards, cache=spec.score_cache, limits=limits)
    if reward is not None and spec.check:
        await refuse_broken(reward)
    return reward


async def open_judge(spec: Spec, stack: AsyncExitStack, limits: ServerLimits | None = None) -> Reward | None:
    """Find the held-out judge, connect to it, and see that it works; None where none was requested.

    Args:
        spec: the checked options.
        stack: closes what was opened here; an object that the user gave is the user's to close.
        limits: as for `open_reward`.

    Raises:
        TPOError: as `open_reward`.
    """
    if spec.judge is None:
        return None
    judge = await opened(spec.judge, stack, named=spec.rewards, cache=spec.score_cache, limits=limits)
    if judge is not None and spec.check:
        await refuse_broken(judge)
    return judge


def note_lost_seeds(fleets: Mapping[Role, Fleet], on_note: Note) -> None:
    """Report each server that cannot take seeds."""
    for name, profile in {fleet.name: fleet.profile for fleet in fleets.values()}.items():
        if not profile.seeds:
            on_note(f"{name} ({profile.name}) cannot take seeds, so this run will not repeat exactly.")
