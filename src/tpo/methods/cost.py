"""What a method costs: counted by running its generator dry, with invented answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tpo.candidate import Candidate
from tpo.messages import Conversation
from tpo.methods.actions import Action, Ask, Reply, Sample, ScoreTexts, Search
from tpo.methods.definition import Method
from tpo.methods.registry import wording
from tpo.prompts.prompt_set import PromptSet

_QUERY: Conversation = [{"role": "user", "content": "How do I clean a table?"}]


class Cost(NamedTuple):
    """What one query costs at most.

    Attributes:
        answers: answers drawn.
        replies: other replies of a model.
        stages: round trips that have to wait for the one before.
    """

    answers: int
    replies: int
    stages: int


def cost_of(
    method: Method, width: int, depth: int, settings: Mapping[str, Any] | None = None, prompts: PromptSet | None = None
) -> Cost:
    """Run a method dry and count.

    The answers are all different and none is perfect. What a method calls depends on whether answers get better and on
    whether the reward has words, so each case is run, and the most of each number counts.

    Args:
        method: the method.
        width: N.
        depth: D.
        settings: the method's own settings.
        prompts: the wording.
    """
    width, depth = method.dials(width, depth)
    own = {**method.costliest, **(settings or {})}
    prompts = prompts or wording(method)
    runs = [
        _dry_run(
            method.start(_QUERY, width=width, depth=depth, prompts=prompts, settings=own, seed=0, maximum=1e9),
            better=better,
            feedback=feedback,
        )
        for better in (True, False)
        for feedback in ("It names no cloth.", None)
    ]
    return Cost(*map(max, zip(*runs, strict=True)))


def _dry_run(search: Search, *, better: bool, feedback: str | None) -> Cost:
    answers = replies = stages = step = 0
    try:
        wish = next(search)
        while True:
            actions: list[Action] = wish if isinstance(wish, list) else [wish]
            results: list[Any] = []
            for number, action in enumerate(actions):
                drawn = action.width if isinstance(action, Sample) else 0
                results.append(_result(action, f"{step}.{number}", answers, better=better, feedback=feedback))
                answers += drawn
                replies += isinstance(action, Ask)
            stages += 1
            step += any(isinstance(action, Sample) for action in actions)
            wish = search.send(results if isinstance(wish, list) else results[0])
    except StopIteration:
        return Cost(answers, replies, stages)


def _result(action: Action, place: str, before: int, *, better: bool, feedback: str | None) -> Any:
    if isinstance(action, Ask):
        return Reply("1. Name a cloth.\nVerdict: B", 8)
    if isinstance(action, ScoreTexts):
        texts: Sequence[str] = action.texts
    else:
        texts = [f"Answer number {before + i}." for i in range(action.width)]
    step = int(place.partition(".")[0])
    # Gains that grow: no stop rule has reason to end.
    rewards = [float((before + i) ** 2) * (1 if better else -1) for i in range(len(texts))]
    return [
        Candidate(f"{place}.{i}", step, text, reward, feedback=feedback, tokens=8)
        for i, (text, reward) in enumerate(zip(texts, rewards, strict=True))
    ]
