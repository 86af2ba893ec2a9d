"""Names of rewards and settings as people read them: a reward's full name also has its address, options and hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tpo.errors import InputError
from tpo.rewards.rules import parse_rule

_GATE = re.compile(r"gate@\d+\(require@\d+\((?P<rules>.*?)\), (?P<base>.*)\)", re.DOTALL)
_REQUIRE = re.compile(r"require@\d+\((?P<rules>.*)\)", re.DOTALL)
_COMBINED = re.compile(r"(?P<how>\w+)@\d+\((?P<terms>-?[\d.e+-]+\*.*)\)", re.DOTALL)
_PYTHON = re.compile(r"python:(?P<module>[\w.]+):(?P<code>[\w.]+)(?:@\w+)?")


def reward_label(name: str) -> str:
    """A reward's name for people.

    Args:
        name: the full name, as a run and a trace have it.

    Returns:
        "vllm:skywork" for "vllm:skywork@http://…?…", "surface, with at most 60 words first" for a gate, and the name
        up to its version or address for what is not known here.
    """
    if gate := _GATE.fullmatch(name):
        return f"{reward_label(gate['base'])}, with {rules_label(gate['rules'])} first"
    if require := _REQUIRE.fullmatch(name):
        return rules_label(require["rules"])
    if combined := _COMBINED.fullmatch(name):
        return f"{combined['how']} of {', '.join(_term(term) for term in _split(combined['terms']))}"
    if python := _PYTHON.fullmatch(name):
        return f"{python['code']} ({python['module']})"
    return name.partition("@")[0] or name


def rules_label(rules: str) -> str:
    """Rules in words, from how `require` lists them: "at most 60 words and valid JSON"."""
    words = [_rule(rule) for rule in rules.split("; ")]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# Settings as people call them; those that are not here keep their names.
_SETTINGS = {
    "method": "the method",
    "width": "the width N",
    "depth": "the depth D",
    "reward": "the reward",
    "prompts": "the prompts",
    "models.policy": "the policy",
    "models.critic": "the critic",
    "models.editor": "the editor",
    "budget.tokens": "the token budget",
    "budget.seconds": "the time budget",
    "settings.max_tokens": "the token limit of an answer",
    "settings.critic_max_tokens": "the token limit of a critique",
}


def setting_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What is different between the recipes of two runs, a phrase for each setting.

    Args:
        first: the recipe of the first run.
        second: that of the second.

    Returns:
        phrases such as "the width N is 5 in the first and 15 in the second".
    """
    left, right = _flat(first), _flat(second)
    names = [*left, *(name for name in right if name not in left)]
    return [
        f"{_SETTINGS.get(name, name.removeprefix('settings.').replace('_', ' '))} is "
        f"{_value(name, left.get(name))} in the first and {_value(name, right.get(name))} in the second"
        for name in names
        if left.get(name) != right.get(name)
    ]


def _flat(recipe: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{within}{name}.")
        else:
            flat[f"{within}{name}"] = value
    return flat


def _value(name: str, value: Any) -> str:
    if value is None:
        return "not set"
    # Two rewards may have the same label and differ in their options, so the full name stands here.
    return str(value) if name != "reward" or "@" not in str(value) else f"{reward_label(str(value))} ({value})"


def _rule(rule: str) -> str:
    try:
        return parse_rule(rule).describe()
    except InputError:  # a rule of another version, or a part of an expression with "; " in it
        return rule


def _term(term: str) -> str:
    weight, star, name = term.partition("*")
    return f"{weight} × {reward_label(name)}" if star else term


def _split(terms: str) -> list[str]:
    """Terms that commas divide, but for commas within brackets."""
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(terms):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(terms[begin:at].strip())
            begin = at + 1
    return [*parts, terms[begin:].strip()]
