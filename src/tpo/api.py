"""The library's front door: one query in, the best answer and its whole story out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tpo.checks.reward import refuse_broken
from tpo.engine.driver import Driver
from tpo.engine.events import Listener
from tpo.engine.journal import Journal, mend, read_journal
from tpo.engine.limits import Budget, Stopper
from tpo.engine.past import Past
from tpo.engine.records import Plan, Settings
from tpo.engine.result import Result, result_of
from tpo.errors import InputError, JournalError
from tpo.messages import conversation
from tpo.methods import find_method
from tpo.models.protocol import Model
from tpo.models.resolve import EMBEDDED, open_model
from tpo.prompts import ROLES, PromptSet, Role
from tpo.rewards.asking import close, connect
from tpo.rewards.batching import shared
from tpo.rewards.protocol import PoolReward, Reward
from tpo.rewards.resolve import resolve_reward

T = TypeVar("T")


def _quiet(_: Any) -> None:
    """Listen to nothing."""


async def align(
    query: str | Sequence[Mapping[str, Any]],
    *,
    method: str = "tpo",
    width: int = 5,
    depth: int = 2,
    policy: str | Model = EMBEDDED,
    policy_model: str | None = None,
    critic: str | Model | None = None,
    critic_model: str | None = None,
    editor: str | Model | None = None,
    editor_model: str | None = None,
    reward: str | Reward | PoolReward | Callable[..., Any] | None = None,
    require: Sequence[str] = (),
    check: bool = True,
    prompts: str | Path | None = None,
    temperature: float = 0.7,
    top_p: float = 0.95,
    seed: int | None = None,
    max_tokens: int = 1024,
    critic_max_tokens: int | None = None,
    budget_tokens: int | None = None,
    budget_seconds: float | None = None,
    trace: str | Path | None = None,
    stopper: Stopper | None = None,
    on_event: Listener = _quiet,
    on_note: Callable[[str], None] = _quiet,
) -> Result:
    """Answer a query, aligned with a reward (Test-Time Preference Optimization, arXiv 2501.12895).

    Args:
        query: a question, or chat messages with system message and history.
        method: tpo, revision, best-of-n or sample.
        width: N, answers per step.
        depth: D, update steps.
        policy: who answers: `embedded`, `gguf:PATH`, the URL of an OpenAI-compatible server, or a `Model`.
        policy_model: the model's name there; found by itself where one model is served.
        critic: who writes loss and gradient; the policy unless given.
        critic_model: likewise.
        editor: who writes the updated answers; the policy unless given.
        editor_model: likewise.
        reward: what steers: `surface` (the default), `python:MODULE:FUNCTION`, a function that takes a list of
            conversations and returns a list of numbers, or a `Reward`.
        require: rules such as `max-words=80`, which rank before the reward.
        check: refuse a reward model that looks broken (constant, squashed, blind to quality) before anything is paid.
        prompts: a folder with templates that replace the default wording.
        temperature: sampling temperature, 0 or more.
        top_p: nucleus mass, above 0 and at most 1.
        seed: seed of the run; the same seed gives the same result where the backend is deterministic.
        max_tokens: completion tokens per answer.
        critic_max_tokens: completion tokens per critique; `max_tokens` unless given.
        budget_tokens: prompt and completion tokens of all roles together, after which the best answer so far counts.
        budget_seconds: likewise in wall-clock time.
        trace: a JSON Lines file to write everything to, as it happens. A trace of the same run that was broken off is
            continued, a trace of another run or of a whole one is replaced, and a file that is no trace is refused.
        stopper: ends the run from outside, with the best answer so far.
        on_event: told of everything that happens.
        on_note: told in a sentence of what a user should know.

    Returns:
        the answer, its reward, the steps, what each role cost, and the trace.

    Raises:
        InputError: what was given cannot be used.
        PromptError: a template is broken.
        ModelError: a server cannot be reached, refuses or misbehaves.
        RewardError: the reward is broken.
        CheckError: a reward model failed the check.
        JournalError: the trace cannot be written.
    """
    messages = conversation(query)
    chosen_method = find_method(method)
    width, depth = chosen_method.dials(width, depth)
    limit = max_tokens if critic_max_tokens is None else critic_max_tokens
    settings = Settings(temperature, top_p, max_tokens, limit, seed)
    _check(settings)
    budget = Budget(budget_tokens, budget_seconds)
    wording = PromptSet(prompts)
    scorer = resolve_reward(reward, require) if chosen_method.needs_reward else None
    if isinstance(scorer, Reward):
        scorer = shared(scorer)  # queries that run at once share its batches
    if chosen_method.needs_reward and scorer is None:
        raise InputError(f"The method {method} needs a reward to choose by; without one there is only sample.")
    named = {"policy": policy_model, "critic": critic_model, "editor": editor_model}
    specs: dict[Role, str | Model | None] = {"policy": policy, "critic": critic, "editor": editor}
    async with AsyncExitStack() as stack:
        if reward is None or isinstance(reward, str):  # an object is the caller's to close
            stack.push_async_callback(close, scorer)
        await connect(scorer)
        if check:
            await refuse_broken(scorer)
        models = await _open(specs, named, stack, on_note)
        if seed is not None:
            _say_where_seeds_are_lost(models, on_note)
        names = {role: model.name for role, model in models.items()}
        plan = Plan(
            messages, method, width, depth, settings, wording.name, names, scorer.name if scorer is not None else None
        )
        journal = _journal(Path(trace) if trace is not None else None, plan, on_note)
        stack.callback(journal.close)
        driver = Driver(plan, models, scorer, journal, budget, stopper, on_event)
        return await driver.run(chosen_method.start(messages, width=width, depth=depth, prompts=wording))


def align_sync(query: str | Sequence[Mapping[str, Any]], **options: Any) -> Result:
    """`align` for scripts and notebooks: works with and without a running event loop.

    Args:
        query: as in `align`.
        options: as in `align`.

    Returns:
        as `align`.
    """
    return run_sync(align(query, **options))


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run something to its end from code that is not async, be a loop running in this thread or not."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    # A notebook's loop is busy running this very call: the work gets a loop and a thread of its own.
    with ThreadPoolExecutor(1, thread_name_prefix="tpo") as pool:
        return pool.submit(asyncio.run, work).result()


def replay(trace: str | Path, on_note: Callable[[str], None] = _quiet) -> Result:
    """Rebuild a run's result from its trace, without any call.

    Args:
        trace: a file that `align` wrote; that of a run which was killed gives the best answer so far.
        on_note: told of a torn last line.

    Raises:
        JournalError: the file is no trace, or holds no answer.
    """
    records, torn = read_journal(Path(trace))
    if torn:
        on_note(torn)
    return result_of(records)


async def _open(
    specs: dict[Role, str | Model | None],
    named: Mapping[str, str | None],
    stack: AsyncExitStack,
    on_note: Callable[[str], None],
) -> dict[Role, Model]:
    models: dict[Role, Model] = {}
    for role in ROLES:
        spec, name = specs[role], named[role]
        if spec is None and name is None:
            models[role] = models["policy"]
        elif isinstance(spec, str) or spec is None:
            # A role with only a model of its own is served where the policy is.
            where = spec if spec is not None else specs["policy"]
            if not isinstance(where, str):
                raise InputError(f"{role}_model is given without {role}: say where that model is served.")
            opened = await open_model(where, role, name, on_note)
            stack.push_async_callback(opened.aclose)
            models[role] = opened
        else:
            models[role] = spec
    return models


def _check(settings: Settings) -> None:
    if not 0 <= settings.temperature <= 100:
        raise InputError(f"The temperature is {settings.temperature}; it is 0 or more.")
    if not 0 < settings.top_p <= 1:
        raise InputError(f"top-p is {settings.top_p}; it is above 0 and at most 1.")
    for name, value in (("max-tokens", settings.max_tokens), ("critic-max-tokens", settings.critic_max_tokens)):
        if value < 1:
            raise InputError(f"{name} is {value}; it is at least 1.")
    if settings.seed is not None and not 0 <= settings.seed < 2**63:
        raise InputError(f"The seed is {settings.seed}; it goes from 0 to 2**63 - 1.")


def _say_where_seeds_are_lost(models: Mapping[Role, Model], on_note: Callable[[str], None]) -> None:
    for name, profile in {model.name: model.profile for model in models.values()}.items():
        if not profile.seeds:
            on_note(f"{name} ({profile.name}) cannot take seeds, so this run will not repeat exactly.")


def _journal(path: Path | None, plan: Plan, on_note: Callable[[str], None]) -> Journal:
    if path is None or not path.is_file() or path.stat().st_size == 0:
        return Journal(path)
    try:
        records, torn = read_journal(path)
    except JournalError as error:
        # It may be a file that somebody mistyped, or a damaged trace with answers that were paid for.
        raise JournalError(f"{error} Nothing was overwritten: name another file for the trace.") from error
    past = Past(records)
    if past.finished:
        return Journal(path)
    if msgspec.json.encode(past.plan) != msgspec.json.encode(plan):
        on_note(f"{path} held the beginning of another run; it is replaced.")
        return Journal(path)
    if torn:
        on_note(torn)
        mend(path)
    on_note(f"{path} holds the beginning of this very run: going on from there.")
    return Journal(path, records)
