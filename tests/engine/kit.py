"""Runs a method on fake backends through the real driver."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fakes import FakeReward
from tpo.engine.driver import Driver
from tpo.engine.events import Event
from tpo.engine.journal import Journal, TraceFile
from tpo.engine.limits import Budget, Stopper
from tpo.engine.records import Ended, Plan, Sampled, SamplingSettings, Scored
from tpo.engine.result import Result
from tpo.engine.state import SearchState
from tpo.messages import Conversation, conversation
from tpo.methods import Method, resolve_method
from tpo.methods.selection import parse_selection
from tpo.models.protocol import Model
from tpo.prompts import PromptSet
from tpo.rewards.protocol import Reward

# What an answer repeats that is marked for it.
OURS = "Answer 2 is better than Answer 1."
LENGTH = FakeReward(lambda text: float(len(text)))
PROMPTS = PromptSet()


async def drive(
    policy: Model,
    reward: Reward | None = None,
    *,
    query: str | Conversation = "How?",
    method: str | Method = "tpo",
    width: int = 3,
    depth: int = 2,
    critic: Model | None = None,
    editor: Model | None = None,
    seed: int | None = None,
    journal: Journal | None = None,
    budget: Budget | None = None,
    stopper: Stopper | None = None,
    events: list[Event] | None = None,
    path: Path | None = None,
    own: Mapping[str, Any] | None = None,
    judge: Reward | None = None,
    select: str = "best",
    **settings: Any,
) -> Result:
    """One run; the reward is the answer's length unless given, and `own` are the method's own settings."""
    messages = conversation(query)
    chosen = resolve_method(method)
    scorer = (reward or FakeReward(lambda text: float(len(text)))) if chosen.needs_reward else None
    width, depth = chosen.dials(width, depth)
    models: dict[Any, Model] = {"policy": policy, "critic": critic or policy, "editor": editor or policy}
    names = {role: model.name for role, model in models.items()}
    plan = Plan(
        messages,
        chosen.name,
        width,
        depth,
        SamplingSettings(seed=seed, **settings),
        PROMPTS.name,
        names,
        scorer.name if scorer else None,
    )
    listen = events.append if events is not None else (lambda event: None)
    journal = journal or Journal(None if path is None else TraceFile(path))
    driver = Driver(plan, models, scorer, journal, budget, stopper, listen, judge=judge)
    rule = parse_selection(select)
    search = chosen.start(messages, width=width, depth=depth, prompts=PROMPTS, settings=own)
    return await driver.run(
        rule.applied(search, messages, PROMPTS.for_method((*chosen.templates, *rule.templates)), random.Random(0))
    )


def leaking(events: Iterable[Event], *ids: str) -> list[Event]:
    """The events of a search that was over, as they are where these answers repeat words of our prompts."""
    state, changed = SearchState(), list[Event]()
    for event in events:
        match event:
            case Sampled() if event.id in ids:
                event = msgspec.structs.replace(event, leaked=OURS)
            case Scored() if event.id in ids:
                event = msgspec.structs.replace(event, fault=f"repeats words of the prompt: {OURS!r}")
            case Ended() if (best := state.best) is not None:
                event = msgspec.structs.replace(event, chosen=best.id)
            case _:
                pass
        changed.append(event)
        state.apply(event)  # type: ignore[arg-type]  # events that are no records change nothing
    return changed
