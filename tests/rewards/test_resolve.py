"""From a name to a reward."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards import resolve_reward
from tpo.rewards.gate import Gate
from tpo.rewards.python import PythonReward
from tpo.rewards.require import Requirements
from tpo.rewards.resolve import KINDS
from tpo.rewards.surface import Surface


class Constant:
    name = "constant@1"

    async def score(self, conversations: Sequence[Conversation]) -> list[float]:
        return [1.0 for _ in conversations]


def test_surface_is_the_default() -> None:
    assert isinstance(resolve_reward(), Surface)
    assert isinstance(resolve_reward(" surface "), Surface)


def test_a_reward_is_used_as_it_is() -> None:
    reward = Constant()
    assert resolve_reward(reward) is reward


@pytest.mark.parametrize("target", [lambda conversations: [1.0], Constant])
def test_a_function_or_a_class_is_wrapped(target: type[Constant]) -> None:
    assert isinstance(resolve_reward(target), PythonReward)


def test_python_is_loaded_by_its_path() -> None:
    reward = resolve_reward("python:statistics:mean")
    assert isinstance(reward, PythonReward)
    assert reward.name.startswith("python:statistics:mean@")


def test_rules_come_before_any_reward() -> None:
    gate = resolve_reward("surface", ["json", "max-words=3"])
    assert isinstance(gate, Gate)
    assert isinstance(gate.base, Surface)
    assert [rule.text for rule in gate.requirements.rules] == ["json", "max-words=3"]


def test_none_is_no_reward_or_the_rules_alone() -> None:
    assert resolve_reward("none") is None
    assert isinstance(resolve_reward("none", ["json"]), Requirements)


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
        resolve_reward(spec)
    assert words in str(raised.value)


def test_an_unknown_kind_lists_all() -> None:
    with pytest.raises(InputError) as raised:
        resolve_reward("gpt")
    assert all(kind.written in str(raised.value) for kind in KINDS.values())


def test_bad_rules_are_refused() -> None:
    with pytest.raises(InputError, match="max-words"):
        resolve_reward("surface", ["max-wrds=3"])


def test_naming_a_reward_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'py3langid', 'regex', 'torch'}"
    code = f"import sys, tpo.rewards as r; r.resolve_reward(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
