"""The options of a search, checked as far as possible before anything is opened: `Options` in, a `Spec` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, cast

import msgspec

from tpo.config import NamedReward
from tpo.engine.limits import Budget
from tpo.engine.records import Plan, SamplingSettings
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Method, MethodSource, resolve_method, wording
from tpo.methods.actions import Search
from tpo.methods.definition import named_settings, random_source
from tpo.methods.efforts import Size
from tpo.methods.lifts import Lifts
from tpo.methods.selection import BEST, Selection, parse_selection
from tpo.models.dialect import omitted
from tpo.models.panel import arms_of
from tpo.models.protocol import Model
from tpo.options import Effort, SearchOptions, options_from
from tpo.prompts import PromptSet, Role
from tpo.prompts.sets import SETS, prompts_folder
from tpo.rewards.protocol import Reward
from tpo.rewards.require import Requirements
from tpo.rewards.resolve import ResolvedReward
from tpo.session.effort import size_of, with_effort
from tpo.session.preference import with_preference

# Fields of a chat-completions request that tpo decides about.
OURS = frozenset(
    ["messages", "model", "n", "stream", "stream_options", "temperature", "top_p", "seed", "cache_prompt"]
) | {"max_tokens", "max_completion_tokens"}


# The method of a panel's requests with tools.
PICKS = "best-of-n"


class RoleSpec(msgspec.Struct, frozen=True):
    """Who plays a role, as a user names it.

    Attributes:
        where: `embedded`, `gguf:PATH`, `hub:ORG/REPO`, a URL or several with commas between them, or a `Model`; for
            the policy also a mapping of such, the arms of a panel by name. None for the policy's.
        model: the model's name there; None where one model is served.
        omit: fields that requests go without, because the server refuses them.
    """

    where: Any = None
    model: str | None = None
    omit: tuple[str, ...] = ()


class Spec(msgspec.Struct, frozen=True):
    """What to do with a query, checked as far as possible without any call.

    Attributes:
        method: the method.
        width: N.
        depth: D.
        method_settings: the method's own settings, those that differ from its defaults.
        settings: how text is sampled.
        budget: what one query may cost.
        prompts: the wording.
        roles: who plays which role.
        reward: as `tpo.align` takes it.
        require: rules that rank before the reward; a `ResolvedReward` has them in it, and `select` needs their names.
        check: refuse a reward that looks broken.
        rewards: rewards that a configuration file names.
        score_cache: a file that keeps scores for later runs.
        judge: a reward that only measures, as for `reward`; None for none.
        select: chooses the answer among the candidates.
        size: of the policy, which a level of effort was chosen for; None without one.
    """

    method: Method
    width: int
    depth: int
    method_settings: dict[str, Any]
    settings: SamplingSettings
    budget: Budget
    prompts: PromptSet
    roles: dict[Role, RoleSpec]
    reward: Any
    require: Sequence[str]
    check: bool
    rewards: Mapping[str, NamedReward]
    score_cache: Path | None
    judge: Any = None
    select: Selection = Selection(BEST)
    size: Size | None = None

    def search(self, query: Conversation, maximum: float | None = None, lifts: Lifts | None = None) -> Search:
        """Begin the method's search for an answer.

        Args:
            query: the conversation to answer.
            maximum: the largest reward that there is, where it is known.
            lifts: by how much the answers to a prompt exceed plain ones, as the earlier queries of the run showed.
        """
        search = self.method.start(
            query,
            width=self.width,
            depth=self.depth,
            prompts=self.prompts,
            settings=self.method_settings,
            seed=self.settings.seed,
            maximum=maximum,
            lifts=lifts,
        )
        if self.select.name == BEST:  # nothing to choose at random, and hashing a long conversation takes its time
            return search
        rng = random_source(query, self.settings.seed, "select")
        required = [rule.text for rule in Requirements(self.require).rules] if self.require else []
        return self.select.applied(search, query, self.prompts, rng, required)


class Options(TypedDict, total=False):
    """The options that `tpo.align` and `tpo.run_dataset` share; see `tpo.align` for their meaning."""

    method: MethodSource
    effort: Effort | str | None
    settings: Mapping[str, Any] | Sequence[str]
    width: int
    depth: int
    select: str
    policy: str | Model | Mapping[str, str | Model] | Sequence[str]
    policy_model: str | None
    critic: str | Model | None
    critic_model: str | None
    editor: str | Model | None
    editor_model: str | None
    reward: str | Reward | ResolvedReward | Callable[..., Any] | None
    prefer: str | Path | None
    require: Sequence[str]
    rewards: Mapping[str, NamedReward]
    score_cache: str | Path | None
    check: bool
    judge: str | Reward | Callable[..., Any] | None
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
    omit: Sequence[str]


def no_reward(method: Method) -> InputError:
    """The error of a search whose method needs a reward, where there is none."""
    return InputError(f"The method {method.name} needs a reward to choose by; without one there is only sample.")


def specified(options: Options, prompts: PromptSet | None = None, *, one_arm: bool = False) -> Spec:
    """Check the options of a search.

    Args:
        options: as `tpo.align` takes them.
        prompts: the prompt set that they name, where it was read before; read anew where they name another one.
        one_arm: a single arm of the panel answers.

    Raises:
        InputError: something is out of range or unknown.
        PromptError: a template is broken.
    """
    options = cast(Options, with_effort(with_preference(options)))
    given = {name: value for name, value in options.items() if name not in ("rewards", "settings")}
    chosen = options_from(SearchOptions, given)
    method, arms = resolve_method(chosen.method), arms_of(chosen.policy)
    named = named_settings(options.get("settings") or ())
    if arms and not one_arm and (chosen.extra or {}).get("tools") and method.needs_reward and method.name != PICKS:
        # Calls of tools are picked as they are: a merge or a rewrite of two arms' calls is nobody's call.
        method, named = resolve_method(PICKS), {}
    omit = tuple(sorted(omitted(chosen.omit)))
    width, depth = method.dials(chosen.width, chosen.depth)
    select = parse_selection(chosen.select)
    folder = prompts_folder(options)
    if prompts is None or folder != prompts.folder:  # an effort may name another set than the one that was read
        prompts = _of_tpo(folder) if folder in SETS.values() else wording(method, folder)
    settings = SamplingSettings(
        chosen.temperature,
        chosen.top_p,
        chosen.max_tokens,
        chosen.max_tokens if chosen.critic_max_tokens is None else chosen.critic_max_tokens,
        chosen.seed,
        chosen.quorum,
        dict(chosen.extra or {}),
    )
    return Spec(
        method,
        width,
        depth,
        method.chosen_settings(named),
        _checked(settings, width),
        Budget(chosen.budget_tokens, chosen.budget_seconds),
        prompts.for_method((*method.templates, *select.templates)),
        {
            "policy": _role("policy", arms or chosen.policy, chosen.policy_model, omit),
            "critic": _role("critic", chosen.critic, chosen.critic_model, omit),
            "editor": _role("editor", chosen.editor, chosen.editor_model, omit),
        },
        options.get("reward"),  # None and the default are recorded apart
        chosen.require,
        chosen.check,
        options.get("rewards") or {},
        Path(chosen.score_cache) if chosen.score_cache is not None else None,
        _as_reward(chosen.judge),
        select,
        None if chosen.effort is None else size_of(options),
    )


@cache
def _of_tpo(folder: Path | None) -> PromptSet:
    """A prompt set that comes with tpo, read once: it takes 10 ms."""
    return wording(folder=folder)


def _role(role: Role, where: Any, model: str | None, omit: tuple[str, ...]) -> RoleSpec:
    """Who plays a role: named by text, or an object that generates."""
    for place in where.values() if role == "policy" and isinstance(where, Mapping) else [where]:
        if not isinstance(place, str | None) and not hasattr(place, "generate"):
            kind = type(place).__name__
            raise InputError(f"The {role} is of type {kind}: give a URL such as http://localhost:8000/v1, or a Model.")
    return RoleSpec(where, model, omit)


def _as_reward(judge: Any) -> Any:
    """A held-out judge as a reward is named: an address alone is that of a judge."""
    is_address = isinstance(judge, str) and judge.startswith(("http://", "https://"))
    return f"judge:{judge}" if is_address else judge


def _checked(settings: SamplingSettings, width: int) -> SamplingSettings:
    """See that the settings go together; each alone was checked before."""
    ours = sorted(OURS & settings.extra.keys())
    if ours:
        raise InputError(f"extra has {', '.join(ours)}, which tpo sets by itself: use its own options for these.")
    if settings.quorum is not None and settings.quorum > width:
        raise InputError(f"The quorum is {settings.quorum}; it must be from 1 to the width, {width}.")
    return settings


def plan_of(
    spec: Spec, query: Conversation, models: Mapping[Role, str], reward: Reward | None, judge: Reward | None = None
) -> Plan:
    """Everything that decides the result of a query.

    Args:
        spec: the checked options.
        query: the query.
        models: the name of each role's model.
        reward: the reward that was opened.
        judge: the held-out judge that was opened.
    """
    reward_name = reward.name if reward is not None else None
    return Plan(
        query,
        spec.method.name,
        spec.width,
        spec.depth,
        spec.settings,
        spec.prompts.name,
        dict(models),
        reward_name,
        spec.method_settings,
        spec.method.code,
        judge.name if judge is not None else None,
        spec.select.label,
    )
