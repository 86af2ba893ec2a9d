"""From what a user names to an open reward: "surface", "vllm:URL", "python:module:function", an object.

A reward is registered by a name and the place of its factory, "module:attribute": ours in `BUILT_IN`, those of others
as entry points of the group `tpo.rewards`. Both are used alike: see `_made`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpo import plugins, specs
from tpo.errors import InputError, RewardError, TPOError
from tpo.rewards.call import close, connect
from tpo.rewards.protocol import Reward, is_relative

if TYPE_CHECKING:
    from tpo.config import NamedReward
    from tpo.models.fleet import ServerLimits
    from tpo.rewards.score_file import ScoreFile

DEFAULT = "surface"
NONE = "none"
GROUP = "tpo.rewards"

# Each by how it is written; what stands before the colon is its name.
BUILT_IN = {
    "surface": "tpo.rewards.surface:Surface",
    "python:module:function": "tpo.rewards.python:PythonReward.load",
    "vllm:URL": "tpo.rewards.vllm:VLLMReward",
    "sglang:URL": "tpo.rewards.sglang:SGLangReward",
    "tei:URL": "tpo.rewards.tei:TEIReward",
    "llamacpp:URL": "tpo.rewards.llamacpp:LlamaCppReward",
    "nim:URL": "tpo.rewards.nim:NIMReward",
    "http:URL": "tpo.rewards.http:HTTPReward.load",
    "hf:NAME_OR_DIR": "tpo.rewards.hf.reward:HfReward.load",
    "judge:URL": "tpo.rewards.judges:parse_judge",
    "prefer:FILE": "tpo.rewards.prefer.reward:PreferReward",
    "verifier:NAME": "tpo.rewards.verifiers.parse:parse_verifier",
}


class ResolvedReward:
    """A reward that was found, and what has to be closed with it.

    Args:
        reward: the reward; None where nothing scores.
        owned: what was made on the way, and so is the resolver's caller's to close.
    """

    def __init__(self, reward: Reward | None, owned: Sequence[object]) -> None:
        self.reward = reward
        self._owned = owned

    @property
    def name(self) -> str:
        """The reward's name."""
        return NONE if self.reward is None else self.reward.name

    def share(self, limits: ServerLimits) -> None:
        """Let the judges that were made keep to these limits."""
        for one in self._owned:
            if (share_limits := getattr(one, "share_limits", None)) is not None:
                share_limits(limits)

    async def aclose(self) -> None:
        """Close what was made; an object that the user gave stays open."""
        for one in self._owned:
            await close(one)


async def opened(
    spec: str | Callable[..., Any] | Reward | ResolvedReward | None,
    stack: AsyncExitStack,
    require: Sequence[str] = (),
    *,
    named: Mapping[str, NamedReward] | None = None,
    cache: Path | None = None,
    limits: ServerLimits | None = None,
) -> Reward | None:
    """Find a reward, connect to it, and have it closed; its calls are gathered into batches where that is possible.

    Args:
        spec: as for `resolve`, or what `resolve` returned.
        stack: closes what was opened here. An object that the user gave stays open.
        require: as for `resolve`.
        named: as for `resolve`.
        cache: as for `resolve`.
        limits: what the servers of judges may have in flight, shared with other models there.

    Returns:
        The reward; None for "none" without rules.

    Raises:
        InputError: as for `resolve`.
        RewardError: it cannot be loaded or reached.
    """
    from tpo.rewards.batching import Batched

    found = spec if isinstance(spec, ResolvedReward) else resolve(spec, require, named=named, cache=cache)
    stack.push_async_callback(found.aclose)
    if limits is not None:
        found.share(limits)
    reward = found.reward
    if reward is None:
        return None
    if not isinstance(reward, Batched) and not is_relative(reward):
        reward = Batched(reward)
    await connect(reward)
    return reward


def resolve(
    spec: str | Callable[..., Any] | Reward | None = None,
    require: Sequence[str] = (),
    *,
    named: Mapping[str, NamedReward] | None = None,
    cache: Path | None = None,
) -> ResolvedReward:
    """Find the reward that is meant. Nothing is sent anywhere.

    Args:
        spec: a registered name with what it takes; a function or object for `PythonReward`; or a reward, used as it
            is. None is the default, "surface".
        require: rules that come before the reward (see `Gate`).
        named: rewards that a configuration file names.
        cache: a file that keeps scores for later runs.

    Returns:
        The reward, or none for "none" without rules. With rules, "none" leaves the rules alone to decide.

    Raises:
        InputError: the name is unknown, its text is malformed, or a rule is.
        RewardError: the reward exists but cannot be loaded.
    """
    finder = _Finder(named or {}, cache)
    base = finder.find(DEFAULT if spec is None else spec, ())
    return ResolvedReward(_with_rules(base, require), finder.owned)


