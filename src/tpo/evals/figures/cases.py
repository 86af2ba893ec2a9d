"""Case studies: the queries with the best, the median and the worst improvement, to be read (the paper's App. D)."""

from __future__ import annotations

from typing import NamedTuple

from tpo.engine.result import Step
from tpo.evals.figures.data import Group, Run
from tpo.messages import Conversation, text_of
from tpo.runs.history import QueryHistory, query_history

WHICH = ("Best improvement", "Median improvement", "Worst improvement")


class Case(NamedTuple):
    """A query with its history.

    Attributes:
        which: one of `WHICH`.
        id: the row's id.
        query: its messages, each with its role.
        first: the first sample.
        first_reward: its reward.
        answer: the final answer.
        reward: its reward.
        step: at which step the answer was found.
        steps: the textual losses and gradients between.
    """

    which: str
    id: str
    query: list[tuple[str, str]]
    first: str
    first_reward: float
    answer: str
    reward: float
    step: int
    steps: list[Step]


class Cases(NamedTuple):
    """The cases of a run."""

    label: str
    cases: list[Case]


def cases(group: Group) -> list[Cases]:
    """The cases of each run with steps; a run of two queries has the best and the worst, one of a single query that."""
    names = group.names()
    return [
        Cases(names[run.path], [_case(run, which, id) for which, id in picked(run)])
        for run in group.runs
        if run.depth > 0 and run.method != "best-of-n"
    ]


def picked(run: Run) -> list[tuple[str, str]]:
    """Which queries these are: by the gain over the first sample, equal ones by their ids."""
    gains = sorted((query.reward - query.first.reward, id) for id, query in run.queries.items())
    places = {WHICH[0]: len(gains) - 1, WHICH[1]: len(gains) // 2, WHICH[2]: 0}
    chosen: dict[int, str] = {}
    for which in (WHICH[0], WHICH[2], WHICH[1]):  # of few queries, the extremes come before the middle
        chosen.setdefault(places[which], which)
    found = {which: gains[place][1] for place, which in chosen.items()}
    return [(which, found[which]) for which in WHICH if which in found]


def _case(run: Run, which: str, id: str) -> Case:
    history: QueryHistory = query_history(run.path, run.queries[id].id)
    assert history.result is not None
    result, query = history.result, run.queries[id]
    first = next(one for one in result.candidates if one.reward is not None)
    step = next(one.step for one in result.candidates if one.id == result.chosen)
    return Case(
        which=which,
        id=id,
        query=_turns(history.plan.query if history.plan is not None else []),
        first=first.text,
        first_reward=query.first.reward,
        answer=result.answer,
        reward=query.reward,
        step=step,
        steps=[one for one in result.steps if one.loss or one.gradient],
    )


def _turns(query: Conversation) -> list[tuple[str, str]]:
    return [(str(message["role"]), text_of(message)) for message in query]
