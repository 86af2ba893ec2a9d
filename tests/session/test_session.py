"""A session opens once what many queries use, and closes what it opened."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel, FakeReward, numbered, said
from models.server import Received, delta, models, response, serving, stream
from tpo.engine.records import Ended, Sampled, Started
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Outcome, Sample, Search, method
from tpo.methods.lifts import Lifts
from tpo.prompts import PromptSet
from tpo.rewards.verifiers.exact import Exact


def served(request: Received) -> bytes:
    if request.path.endswith("/models"):
        return models("small", "large")
    if request.path.endswith("/chat/completions"):
        return stream(delta(f"an answer of {request.json['model']}", finish="stop"))
    return response("{}", 404)


def length() -> FakeReward:
    return FakeReward(lambda text: float(len(text)))


def test_the_command_lines_file_and_variables_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen() -> tuple[Any, ...]:
        spec = tpo.Session().spec
        return spec.roles["policy"].where, spec.reward, spec.method.name, spec.width

    before = chosen()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tpo.toml").write_text('method = "sample"\nwidth = 9\n')
    for name, value in {"POLICY": "http://127.0.0.1:9/v1", "REWARD": "none", "METHOD": "sample", "WIDTH": "9"}.items():
        monkeypatch.setenv(f"TPO_{name}", value)
    assert chosen() == before == ("embedded", None, "tpo", 5)


async def test_many_queries_share_what_was_opened_once() -> None:
    async with serving(served) as server:
        options: Any = {"policy": server.url, "policy_model": "small", "reward": "surface", "width": 2, "depth": 0}
        async with tpo.Session(**options) as session:
            results = await asyncio.gather(*[session.align(f"Question {number}?") for number in range(8)])
        paths = Counter(request.path for request in server.received)
    assert [result.answer for result in results] == ["an answer of small"] * 8
    assert paths["/v1/models"] == 1
    assert paths["/v1/chat/completions"] == 16


async def test_a_query_may_change_what_is_not_opened_with_the_session() -> None:
    async with serving(served) as server:
        async with tpo.Session(policy=server.url, policy_model="small", method="best-of-n", width=2) as session:
            large = await session.align("How?", policy_model="large")
            one = await session.align("How?", method="sample")
            assert (await session.align("How?")).width == 2
        assert (large.answer, one.width) == ("an answer of large", 1)
    with pytest.raises(tpo.InputError, match="reward cannot change from query to query"):
        await tpo.Session(policy=FakeModel(numbered()), reward=length()).align("How?", reward="none")
    with pytest.raises(tpo.InputError, match="width is 0"):
        await tpo.Session(policy=FakeModel(numbered()), reward=length()).align("How?", width=0)


async def test_objects_are_the_callers_to_close_and_names_the_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    from tpo.models.openai import OpenAIModel

    closed: list[str] = []
    close = OpenAIModel.aclose

    async def counted(model: OpenAIModel) -> None:
        closed.append(model.model)
        await close(model)

    monkeypatch.setattr(OpenAIModel, "aclose", counted)
    given = FakeModel(numbered())
    async with (
        serving(served) as server,
        tpo.Session(policy=given, critic=server.url, critic_model="large", reward=length(), depth=0) as session,
    ):
        await session.align("How?")
        assert closed == []
    assert closed == ["large"]
    assert not given.closed


async def test_a_session_that_cannot_open_closes_what_it_had_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from tpo.models.openai import OpenAIModel

    closed: list[str] = []

    async def counted(model: OpenAIModel) -> None:
        closed.append(model.model)

    monkeypatch.setattr(OpenAIModel, "aclose", counted)
    async with serving(served) as server:
        with pytest.raises(tpo.ModelError):
            async with tpo.Session(policy=server.url, policy_model="small", critic="http://127.0.0.1:9/v1"):
                raise AssertionError("it must not open")
    assert closed == ["small"]


async def test_a_stream_yields_every_record_and_the_result_last() -> None:
    async with tpo.Session(policy=FakeModel(numbered()), reward=length(), width=2, depth=1) as session:
        events = [event async for event in session.stream("How?")]
    result = events[-1]
    assert isinstance(result, tpo.Result)
    assert isinstance(events[0], Started)
    assert [event for event in events[:-1] if event in result.trace] == result.trace
    assert isinstance(result.trace[-1], Ended)
    assert sum(isinstance(event, Sampled) for event in events) == 4


async def test_leaving_a_stream_ends_its_search() -> None:
    model = FakeModel(numbered())
    async with tpo.Session(policy=model, reward=length(), width=2, depth=5) as session:
        async with aclosing(session.stream("How?")) as events:
            async for event in events:
                if isinstance(event, Sampled):
                    break
        made = len(model.requests)
        await asyncio.sleep(0)
        assert model.live == 0
        assert len(model.requests) == made


async def test_a_stream_raises_what_align_raises() -> None:
    def fails(request: Any, index: int) -> tpo.ModelError:
        return tpo.ModelError("no such luck")

    async with tpo.Session(policy=FakeModel(fails), reward=length()) as session:
        with pytest.raises(tpo.ModelError, match="no such luck"):
            async for _ in session.stream("How?"):
                pass


async def test_a_trace_is_continued_through_a_session(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    async with tpo.Session(policy=FakeModel(numbered()), reward=length(), width=2, depth=0) as session:
        first = await session.align("How?", trace=path)
    assert tpo.replay(path) == first


async def test_a_trace_that_was_cut_off_in_its_first_line_begins_anew(tmp_path: Path) -> None:
    path, notes = tmp_path / "trace.jsonl", list[str]()
    options: Any = {"policy": FakeModel(numbered()), "reward": length(), "width": 2, "depth": 0}
    async with tpo.Session(on_note=notes.append, **options) as session:
        await session.align("How?", trace=path)
        first = path.read_bytes().index(b"\n")
        for kept in (1, 50, first):
            path.write_bytes(path.read_bytes()[:kept])
            assert (await session.align("How?", trace=path)) == tpo.replay(path)
            assert "was torn" in notes.pop() and not notes
        path.write_bytes(b"{}")
        with pytest.raises(tpo.JournalError, match="Nothing was overwritten"):
            await session.align("How?", trace=path)


async def test_outside_a_run_a_method_starts_without_lifts_and_so_it_does_when_continued(tmp_path: Path) -> None:
    given: list[object] = []

    @method()
    def plain(query: Conversation, *, width: int, prompts: PromptSet, lifts: Lifts | None = None) -> Search:
        given.append(lifts)
        return Outcome((yield Sample(prompts.render("answer", query), width))[0], "depth")

    path = tmp_path / "trace.jsonl"
    options: Any = {"policy": FakeModel(numbered()), "reward": length(), "method": plain, "trace": path}
    await tpo.align("How?", **options)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    await tpo.align("How?", **options)
    assert given == [None, None]


async def test_sessions_may_share_what_servers_take() -> None:
    limiters: dict[str, Any] = {}
    async with serving(served) as server:
        for _ in range(2):
            async with tpo.Session(policy=server.url, policy_model="small", method="sample", limiters=limiters) as one:
                await one.align("How?")
    assert len(limiters) == 1


def test_a_sync_session_answers_and_streams() -> None:
    with tpo.SyncSession(policy=FakeModel(numbered()), reward=length(), width=2, depth=0) as session:
        assert session.align("How?").answer == "answer 1"
        *events, result = session.stream("How?")
        assert isinstance(result, tpo.Result)
        assert isinstance(events[0], Started)
        for event in session.stream("How?"):
            assert isinstance(event, Started)
            break  # leaving early ends the search
    session.close()  # a second time does nothing


async def test_a_sync_session_works_inside_a_running_loop() -> None:
    with tpo.SyncSession(policy=FakeModel(lambda r, i: said(r)), reward=length(), method="best-of-n") as session:
        assert session.align("How?").answer == "How?"


def test_a_sync_session_opens_at_the_first_query_and_refuses_any_after_its_end() -> None:
    session = tpo.SyncSession(policy=FakeModel(numbered()), reward=length(), check=False, width=2, depth=0)
    answers: list[tpo.Result] = []
    first = threading.Thread(target=lambda: answers.append(session.align("Hi")), daemon=True)
    first.start()
    first.join(60)
    assert answers and answers[0].answer.startswith("answer")
    left = session.stream("Hi")
    next(left)
    session.close()
    for use in (lambda: session.align("Hi"), session.__enter__, lambda: next(left), lambda: next(session.stream("Hi"))):
        with pytest.raises(InputError, match="session is closed"):
            use()


def test_a_sync_session_that_cannot_open_ends_its_thread() -> None:
    session = tpo.SyncSession(policy="http://127.0.0.1:9/v1")
    with pytest.raises(tpo.ModelError), session:
        raise AssertionError("it must not open")
    assert not session._thread.is_alive()


@pytest.mark.parametrize(
    ("options", "drawn"),
    [
        ({"reward": "none", "require": ["contains=right"]}, 4),
        ({"reward": Exact("right")}, 4),
        ({"reward": Exact("right"), "require": ["max-words=3"]}, 4),
        ({"reward": "surface", "require": ["contains=right"]}, 6),
        ({"reward": FakeReward(lambda text: float(text == "right"))}, 6),
    ],
)
async def test_waves_end_at_the_largest_reward_that_there_is(options: Any, drawn: int) -> None:
    """The third answer is right, the second wave of two has it, and nothing says so of a reward without a maximum."""
    answers = iter(["wrong", "wrong too", "right", "wrong again", "wrong still", "wrong at last"])
    policy = FakeModel(lambda request, index: next(answers))
    options = {"method": "best-of-n", "width": 6, "settings": {"wave": 2}, **options}
    async with tpo.Session(policy=policy, check=False, **options) as session:
        result = await session.align("How?")
    assert result.answer == "right"
    assert len(result.candidates) == drawn
    assert result.stop == ("enough" if drawn < 6 else "depth")


async def test_a_search_that_chooses_the_best_hashes_no_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def random_source(query: Any, seed: Any, *use: str) -> random.Random:
        hashed.extend(use)
        return random.Random(1)

    monkeypatch.setattr("tpo.session.spec.random_source", random_source)
    for select, expected in (("best", []), ("soft:1", ["select"])):
        model = FakeModel(numbered())
        await tpo.Session(policy=model, reward=length(), method="best-of-n", width=2, select=select).align("How?")
        assert hashed == expected
