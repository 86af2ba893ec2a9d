"""From what a user names to a reward: "surface", "python:module:function", or an object."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tpo.errors import InputError
from tpo.rewards.protocol import Reward

DEFAULT = "surface"


class Kind(NamedTuple):
    """A kind of reward: how it is written, and what makes one from the text after its colon."""

    written: str
    make: Callable[[str], Reward | None]


def resolve_reward(spec: str | Callable[..., Any] | Reward | None = None, require: Sequence[str] = ()) -> Reward | None:
    """Find the reward that is meant.

    Args:
        spec: a name of a kind in `KINDS`; a function or object for `PythonReward`; or a reward, used as it
            is. None is the default, "surface".
        require: rules that come before the reward (see `Gate`).

    Returns:
        The reward; None for "none" without rules. With rules, "none" leaves the rules alone to decide.

    Raises:
        InputError: the kind is unknown, its text is malformed, or a rule is.
        RewardError: the reward is there but cannot be loaded.
    """
    base = _named(spec.strip()) if isinstance(spec, str) else _named(DEFAULT) if spec is None else _given(spec)
    if not require:
        return base
    from tpo.rewards.gate import Gate
    from tpo.rewards.require import Requirements

    requirements = Requirements(require)
    return requirements if base is None else Gate(requirements, base)


def _named(spec: str) -> Reward | None:
    name, _, rest = spec.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f" Did you mean {KINDS[near[0]].written}?" if near else ""
        known = ", ".join(kind.written for kind in KINDS.values())
        raise InputError(f"The reward {spec!r} is unknown.{hint} Known ones are {known}.")
    if rest and ":" not in kind.written:
        raise InputError(f"The reward {spec!r} has something after its colon, but {name} takes nothing: write {name}.")
    return kind.make(rest)


def _given(spec: Any) -> Reward:
    is_reward = not inspect.isclass(spec) and isinstance(getattr(spec, "name", None), str)
    if is_reward and inspect.iscoroutinefunction(getattr(spec, "score", None)):
        reward: Reward = spec
        return reward
    return _wrapped(spec)


# Each kind imports what it needs when it is asked for, so that naming one loads no other.


def _surface(_: str) -> Reward:
    from tpo.rewards.surface import Surface

    return Surface()


def _python(path: str) -> Reward:
    from tpo.rewards.python import PythonReward

    return PythonReward.load(path)


def _wrapped(target: object) -> Reward:
    from tpo.rewards.python import PythonReward

    return PythonReward(target)


def _none(_: str) -> None:
    return None


KINDS = {
    "surface": Kind("surface", _surface),
    "python": Kind("python:module:function", _python),
    "none": Kind("none", _none),
}
