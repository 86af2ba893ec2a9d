"""Rewards in Python: loading, calling, and saying what went wrong."""

from __future__ import annotations

import asyncio
import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards import call
from tpo.rewards.protocol import Score, is_relative
from tpo.rewards.python import PythonReward

TALKS = [answered(conversation("Where?"), answer) for answer in ("Here.", "Over there.")]

MODULE = """
import json

LIMIT = 3

def lengths(conversations):
    return [float(len(talk[-1]["content"])) for talk in conversations]

async def later(conversations):
    return lengths(conversations)

def broken(conversations):
    raise ValueError("no such\\nmodel")

def deep(conversations):
    return json.loads("{")

class Judge:
    def __init__(self, bonus=1.0):
        self.bonus = bonus

    def score(self, conversations):
        return [self.bonus for _ in conversations]

class Group:
    judge = Judge(5.0)
    class Inner:
        score = staticmethod(lengths)

class Costly:
    def __init__(self, path):
        pass
    def score(self, conversations):
        return []
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `my_rewards` in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_rewards.py"
    path.write_text(MODULE, encoding="utf-8")
    yield path
    for name in [name for name in sys.modules if name.split(".")[0] in ("my_rewards", "my_package")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("path", "scores"),
    [
        ("my_rewards:lengths", [5.0, 11.0]),
        ("my_rewards:later", [5.0, 11.0]),
        ("my_rewards:Judge", [1.0, 1.0]),
        ("my_rewards:Group.judge", [5.0, 5.0]),
        ("my_rewards:Group.judge.score", [5.0, 5.0]),
        ("my_rewards:Group.Inner", [5.0, 11.0]),
    ],
)
async def test_functions_classes_and_objects_score(module: Path, path: str, scores: list[float]) -> None:
    reward = PythonReward.load(path)
    assert await reward.score(TALKS) == scores
    assert reward.name.startswith(f"python:{path}@")


def test_modules_in_packages_are_found(module: Path) -> None:
    package = module.parent / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    module.rename(package / "inner.py")
    assert PythonReward.load("my_package.inner:lengths").name.startswith("python:my_package.inner:lengths@")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_rewards", "write python:module:function"),
        ("my_rewards:", "write python:module:function"),
        (":lengths", "write python:module:function"),
        ("my_rewards.py:lengths", "such as python:my_rewards:lengths"),
        ("./sub/my_rewards.py:lengths", "such as python:sub.my_rewards:lengths"),
        ("my_rewards:lengths()", "write python:module:function"),
        ("my_reward:lengths", "no module named 'my_reward'"),
        ("my_reward:lengths", "near: my_rewards"),
        ("my_rewards.inner:lengths", "no module named 'my_rewards.inner'"),
        ("my_rewards:length", "has no 'length' (near: lengths)"),
        ("my_rewards:Group.juge", "my_rewards:Group has no 'juge' (near: judge)"),
        ("my_rewards:LIMIT", "is of type int"),
    ],
)
def test_what_is_not_there_is_named(module: Path, path: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        PythonReward.load(path)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import a_module_that_is_missing", "ModuleNotFoundError: No module named 'a_module_that_is_missing'"),
        ("\n\n1 / 0", "ZeroDivisionError: division by zero (my_rewards.py:3)"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3 (my_rewards.py:1)"),
    ],
)
def test_a_module_that_fails_to_import_explains_why(module: Path, source: str, words: str) -> None:
    module.write_text(source, encoding="utf-8")
    with pytest.raises(RewardError) as raised:
        PythonReward.load("my_rewards:lengths")
    assert "my_rewards fails to import" in str(raised.value)
    assert words in str(raised.value)
    assert raised.value.__cause__ is not None


def test_a_class_that_needs_arguments_is_named(module: Path) -> None:
    with pytest.raises(RewardError, match="python:my_rewards:Costly: the class cannot be made without options"):
        PythonReward.load("my_rewards:Costly")


async def test_what_the_code_raises_is_reported_with_its_place(module: Path) -> None:
    line = MODULE.splitlines().index('    raise ValueError("no such\\nmodel")') + 1
    with pytest.raises(RewardError) as raised:
        await PythonReward.load("my_rewards:broken").score(TALKS)
    assert str(raised.value) == f"python:my_rewards:broken raised ValueError: no such model (my_rewards.py:{line})."
    assert isinstance(raised.value.__cause__, ValueError)


async def test_the_place_is_the_users_own_line_rather_than_a_librarys(module: Path) -> None:
    line = MODULE.splitlines().index('    return json.loads("{")') + 1
    with pytest.raises(RewardError) as raised:
        await PythonReward.load("my_rewards:deep").score(TALKS)
    assert f"(my_rewards.py:{line})" in str(raised.value)


@pytest.mark.parametrize("error", [StopIteration("x"), SystemExit(2), RuntimeError("x")])
async def test_exceptions_that_would_harm_a_future_are_wrapped(error: BaseException) -> None:
    def function(conversations: list[Conversation]) -> list[float]:
        raise error

    async def coroutine(conversations: list[Conversation]) -> list[float]:
        raise error

    for reward in (PythonReward(function), PythonReward(coroutine)):
        with pytest.raises(RewardError, match="raised"):
            await reward.score(TALKS)


@pytest.mark.parametrize(
    "returned",
    [
        [1, True],
        (1.0, 1.0),
        np.ones(2),
        np.ones(2, dtype=np.float32),
        [np.float64(1), np.ones(())],
        {1.0: 0, 2.0: 0}.values(),
        (one for one in [1.0, 0.0]),
        [Score(1.0), 0.0],
    ],
)
async def test_anything_that_holds_a_number_for_each_is_taken(returned: Any) -> None:
    scores = await PythonReward(lambda conversations: returned).score(TALKS)
    assert len(scores) == 2
    assert all(type(score) in (float, Score) for score in scores)


async def test_nan_and_infinity_pass_through() -> None:
    scores = await PythonReward(lambda conversations: [float("nan"), float("inf")]).score(TALKS)
    assert [str(score) for score in scores] == ["nan", "inf"]


async def _coroutine() -> list[float]:
    return [1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, "returned None"),
        (lambda: 1.0, "returned float 1.0"),
        (lambda: True, "returned bool True"),
        (lambda: "1.0", "returned str '1.0'"),
        (lambda: {"a": 1.0, "b": 2.0}, "returned dict"),
        (lambda: {1.0, 2.0}, "returned set"),
        (lambda: Score(1.0), "returned Score("),
        (lambda: np.ones(()), "returned ndarray of shape ()"),
        (lambda: np.ones((2, 1)), "returned ndarray of shape (2, 1)"),
        (lambda: [1.0], "returned 1 scores for 2 conversations"),
        (lambda: ["0.5", 1.0], "entry 0 is str '0.5'"),
        (lambda: [[0.5], 1.0], "entry 0 is list [0.5]"),
        (lambda: [np.ones(1), 1.0], "entry 0 is ndarray of shape (1,)"),
        (lambda: [1j, 1.0], "entry 0 is complex"),
        (lambda: [Score("high"), 1.0], "entry 0 is Score("),  # type: ignore[arg-type]
        (_coroutine, "a coroutine that is never awaited"),
    ],
)
async def test_anything_else_is_refused_by_name(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(RewardError) as raised:
        await PythonReward(lambda conversations: make(), "python:mine:reward").score(TALKS)
    assert str(raised.value).startswith("python:mine:reward ")
    assert words in str(raised.value)


async def test_a_plain_function_runs_one_call_at_a_time_beside_the_loop() -> None:
    running, most = 0, 0
    entered, release = threading.Event(), threading.Event()
    threads: set[int] = set()

    def function(conversations: list[Conversation]) -> list[float]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threads.add(threading.get_ident())
        entered.set()
        assert release.wait(30)
        running -= 1
        return [0.0 for _ in conversations]

    reward = PythonReward(function)
    calls = [asyncio.create_task(reward.score(TALKS)) for _ in range(3)]
    # The loop is free while the function waits: this very coroutine lets it go on.
    assert await asyncio.to_thread(entered.wait, 30)
    release.set()
    await asyncio.gather(*calls)
    assert most == 1
    assert threading.get_ident() not in threads


async def test_an_async_object_is_awaited() -> None:
    class Judge:
        async def __call__(self, conversations: list[Conversation]) -> list[float]:
            return [threading.get_ident() == here for _ in conversations]

    here = threading.get_ident()
    assert await PythonReward(Judge()).score(TALKS) == [1.0, 1.0]


async def test_code_that_edits_its_messages_edits_only_its_own() -> None:
    def function(conversations: list[Conversation]) -> list[float]:
        for talk in conversations:
            talk[-1]["content"] = "edited"
            talk.pop()
        return [0.0 for _ in conversations]

    talks = [answered(conversation("Where?"), "Here.")]
    await PythonReward(function).score(talks)
    assert talks[0][-1]["content"] == "Here."


def test_a_reward_serves_several_event_loops() -> None:
    reward = PythonReward(lambda conversations: [1.0 for _ in conversations])
    assert [asyncio.run(reward.score(TALKS)) for _ in range(2)] == [[1.0, 1.0]] * 2


def test_changed_source_has_another_name(module: Path) -> None:
    before = PythonReward.load("my_rewards:lengths").name
    del sys.modules["my_rewards"]
    assert PythonReward.load("my_rewards:lengths").name == before
    del sys.modules["my_rewards"]
    module.write_text(MODULE.replace("float(len(", "-float(len("), encoding="utf-8")
    assert PythonReward.load("my_rewards:lengths").name != before


def test_functions_that_score_differently_differ_in_name() -> None:
    def at_least(limit: int, weight: float = 1.0) -> Callable[[list[Conversation]], list[float]]:
        return lambda conversations: [weight * (len(talk) >= limit) for talk in conversations]

    def plain(conversations: list[Conversation], *, bonus: float = 0.0) -> list[float]:
        return [bonus for _ in conversations]

    class Judge:
        def __init__(self, bonus: float) -> None:
            self.bonus = bonus

        def score(self, conversations: list[Conversation]) -> list[float]:
            return [self.bonus for _ in conversations]

    one, two = (lambda c: [1.0 for _ in c]), (lambda c: [c for _ in c])
    targets: list[Any] = [at_least(1), at_least(2), at_least(2, 0.5), plain, functools.partial(plain, bonus=2.0)]
    targets += [Judge(1.0), Judge(2.0), Judge(3.0).score, one, two, len]
    assert len({PythonReward(target).name for target in targets}) == len(targets)
    assert PythonReward(at_least(1)).name == PythonReward(at_least(1)).name


async def test_none_is_no_score_and_a_huge_number_is_infinite() -> None:
    def abstaining(conversations: list[Conversation]) -> list[float | None]:
        return [None, 10**5000, -(10**400)]

    talk = answered(conversation("How?"), "So.")
    scores = await call.score(PythonReward(abstaining), [talk, talk, talk])
    assert math.isnan(scores[0].value)
    assert scores[0].feedback == "the reward abstained"
    assert [one.value for one in scores[1:]] == [math.inf, -math.inf]


PARAMETERS = """
class Long:
    def __init__(self, threshold: float, unit="words", *, strict: bool = False, extra=None):
        self.settings = (threshold, unit, strict, extra)
        self.threshold = threshold

    def score(self, conversations):
        return [float(len(talk[-1]["content"].split()) >= self.threshold) for talk in conversations]


