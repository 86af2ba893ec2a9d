"""Every method with any of its settings: no answers, failures or words break it, and a replay of it is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from engine.kit import drive
from fakes import FakeModel, FakeReward
from tpo.candidate import Candidate
from tpo.engine.journal import Journal
from tpo.engine.result import result_of
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Ask, Outcome, Pool, Reply, Sample, ScoreTexts, find_method
from tpo.methods.lifts import Lift
from tpo.methods.registry import _registered
from tpo.models.protocol import Request
from tpo.prompts import PromptSet
from tpo.rewards.protocol import Score

PROMPTS = PromptSet()
FOX = "kept 1 of 2 requirements; missing: uses the word fox"

TEXTS = st.text(max_size=30) | st.sampled_from(["", " ", "<improved_answer>", "Answer 1:", "{{ query }}", "wipe"])
NAMES = st.sampled_from(["fox", "short", ""])
ANSWERS = st.builds(
    lambda text, reward, feedback, error, parts, leaked, tokens, missing: Candidate(
        "",
        0,
        text,
        None if error else reward,
        parts,
        feedback,
        error=error,
        tokens=tokens,
        leaked="ours" if leaked and text else None,
        missing=missing,
    ),
    TEXTS,
    st.none() | st.floats(-1e6, 1e6),
    st.none() | TEXTS | st.just(FOX),
    st.none() | st.just("failed"),
    st.dictionaries(NAMES, st.floats(0, 1), max_size=2),
    st.booleans(),
    st.integers(0, 50),
    st.dictionaries(NAMES, st.sampled_from(["uses the word fox", 'ends with "a; b"', ""]), max_size=2),
)


# Conversations of one or several turns, with odd texts, a system message or an image.
CONTENTS = TEXTS | st.just(
    [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
)
QUERIES = st.builds(
    lambda system, turns, last: [
        *([{"role": "system", "content": system}] if system else []),
        *(
            {"role": role, "content": text}
            for pair in turns
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ),
        {"role": "user", "content": last},
    ],
    st.none() | TEXTS,
    st.lists(st.tuples(CONTENTS, TEXTS), max_size=2),
    CONTENTS,
)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a setting's type, within its bounds; near the lower one, where a search is short."""
    match kind:
        case inspect.IntType(ge=low, le=high):
            return st.integers(low or 0, min((low or 0) + 6, high or 100))
        case inspect.FloatType(ge=low, le=high):
            return st.floats(-2 if low is None else low, 2 if high is None else high)
        case inspect.BoolType():
            return st.booleans()
        case inspect.LiteralType(values=known):
            return st.sampled_from(known)
        case inspect.NoneType():
            return st.none()
        case inspect.ListType(item_type=item):
            return st.lists(values(item), max_size=4)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=4)
        case inspect.UnionType(types=types):
            return st.one_of([values(one) for one in types])
    raise AssertionError(f"no values of {kind} are known: add them here")


class Dials(NamedTuple):
    """How a method is started."""

    width: int
    depth: int
    maximum: float | None
    own: dict[str, Any]
    lifts: dict[str, Lift]


@st.composite
def dials_of(draw: st.DrawFn, name: str) -> Dials:
    """Any dials and settings that a method takes."""
    method = find_method(name)
    known = {one.name: values(inspect.type_info(one.type)) for one in method.settings.values()}
    try:
        own = method.chosen_settings(draw(st.fixed_dictionaries({}, optional=known)))
    except InputError:  # it takes no such combination
        assume(False)
    lifts = st.builds(Lift, st.floats(0, 50), st.floats(-5, 5))
    return Dials(
        draw(st.integers(1, 4)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from([None, 1.0, 1e6])),
        own,
        draw(st.dictionaries(st.sampled_from(["restate", "fuse", "answer"]), lifts, max_size=2)),
    )


