"""`--prefer FILE`, or the reward `prefer:FILE`: the checklist's judge is the critic, or else the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tpo.errors import InputError
from tpo.models.panel import ArmSpec, arms_of
from tpo.specs import parse

JUDGE, PREFER = "judge:", "prefer:"


def with_preference(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the option `prefer` by the reward that it means, and name the judge of a reward `prefer:FILE`.

    Args:
        options: those of a search. A reward `judge:URL` beside it names who judges; any other is a contradiction.

    Raises:
        InputError: another reward is given too, or there is no model that can judge.
    """
    prefer, reward = options.get("prefer"), options.get("reward")
    if prefer is None:
        if isinstance(reward, str) and reward.startswith(PREFER) and "judge" not in parse(reward, "reward").options:
            return {**options, "reward": f"{reward}{'&' if '?' in reward else '?'}judge={_judge_of(options)}"}
        return dict(options)
    if isinstance(reward, str) and reward.startswith(JUDGE):
        judge = reward.removeprefix(JUDGE).replace("?", "&", 1)
    elif reward is None or str(reward).startswith(f"{PREFER}{prefer}"):
        judge = _judge_of(options)
    else:
        raise InputError(
            f"Both prefer and the reward {reward!r} are given: leave one out, or combine them in tpo.toml by "
            f"prefer:{prefer}."
        )
    if isinstance(reward, str) and reward.startswith(PREFER):
        return dict(options)
    return {**options, "reward": f"{PREFER}{prefer}?judge={judge}"}


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
