"""From a name to a reward."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards.gate import Gate
from tpo.rewards.python import PythonReward
from tpo.rewards.require import Requirements
from tpo.rewards.resolve import BUILT_IN, resolve
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
def test_bad_names_say_what_is_known(spec: str, words: str) -> None:
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
    code = f"import sys, tpo.rewards as r; r.resolve(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
