"""Failing endpoints: what is tried again, what is not, and what survives."""

from __future__ import annotations

import pytest

from engine.kit import drive
from fakes import FakeModel, numbered, said
from tpo.engine.events import Event, Retrying
from tpo.engine.records import Called, Ended
from tpo.errors import ModelError, ModelUnavailable
from tpo.http import retry
from tpo.http.retry import LONGEST_WAIT, TRIES
from tpo.models.profiles import Profile
from tpo.models.protocol import Request

ALL_IN_ONE = Profile("n", choices="n", max_choices=4)


async def test_what_may_pass_is_tried_again_and_counted() -> None:
    failures = 2

    def answer(request: Request, index: int) -> str | ModelError:
        nonlocal failures
        failures -= 1
        return ModelUnavailable("overloaded", retry_after=0.0) if failures >= 0 else "fine"

    events: list[Event] = []
    result = await drive(FakeModel(answer), method="sample", events=events)
    assert result.answer == "fine"
    assert (result.usage["policy"].calls, result.usage["policy"].retries) == (3, 2)
    assert [event.error for event in events if isinstance(event, Retrying)] == ["overloaded"] * 2
    assert [event.error for event in events if isinstance(event, Called)] == ["overloaded", "overloaded", None]


async def test_what_cannot_pass_is_not_tried_again() -> None:
    model = FakeModel(lambda r, i: ModelError("refused the key"))
    with pytest.raises(ModelError, match="refused the key"):
        await drive(model, method="sample")
    assert len(model.requests) == 1


async def test_nothing_is_tried_for_ever() -> None:
    model = FakeModel(lambda r, i: ModelUnavailable("down"))
    with pytest.raises(ModelError, match="down"):
        await drive(model, method="sample")
    assert len(model.requests) == TRIES


async def test_a_server_that_asks_for_too_much_patience_is_not_waited_for() -> None:
    model = FakeModel(lambda r, i: ModelUnavailable("busy", retry_after=LONGEST_WAIT + 1))
    with pytest.raises(ModelError, match="busy"):
        await drive(model, method="sample")
    assert len(model.requests) == 1


@pytest.mark.parametrize(("retry_after", "wait"), [(0.01, 0.01), (0.0, 0.02), (None, 0.02)])
async def test_a_retry_after_of_nothing_names_no_time(
    retry_after: float | None, wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_overloaded_backoff", lambda state: 0.02)
    failures = [ModelUnavailable("busy", retry_after, overloaded=True)] * 2
    events: list[Event] = []
    await drive(FakeModel(lambda r, i: failures.pop() if failures else "fine"), method="sample", events=events)
    assert [event.wait for event in events if isinstance(event, Retrying)] == [wait] * 2


async def test_one_lost_answer_does_not_cost_the_others() -> None:
    seen: dict[int | None, int] = {}

    def answer(request: Request, index: int) -> str | ModelError:
        seen[request.seed] = seen.get(request.seed, 0) + 1
        return ModelUnavailable("broke off") if request.seed == min(seeds) else f"answer {request.seed}"

    seeds: list[int] = []
    model = FakeModel(answer)
    probe = FakeModel(numbered())
    await drive(probe, width=3, depth=0, seed=1)
    seeds.extend(request.seed for request in probe.requests if request.seed is not None)
    result = await drive(model, width=3, depth=0, seed=1)
    lost = [c for c in result.candidates if c.error]
    assert [(c.text, c.finish_reason, c.error) for c in lost] == [("", "error", "broke off")]
    assert len([c for c in result.candidates if c.reward is not None]) == 2


async def test_a_lost_answer_does_not_cost_those_that_are_drawn_beside_it() -> None:
    merges: list[Request] = []

    def answer(request: Request, index: int) -> str | ModelError:
        if said(request) == "How?":
            return f"answer {index}"
        merges.append(request)
        return ModelUnavailable("broke off") if request.seed == merges[0].seed else f"merge {request.seed}"

    result = await drive(FakeModel(answer, ALL_IN_ONE), method="rsa", width=3, depth=1, seed=1)
    lost = [c for c in result.candidates if c.error]
    assert [(c.step, c.error) for c in lost] == [(1, "broke off")]
    assert len({c.text for c in result.candidates if c.step == 1}) == 3
    assert result.stop == "depth"
    with pytest.raises(ModelError, match="all gone"):
        await drive(
            FakeModel(lambda r, i: "draft" if said(r) == "How?" else ModelUnavailable("all gone")),
            method="rsa",
            width=2,
            depth=1,
        )


async def test_an_empty_answer_in_one_wave_does_not_end_the_search() -> None:
    texts = {0: "", 1: "", 2: "at last"}
    model = FakeModel(lambda r, i: texts[len(model.requests) - 1], Profile("seeded", choices="n", max_choices=1))
    result = await drive(model, method="best-of-n", width=3, seed=1, own={"wave": 1})
    assert (result.answer, len(result.candidates)) == ("at last", 3)
    silent = FakeModel(lambda r, i: "")
    with pytest.raises(ModelError, match=r"No answer can be used \(3 were drawn\): the answer is empty"):
        await drive(silent, method="best-of-n", width=3, seed=1, own={"wave": 1})
    # What shows a critic or an editor an answer needs one.
    for method in ("tpo", "feedback-descent"):
        silent = FakeModel(lambda r, i: "")
        with pytest.raises(ModelError, match=r"No answer can be used \(1 were drawn\)"):
            await drive(silent, method=method, width=1, seed=1)
        assert {said(request) for request in silent.requests} == {"How?"}


async def test_an_answer_that_landed_before_the_connection_broke_is_kept() -> None:
    calls = 0

    def answer(request: Request, index: int) -> str | ModelError:
        nonlocal calls
        calls += 1
        return ModelUnavailable("broke off") if calls == 3 else f"answer {calls}"

    model = FakeModel(answer, ALL_IN_ONE)
    result = await drive(model, method="best-of-n", width=4)
    assert [request.n for request in model.requests] == [4, 2]
    assert sorted(c.text for c in result.candidates) == ["answer 1", "answer 2", "answer 4", "answer 5"]


async def test_a_failure_half_way_keeps_what_there_was() -> None:
    def answer(request: Request, index: int) -> str | ModelError:
        return "good answer" if said(request) == "How?" else ModelError("the critic is gone")

    events: list[Event] = []
    with pytest.raises(ModelError, match="critic is gone") as caught:
        await drive(FakeModel(answer), events=events)
    assert caught.value.partial is not None
    assert caught.value.partial.answer == "good answer"
    assert caught.value.partial.stop == "error"
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.error == "the critic is gone"
