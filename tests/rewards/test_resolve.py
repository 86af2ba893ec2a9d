"""From a name to a reward."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tpo.checks.reward import scoring_inside
from tpo.config import NamedReward
from tpo.errors import InputError, RewardError
from tpo.messages import Conversation
from tpo.rewards.gate import Gate
from tpo.rewards.python import PythonReward
from tpo.rewards.require import Requirements
from tpo.rewards.resolve import BUILT_IN, opened, resolve
from tpo.rewards.surface import Surface


class Constant:
    name = "constant@1"

    async def score(self, conversations: Sequence[Conversation]) -> list[float]:
        return [1.0 for _ in conversations]


def test_surface_is_the_default() -> None:
    assert isinstance(resolve().reward, Surface)
    assert isinstance(resolve(" surface ").reward, Surface)


def test_a_reward_is_used_as_it_is() -> None:
    reward = Constant()
    assert resolve(reward).reward is reward


@pytest.mark.parametrize("target", [lambda conversations: [1.0], Constant])
def test_a_function_or_a_class_is_wrapped(target: type[Constant]) -> None:
    assert isinstance(resolve(target).reward, PythonReward)


def test_python_is_loaded_by_its_path() -> None:
    reward = resolve("python:statistics:mean").reward
    assert isinstance(reward, PythonReward)
    assert reward.name.startswith("python:statistics:mean@")


def test_rules_come_before_any_reward() -> None:
    gate = resolve("surface", ["json", "max-words=3"]).reward
    assert isinstance(gate, Gate)
    assert isinstance(gate.base, Surface)
    assert [rule.text for rule in gate.requirements.rules] == ["json", "max-words=3"]


def test_none_is_no_reward_or_the_rules_alone() -> None:
    assert resolve("none").reward is None
    assert isinstance(resolve("none", ["json"]).reward, Requirements)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("surfce", "Did you mean surface?"),
        ("pyton:module:function", "Did you mean python:module:function?"),
        ("gpt", "is unknown"),
        ("", "is unknown"),
        ("surface:2", "takes nothing: write surface"),
        ("python", "write python:module:function"),
        ("python:", "write python:module:function"),
    ],
)
def test_bad_names_name_what_is_known(spec: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve(spec)
    assert words in str(raised.value)


def test_an_unknown_kind_lists_all() -> None:
    with pytest.raises(InputError) as raised:
        resolve("gpt")
    assert all(written in str(raised.value) for written in BUILT_IN)


def test_bad_rules_are_refused() -> None:
    with pytest.raises(InputError, match="max-words"):
        resolve("surface", ["max-wrds=3"])


def test_naming_a_reward_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'py3langid', 'regex', 'torch'}"
    code = f"import sys; from tpo.rewards.resolve import resolve; resolve(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Served(Constant):
    """A reward that opens something."""

    def __init__(self, url: str = "", *, scale: float = 1.0, name: str = "served@1") -> None:
        self.url, self.scale, self.name, self.closed, self.connected = url, scale, name, 0, 0

    async def connect(self) -> None:
        self.connected += 1

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points of another package: a class, a function that returns a function, and one that is broken."""
    points = [
        EntryPoint("mine", f"{__name__}:Served", "tpo.rewards"),
        EntryPoint("plain", f"{__name__}:plain", "tpo.rewards"),
        EntryPoint("broken", f"{__name__}:nothing", "tpo.rewards"),
        EntryPoint("surface", f"{__name__}:Served", "tpo.rewards"),
    ]
    monkeypatch.setattr("tpo.plugins.entry_points", lambda group: points if group == "tpo.rewards" else [])


def plain(*, value: float = 0.5) -> Callable[[list[Conversation]], list[float]]:
    return lambda conversations: [value for _ in conversations]


def test_rewards_of_others_take_text_and_options_like_ours(theirs: None) -> None:
    reward = resolve("mine:http://host/v1?scale=2.5&name=a%26b").reward
    assert isinstance(reward, Served)
    assert (reward.url, reward.scale, reward.name) == ("http://host/v1", 2.5, "a&b")
    assert isinstance(resolve("plain?value=0.25").reward, PythonReward)
    assert isinstance(resolve("surface").reward, Surface)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mine:x?scle=1", "The reward mine has no option 'scle'. Did you mean scale?"),
        ("mine:x?scale=big", "scale=big cannot be used"),
        ("plain:x", "takes nothing: write plain"),
        ("mime:x", "Did you mean mine?"),
    ],
)
def test_their_options_are_checked_like_ours(theirs: None, spec: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        resolve(spec)
    assert words in str(raised.value)


def test_a_factory_that_cannot_be_loaded_is_named(theirs: None) -> None:
    with pytest.raises(
        RewardError, match=r"The reward broken \(.*test_resolve:nothing\) fails to import: AttributeError"
    ):
        resolve("broken")


async def test_a_name_is_closed_and_an_object_stays_open(theirs: None) -> None:
    mine = Served()
    async with AsyncExitStack() as stack:
        named = await opened("mine:x", stack, ["max-words=3"])
        given = await opened(mine, stack, ["max-words=3"])
        assert given is not None
        (inner,) = scoring_inside(named)
        assert isinstance(inner, Served)
        assert (inner.connected, mine.connected, inner.closed) == (1, 1, 0)
    assert (inner.closed, mine.closed) == (1, 0)


async def test_all_terms_of_a_named_reward_are_closed(theirs: None, tmp_path: Path) -> None:
    named = {"both": NamedReward(sum={"mine:a": 1.0, "mine:b": 2.0}, require=["max-words=3"])}
    async with AsyncExitStack() as stack:
        reward = await opened("both", stack, named=named, cache=tmp_path / "scores.sqlite")
        terms = scoring_inside(reward)
        assert [isinstance(term, Served) and term.closed for term in terms] == [0, 0]
    assert [isinstance(term, Served) and term.closed for term in terms] == [1, 1]


async def test_what_was_resolved_earlier_is_opened_once_and_closed(theirs: None) -> None:
    found = resolve("mine:x")
    assert found.name == "served@1"
    async with AsyncExitStack() as stack:
        await opened(found, stack)
    assert isinstance(found.reward, Served)
    assert (found.reward.connected, found.reward.closed) == (1, 1)


async def test_none_opens_nothing() -> None:
    async with AsyncExitStack() as stack:
        assert await opened("none", stack) is None
    assert resolve("none").name == "none"


def test_the_method_rank_of_earlier_versions_is_refused_with_what_to_do() -> None:
    class Pool:
        name = "pool@1"

        async def rank(self, conversations: Sequence[Conversation]) -> list[float]:
            return []

    with pytest.raises(InputError, match="call it `score` and set `relative = True`"):
        resolve(Pool())  # type: ignore[arg-type]