def least(conversations, *, words: int = 1):
    return [float(len(talk[-1]["content"].split()) >= words) for talk in conversations]
"""


@pytest.fixture
def parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parameters_of_rewards.py").write_text(PARAMETERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


async def test_a_class_takes_options_of_its_types(parameters: None) -> None:
    reward = PythonReward.load("parameters_of_rewards:Long?threshold=2.5&strict=true&extra=7&unit=a%26b")
    assert reward._object.settings == (2.5, "a&b", True, 7)
    talk = answered(conversation("How?"), "Just three words")
    assert await reward.score([talk]) == [1.0]
    stricter = PythonReward.load("parameters_of_rewards:Long?threshold=4")
    assert await stricter.score([talk]) == [0.0]
    assert reward.name != stricter.name


async def test_a_function_takes_options_too(parameters: None) -> None:
    talk = answered(conversation("How?"), "Just three words")
    assert await PythonReward.load("parameters_of_rewards:least?words=4").score([talk]) == [0.0]
    assert await PythonReward.load("parameters_of_rewards:least").score([talk]) == [1.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("treshold=1", "Did you mean threshold?"),
        ("threshold=high", "threshold=high cannot be used"),
        ("threshold=1&threshold=2", "given twice"),
        ("conversations=1", "has no option 'conversations'"),
    ],
)
def test_options_that_do_not_fit_are_named(parameters: None, options: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        PythonReward.load(f"parameters_of_rewards:Long?{options}")
    assert words in str(raised.value)


def test_an_object_that_scores_a_pool_stays_relative() -> None:
    class Pool:
        relative = True

        def score(self, conversations: list[Conversation]) -> list[float]:
            return [0.0 for _ in conversations]

    assert is_relative(PythonReward(Pool))
    assert not is_relative(PythonReward(lambda conversations: [0.0]))