def replayed(
    name: str, query: Conversation, dials: Dials, draw: Callable[[int], list[Candidate]], reply: str
) -> tuple[list[Any], Pool]:
    """All that a method yields, its outcome at the end, and all answers that were drawn."""
    pool = Pool()
    search = find_method(name).start(
        query,
        width=dials.width,
        depth=dials.depth,
        prompts=PROMPTS,
        settings=dials.own,
        seed=3,
        maximum=dials.maximum,
        lifts=dials.lifts,
    )
    yielded: list[Any] = []
    step = 0
    try:
        wish = next(search)
        while True:
            actions: list[Any] = wish if isinstance(wish, list) else [wish]
            for action in actions:
                scored = isinstance(action, ScoreTexts)
                yielded.append(action.texts if scored else (action.prompt.messages, getattr(action, "width", None)))
            results: list[Any] = []
            for number, action in enumerate(actions):
                if isinstance(action, Ask):
                    results.append(Reply(reply, 1))
                    continue
                if isinstance(action, ScoreTexts):
                    rated = zip(action.texts, draw(len(action.texts)), strict=True)
                    results.append([Candidate("", step, text, one.reward, error=one.error) for text, one in rated])
                    continue
                assert isinstance(action, Sample) and action.width > 0
                found = [
                    msgspec.structs.replace(one, id=f"{step}.{number}.{i}", step=step)
                    for i, one in enumerate(draw(action.width))
                ]
                pool.add(found)
                results.append(found)
            step += 1
            wish = search.send(results if isinstance(wish, list) else results[0])
    except StopIteration as end:
        assert isinstance(end.value, Outcome)
        return [*yielded, end.value], pool


@pytest.mark.parametrize("name", list(_registered))
@settings(max_examples=110, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), QUERIES, st.lists(ANSWERS, min_size=1, max_size=12), TEXTS)
def test_no_junk_or_failure_breaks_a_method_and_replay_is_the_same(
    name: str, data: st.DataObject, query: Any, answers: list[Candidate], reply: str
) -> None:
    dials = data.draw(dials_of(name))

    def run() -> tuple[list[Any], Pool]:
        place = 0

        def draw(count: int) -> list[Candidate]:
            nonlocal place
            place += count
            return [answers[(place + i) % len(answers)] for i in range(count)]

        return replayed(name, query, dials, draw, reply)

    first, pool = run()
    assert first == run()[0]
    # Whatever was drawn, the answer is the best of it: none is lost, and none is made up.
    outcome: Outcome = first[-1]
    assert outcome.chosen == pool.chosen


SAID = st.sampled_from(
    ["Wipe it.", "A fox. Wipe it.\n\nDry it.", "<improved_answer>Dry it.</improved_answer>", "{{ x }}"]
)


@pytest.mark.parametrize("name", list(_registered))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.lists(SAID, min_size=1, max_size=5), st.integers(0, 4), st.floats(0, 1))
def test_a_search_with_any_settings_is_replayed_and_continued_from_its_journal(
    name: str, data: st.DataObject, texts: list[str], shift: int, kept: float
) -> None:
    dials = data.draw(dials_of(name))

    def policy(request: Request, index: int) -> str:
        return texts[((request.seed or 0) + index) % len(texts)]

    def reward(text: str) -> Score:
        lacks = {} if "fox" in text else {"fox": "uses the word fox"}
        return Score(len(text) / 10 - shift, {"fox": float(not lacks), "long": len(text) / 40}, FOX, lacks)

    def run(journal: Journal) -> Any:
        return asyncio.run(
            drive(
                FakeModel(policy),
                FakeReward(reward),
                method=name,
                width=dials.width,
                depth=dials.depth,
                own=dials.own,
                seed=3,
                journal=journal,
            )
        )

    journal = Journal()
    whole = run(journal)
    assert result_of(journal.records) == whole
    # Killed anywhere after its beginning, it goes on to the same end.
    again = run(Journal(None, journal.records[: 1 + int(kept * (len(journal.records) - 1))]))
    assert (again.answer, again.reward, again.stop, again.steps) == (
        whole.answer,
        whole.reward,
        whole.stop,
        whole.steps,
    )