class _Finder:
    """Makes rewards, each name and spec once: what is mentioned twice is one object, and is called once."""

    def __init__(self, named: Mapping[str, NamedReward], cache: Path | None) -> None:
        self.owned: list[object] = []
        self._named = named
        self._cache = cache
        self._file: ScoreFile | None = None
        self._made: dict[str, Reward | None] = {}

    def find(self, spec: object, above: tuple[str, ...]) -> Reward | None:
        if not isinstance(spec, str):
            return self._kept(self._given(spec))
        spec = spec.strip()
        if spec in above:
            raise InputError(f"The reward {spec!r} is made of itself: {' -> '.join([*above, spec])}.")
        if spec not in self._made:
            found = self._combined(spec, above) if spec in self._named else self._kept(self._registered(spec))
            self._made[spec] = found
        return self._made[spec]

    def _combined(self, name: str, above: tuple[str, ...]) -> Reward | None:
        from tpo.rewards.batching import Batched
        from tpo.rewards.combine import Combined

        what, above = self._named[name], (*above, name)
        if what.use is not None and not what.gates and not what.length_price:
            return _with_rules(self.find(what.use, above), what.require)
        counted = what.sum or dict.fromkeys(what.min or [what.use or ""], 1.0)
        terms: dict[str, Reward] = {}
        for term in [*counted, *what.gates]:
            found = self.find(term, above)
            if found is None:
                raise InputError(f"The reward {name!r} is made of {term!r}, which scores nothing.")
            # A combination scores the whole pool after each step: scores of earlier steps are kept.
            terms[term] = found if is_relative(found) or isinstance(found, Batched) else Batched(found)
        weights = {term: counted.get(term, 0.0) for term in terms}
        how = "min" if what.min is not None else "sum"
        combined = Combined(terms, weights, how, what.gates, what.length_price)  # type: ignore[arg-type]
        return _with_rules(combined, what.require)

    def _registered(self, spec: str) -> Reward | None:
        if spec.startswith(("http://", "https://")):
            kinds = ", ".join(f"{kind}:{spec}" for kind in ("vllm", "sglang", "tei"))
            raise InputError(f"The reward {spec!r} is an address: say what kind of server is there, such as {kinds}.")
        if spec == NONE:
            return None
        found = _factory(spec, self._named)
        made = _made(found, spec)
        reward = self._given(made)
        if reward is made:
            self.owned.append(reward)
        return reward

    def _given(self, target: Any) -> Reward:
        """An object as a reward: itself if it is one, else wrapped."""
        is_named = not inspect.isclass(target) and isinstance(getattr(target, "name", None), str)
        if is_named and inspect.iscoroutinefunction(getattr(target, "score", None)):
            reward: Reward = target
            return reward
        if is_named and inspect.iscoroutinefunction(getattr(target, "rank", None)):
            raise InputError(
                f"The reward {target.name} has a method `rank`: call it `score` and set `relative = True`."
            )
        from tpo.rewards.python import PythonReward

        wrapped = PythonReward(target)
        self.owned.append(wrapped)
        return wrapped

    def _kept(self, reward: Reward | None) -> Reward | None:
        if self._cache is None or reward is None or is_relative(reward):
            return reward
        from tpo.rewards.batching import Batched
        from tpo.rewards.score_file import ScoreFile

        if self._file is None:
            self._file = ScoreFile(self._cache)
            self.owned.append(self._file)
        return Batched(reward, file=self._file)


def _with_rules(base: Reward | None, require: Sequence[str]) -> Reward | None:
    if not require:
        return base
    from tpo.rewards.gate import gated

    return gated(base, require)


def registered() -> dict[str, EntryPoint]:
    """All rewards that have a name, by that name; ours first. No factory is loaded."""
    return plugins.registered(GROUP, {_name(written): place for written, place in BUILT_IN.items()})


def _name(spec: str) -> str:
    return spec.partition(":")[0].partition("?")[0].strip()


def _factory(spec: str, named: Mapping[str, NamedReward]) -> Callable[..., Any]:
    name = _name(spec)
    known = registered()
    point = known.get(name)
    if point is None:
        ways = {_name(written): written for written in BUILT_IN}
        written = {one: ways.get(one, one) for one in [*named, *known, NONE]}
        hint = specs.did_you_mean(name, written)
        for one, way in written.items():
            hint = f" Did you mean {way}?" if hint == f" Did you mean {one}?" else hint
        raise InputError(f"The reward {spec!r} is unknown.{hint} Known ones are {', '.join(written.values())}.")
    factory: Callable[..., Any] = plugins.load(point, "reward", {_name(written) for written in BUILT_IN}, RewardError)
    return factory


def _made(factory: Callable[..., Any], spec: str) -> Any:
    """What a factory makes of a spec: the text after the colon is its argument, and options are its keywords.

    A factory with one parameter and no others gets all that stands after the colon, question marks included.
    """
    name = _name(spec)
    head, colon, text = spec.partition(":")
    if "?" in head:  # surface?option=value
        head, colon, text = name, "", ""
    first = next(iter(inspect.signature(factory).parameters.values()), None)
    takes_text = first is not None and first.kind in _POSITIONAL
    types = specs.options_of(factory, int(takes_text))
    if text and not takes_text:
        raise InputError(f"The reward {spec!r} has something after its colon, but {name} takes nothing: write {name}.")
    if takes_text and not types:
        return factory(text)
    written = specs.parse(text if colon else spec, f"reward {name}", types)
    needed = takes_text and first is not None and first.default is first.empty
    arguments = [written.head if colon else ""] if takes_text and (colon or needed) else []
    options = specs.typed(written.options, types, f"reward {name}")
    try:
        return factory(*arguments, **options)
    except TPOError:
        raise
    except Exception as error:
        from tpo.rewards.user_code import described

        raise RewardError(f"The reward {spec!r} cannot be made: {described(error)}.") from error


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
