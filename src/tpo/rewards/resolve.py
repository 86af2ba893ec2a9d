"""From what a user names to a reward: "surface", "vllm:URL", "python:module:function", an object."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tpo.errors import InputError
from tpo.rewards.protocol import PoolReward, Reward

if TYPE_CHECKING:
    from tpo.config import NamedReward

DEFAULT = "surface"

AnyReward: TypeAlias = Reward | PoolReward


class Kind(NamedTuple):
    """A kind of reward: how it is written, and what makes one from the text after its colon."""

    written: str
    make: Callable[[str], AnyReward | None]


def resolve_reward(
    spec: str | Callable[..., Any] | AnyReward | None = None,
    require: Sequence[str] = (),
    *,
    named: Mapping[str, NamedReward] | None = None,
    cache: Path | None = None,
) -> AnyReward | None:
    """Find the reward that is meant.

    Args:
        spec: a name of a kind in `KINDS`; a function or object for `PythonReward`; or a reward, used as it
            is. None is the default, "surface".
        require: rules that come before the reward (see `Gate`).
        named: rewards that a configuration file names.
        cache: a file that keeps scores for later runs.

    Returns:
        The reward; None for "none" without rules. With rules, "none" leaves the rules alone to decide.

    Raises:
        InputError: the kind is unknown, its text is malformed, or a rule is.
        RewardError: the reward is there but cannot be loaded.
    """
    finder = _Finder(named or {}, cache)
    base = finder.find(DEFAULT if spec is None else spec, ())
    return _with_rules(base, require)


class _Finder:
    """Makes rewards, each name and spec once: what is mentioned twice is one object, and is asked once."""

    def __init__(self, named: Mapping[str, NamedReward], cache: Path | None) -> None:
        self._named = named
        self._cache = cache
        self._made: dict[str, AnyReward | None] = {}

    def find(self, spec: object, above: tuple[str, ...]) -> AnyReward | None:
        if not isinstance(spec, str):
            return self._kept(_given(spec))
        spec = spec.strip()
        if spec in above:
            raise InputError(f"The reward {spec!r} is made of itself: {' -> '.join([*above, spec])}.")
        if spec not in self._made:
            found = self._combined(spec, above) if spec in self._named else self._kept(self._plain(spec))
            self._made[spec] = found
        return self._made[spec]

    def _combined(self, name: str, above: tuple[str, ...]) -> AnyReward | None:
        from tpo.rewards.batching import Batched
        from tpo.rewards.combine import Combined

        what, above = self._named[name], (*above, name)
        if what.use is not None and not what.gates and not what.length_price:
            return _with_rules(self.find(what.use, above), what.require)
        counted = what.sum or dict.fromkeys(what.min or [what.use or ""], 1.0)
        terms: dict[str, AnyReward] = {}
        for term in [*counted, *what.gates]:
            found = self.find(term, above)
            if found is None:
                raise InputError(f"The reward {name!r} is made of {term!r}, which scores nothing.")
            # A combination asks about the whole pool after each step: what was scored before is remembered.
            terms[term] = Batched(found) if isinstance(found, Reward) else found
        weights = {term: counted.get(term, 0.0) for term in terms}
        how = "min" if what.min is not None else "sum"
        combined = Combined(terms, weights, how, what.gates, what.length_price)  # type: ignore[arg-type]
        return _with_rules(combined, what.require)

    def _plain(self, spec: str) -> AnyReward | None:
        if spec.startswith(("http://", "https://")):
            kinds = ", ".join(f"{kind}:{spec}" for kind in ("vllm", "sglang", "tei"))
            raise InputError(f"The reward {spec!r} is an address: say what kind of server is there, such as {kinds}.")
        name, _, rest = spec.partition(":")
        kind = KINDS.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, [*self._named, *KINDS], n=1)
            meant = [KINDS[one].written if one in KINDS else one for one in near]
            hint = f" Did you mean {meant[0]}?" if meant else ""
            known = ", ".join([*self._named, *(kind.written for kind in KINDS.values())])
            raise InputError(f"The reward {spec!r} is unknown.{hint} Known ones are {known}.")
        if rest and ":" not in kind.written:
            raise InputError(
                f"The reward {spec!r} has something after its colon, but {name} takes nothing: write {name}."
            )
        return kind.make(rest)

    def _kept(self, reward: AnyReward | None) -> AnyReward | None:
        if self._cache is None or not isinstance(reward, Reward):
            return reward
        from tpo.rewards.cache import Cached

        return Cached(reward, self._cache)


def _with_rules(base: AnyReward | None, require: Sequence[str]) -> AnyReward | None:
    if not require:
        return base
    from tpo.rewards.gate import gated

    return gated(base, require)


def _given(spec: Any) -> AnyReward:
    named = not inspect.isclass(spec) and isinstance(getattr(spec, "name", None), str)
    if named and any(inspect.iscoroutinefunction(getattr(spec, method, None)) for method in ("score", "rank")):
        reward: AnyReward = spec
        return reward
    from tpo.rewards.python import PythonReward

    return PythonReward(spec)


# Each kind imports what it needs when it is asked for, so that naming one loads no other.


def _surface(_: str) -> Reward:
    from tpo.rewards.surface import Surface

    return Surface()


def _python(path: str) -> Reward:
    from tpo.rewards.python import PythonReward

    return PythonReward.load(path)


def _served(kind: str) -> Callable[[str], Reward]:
    def make(rest: str) -> Reward:
        from tpo.rewards.served_spec import served_reward

        return served_reward(kind, rest)

    return make


def _hf(rest: str) -> Reward:
    from tpo.rewards.hf import HfReward

    return HfReward.load(rest)


def _judge(rest: str) -> AnyReward:
    from tpo.rewards.judges.spec import parse_judge

    return parse_judge(rest)


def _verifier(rest: str) -> Reward:
    from tpo.rewards.verifiers.parse import parse_verifier

    return parse_verifier(rest)


def _none(_: str) -> None:
    return None


KINDS = {
    "surface": Kind("surface", _surface),
    "python": Kind("python:module:function", _python),
    **{kind: Kind(f"{kind}:URL", _served(kind)) for kind in ("vllm", "sglang", "tei", "llamacpp", "nim", "http")},
    "hf": Kind("hf:NAME_OR_DIR[?option=value]", _hf),
    "judge": Kind("judge:URL", _judge),
    "verifier": Kind("verifier:NAME", _verifier),
    "none": Kind("none", _none),
}
