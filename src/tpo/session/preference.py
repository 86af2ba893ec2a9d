"""`--prefer FILE` as a reward: the checklist's judge is the critic, or else the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tpo.errors import InputError
from tpo.models.panel import ArmSpec, arms_of

JUDGE = "judge:"


def with_preference(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the option `prefer` by the reward that it means.

    Args:
        options: those of a search. A reward `judge:URL` beside it names who judges; any other is a contradiction.

    Raises:
        InputError: another reward is given too, or there is no model that can judge.
    """
    prefer = options.get("prefer")
    if prefer is None:
        return dict(options)
    reward = options.get("reward")
    if isinstance(reward, str) and reward.startswith(JUDGE):
        judge = reward.removeprefix(JUDGE).replace("?", "&", 1)
    elif reward is None or str(reward).startswith(f"prefer:{prefer}"):
        judge = _judge_of(options)
    else:
        raise InputError(
            f"Both prefer and the reward {reward!r} are given: leave one out, or combine them in tpo.toml by "
            f"prefer:{prefer}."
        )
    if isinstance(reward, str) and reward.startswith("prefer:"):
        return dict(options)
    return {**options, "reward": f"prefer:{prefer}?judge={judge}"}


def _judge_of(options: Mapping[str, Any]) -> str:
    where, model = options.get("critic"), options.get("critic_model")
    if where is None:
        where, model = options.get("policy", "embedded"), model or options.get("policy_model")
        if (arms := arms_of(where)) is not None:
            lead = ArmSpec(next(iter(arms.values())))
            where, model = lead.where, lead.model
    if not isinstance(where, str):
        raise InputError("Name who judges the preference: reward='prefer:FILE?judge=http://HOST:PORT/v1'.")
    judge = where.partition(",")[0].strip()
    return f"{judge}&model={model}" if model else judge
