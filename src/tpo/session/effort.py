"""Makes options of a level of effort, by the kind of reward and the size of the policy that the other options name.

Both are read off the names, before any server is reached, so that a run knows at once whether it is the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tpo.config import NamedReward
from tpo.methods.definition import Method, named_settings
from tpo.methods.efforts import PLAIN_PROMPTS, SIZES, SMALL, TINY, Level, RewardKind, Size, level_of
from tpo.methods.registry import resolve_method
from tpo.models.fleet import Fleet, model_name
from tpo.models.panel import Panel, arms_of
from tpo.models.resolve import EMBEDDED
from tpo.models.sizes import parameters_in
from tpo.options import SearchOptions, check_value, table
from tpo.prompts.sets import set_by_size
from tpo.rewards.resolve import DEFAULT, NONE

# Rewards whose remarks say what to do better; `surface` names faults too seldom.
_WITH_WORDS = ("verifier", "prefer")
# Those whose rules no question states.
_RULES = ("prefer", "require")
_JUDGES = ("judge",)
# The options that a level of effort decides; it picks prompts as well.
DIALS = ("method", "settings", "width", "depth", "critic_max_tokens")
# Steps of a method that has some, where the level's own has none.
_DEPTH = 2


def with_effort(options: Mapping[str, Any], policy_names: Sequence[str] = ()) -> dict[str, Any]:
    """Fill in what a level of effort decides; what was given explicitly counts.

    Args:
        options: those that were given, `effort` among them; all others are explicit. What is None is not given.
        policy_names: the names of the models that answer, where the options do not hold them.

    Returns:
        the options with method, width, depth, settings, length of critiques, and for a method whose prompts differ
        between the sets the prompt set; as they are without an effort.

    Raises:
        InputError: there is no such level.
    """
    effort = options.get("effort")
    if effort is None:
        return dict(options)
    check_value(table(SearchOptions)["effort"], effort)
    kind = reward_kind(options.get("reward", DEFAULT), options.get("require") or (), options.get("rewards") or {})
    level = level_of(effort, kind, size_of(options, policy_names))
    options = {name: value for name, value in options.items() if value is not None or name not in (*DIALS, "prompts")}
    filled: dict[str, Any] = {"width": level.width, "depth": level.depth}
    if level.critique is not None:
        filled["critic_max_tokens"] = level.critique
    own = options.get("method")
    method = resolve_method(level.method if own is None else own)
    if method.name not in PLAIN_PROMPTS:
        # The default too: a later reader of the options may not know the names of the models.
        filled["prompts"] = set_by_size(options, policy_names)
    if own is None:
        filled["method"] = level.method
    elif method.name != level.method:
        return {**filled, **_dials(method, level), **options}
    # A setting that is given leaves the level's others as they are; a width that is given is that of every step.
    given = named_settings(options.get("settings") or {})
    usual = {name: value for name, value in level.settings.items() if name != "widths" or options.get("width") is None}
    settings = {**usual, **{name.replace("-", "_"): value for name, value in given.items()}}
    return {**filled, **options, "settings": settings}


def _dials(method: Method, level: Level) -> dict[str, int]:
    """Width and depth that draw about as many answers with a method as the level's own method does."""
    answers = level.width * (level.depth + 1)
    if not method.has_depth:
        return {"width": answers}
    depth = level.depth or _DEPTH
    return {"width": max(answers // (depth + 1), 2), "depth": depth}


def size_of(options: Mapping[str, Any], policy_names: Sequence[str] = ()) -> Size:
    """Whether the policy is tiny, small or large; unknown counts as small.

    Args:
        options: `policy` and `policy_model` are looked at.
        policy_names: the names of the models that answer, where they are known otherwise; they count first.
    """
    policy = options.get("policy")
    arms = (arms_of(policy) or {"": policy}).values()
    # Of a panel the names are those of its arms, in their order, or the one arm's that answers.
    own = [(name,) for name in policy_names] if len(policy_names) == len(arms) else [tuple(policy_names)] * len(arms)
    return _smallest(
        [(*names, options.get("policy_model"), _name_of(arm)) for names, arm in zip(own, arms, strict=True)]
    )


def _smallest(arms: Iterable[Iterable[str | None]]) -> Size:
    """The size of the smallest arm, by names of each: a method that it cannot follow helps no panel."""
    return min(map(_size_of, arms), key=SIZES.index)


def note_other_size(size: Size | None, policy: Fleet, on_note: Callable[[str], None]) -> None:
    """Report that the policy's own name tells another size than the one that a level of effort was chosen for.

    Args:
        size: what the level was chosen for; None without an effort.
        policy: the policy, connected.
        on_note: called with the sentence.
    """
    names = policy.names if isinstance(policy, Panel) else [model_name(policy.servers[0].model)]
    found = _smallest([[name] for name in names])
    if size is None or any(parameters_in(name) is None for name in names) or found == size:
        return
    how = "NAME=MODEL@URL" if isinstance(policy, Panel) else f"--policy-model {names[0]}"
    on_note(
        f"the effort was chosen for a {size} policy, since no option names its model, and {', '.join(names)} is "
        f"{found}: with {how} the effort is that of its size"
    )


def _size_of(names: Iterable[str | None]) -> Size:
    for name in names:
        if name == EMBEDDED:
            return "tiny"
        if name and (parameters := parameters_in(name)) is not None:
            return "tiny" if parameters < TINY else "small" if parameters < SMALL else "large"
    return "small"


def reward_kind(reward: Any, require: object = (), named: Mapping[str, NamedReward] | None = None) -> RewardKind:
    """What a reward can do, by how the user names it.

    Args:
        reward: as `tpo.align` takes it.
        require: rules that rank before it; they have words, and are all there is without a reward.
        named: rewards that a configuration file names.
    """
    if reward is None:
        reward = DEFAULT
    kind = _kind_of(reward, named or {})
    if not require:
        return kind
    return "rules" if kind in ("none", "words", "rules") else "gated"


def _kind_of(reward: Any, named: Mapping[str, NamedReward]) -> RewardKind:
    if not isinstance(reward, str):
        name = _name_of(reward) or ""
        kinds = {name.partition(":")[0].partition("@")[0].partition("(")[0]}
    elif reward.strip() == NONE:
        return "none"
    else:
        kinds = {term.partition(":")[0].partition("?")[0].strip() for term in _terms(reward.strip(), named, ())}
    if kinds <= {*_WITH_WORDS, *_RULES}:
        return "rules" if kinds & set(_RULES) else "words"
    return "gated" if kinds == {"gate"} else "judge" if kinds & set(_JUDGES) else "model"


def _name_of(thing: object) -> str | None:
    if isinstance(thing, str):
        return thing
    name = getattr(thing, "name", None)
    return name if isinstance(name, str) else None


def _terms(spec: str, named: Mapping[str, NamedReward], above: tuple[str, ...]) -> set[str]:
    """The rewards that one is made of, as text."""
    if spec not in named or spec in above:
        return {spec}
    what = named[spec]
    parts = [*(what.sum or ()), *(what.min or ()), *([what.use] if what.use else [])]
    return {term for part in parts for term in _terms(part.strip(), named, (*above, spec))}
