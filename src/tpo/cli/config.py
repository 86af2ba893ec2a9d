"""`tpo config`: what is in force, and where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import msgspec
import typer

from tpo.cli.console import print_answer, print_json, reporting
from tpo.cli.flags import one_or_several
from tpo.config import Config, NamedReward
from tpo.http.redaction import without_passwords
from tpo.options import Entry, configurable

SECRETS = (
    *("TPO_API_KEY", "TPO_POLICY_API_KEY", "TPO_CRITIC_API_KEY", "TPO_EDITOR_API_KEY"),
    *("TPO_REWARD_API_KEY", "TPO_JUDGE_API_KEY", "TPO_SERVE_KEY"),
)

# The words for a switch in the environment, as the commands read them.
_SWITCHES = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


@reporting
def config(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show the configuration in force, as TOML that can be saved as tpo.toml.

    A flag overrides the environment, the environment overrides tpo.toml, and tpo.toml overrides the defaults.
    """
    loaded: Config = context.obj
    values = {name.replace("_", "-"): _in_force(name, entries[0], loaded) for name, entries in configurable().items()}
    values = without_passwords(values)
    keys = {name: "(set, not shown)" for name in SECRETS if os.environ.get(name)}
    rewards = without_passwords({name: _given(reward) for name, reward in loaded.rewards.items()})
    if as_json:
        print_json({"options": values, "rewards": rewards, "keys": keys})
    else:
        print_answer("\n".join(_toml(values, rewards, keys)))


def _in_force(name: str, entry: Entry, loaded: Config) -> dict[str, Any]:
    """An option's value with its source."""
    variable = f"TPO_{name.upper()}"
    if given := os.environ.get(variable):  # to the commands, one that is empty is not set
        return {"value": _read(entry, given), "from": variable}
    if name in loaded.options:
        return {"value": loaded.options[name], "from": str(loaded.path)}
    value = entry.default
    if entry.option.words is not None:
        value = next(word for word, stored in entry.option.words.items() if stored == value)
    if isinstance(value, Enum):
        value = value.value
    return {"value": list(value) if isinstance(value, tuple) else value, "from": "default"}


def _read(entry: Entry, text: str) -> Any:
    """The value of an environment variable; the text itself where it does not fit, which the commands will report."""
    try:
        if entry.kind in (int, float):
            return entry.kind(text)
        if entry.kind is bool:
            return _SWITCHES[text.strip().lower()]
        if entry.kind is Sequence:
            return text.split()
        if entry.option.repeatable:
            several = one_or_several(text.split())
            return list(several) if isinstance(several, tuple) else text
        return json.loads(text) if entry.kind is Mapping else text
    except (ValueError, KeyError):
        return text


def _given(reward: NamedReward) -> dict[str, Any]:
    """The settings of a named reward."""
    entries: dict[str, Any] = msgspec.to_builtins(reward)
    return {key: value for key, value in entries.items() if value}


def _toml(
    values: Mapping[str, Mapping[str, Any]], rewards: Mapping[str, Any], keys: Mapping[str, str]
) -> Iterator[str]:
    for name, entry in values.items():
        if entry["value"] is None or entry["value"] == []:
            yield f"# {name} is not set"
        else:
            mark = "# " if entry["from"] == "default" else ""
            yield f"{mark}{name} = {_value(entry['value'])}  # {entry['from']}"
    for name, state in keys.items():
        yield f"# {name} {state}"
    for name, entries in rewards.items():
        yield f"\n[rewards.{_key(name)}]"
        for key, value in entries.items():
            yield f"{_key(key)} = {_value(value)}"


def _value(value: Any) -> str:
    """A value as TOML writes it; inline tables and all."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for the delete character, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _value(key)
