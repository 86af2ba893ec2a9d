"""`tpo config`: what is in force, and where it comes from."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from tpo.cli.console import print_answer, print_json, reporting
from tpo.config import Config
from tpo.http.redaction import without_passwords

SECRETS = ("TPO_API_KEY", "TPO_POLICY_API_KEY", "TPO_CRITIC_API_KEY", "TPO_EDITOR_API_KEY", "TPO_REWARD_API_KEY")


@reporting
def config(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show the configuration in force: environment over tpo.toml over defaults. Flags go over all of them."""
    loaded: Config = context.obj
    from tpo.cli.app import configurable

    values: dict[str, dict[str, Any]] = {}
    for option, default in configurable().items():
        variable = f"TPO_{option.upper()}"
        value, source = default, "default"
        if option in loaded.options:
            value, source = loaded.options[option], str(loaded.path)
        if variable in os.environ:
            value, source = os.environ[variable], variable
        values[option.replace("_", "-")] = {"value": without_passwords(value), "from": source}
    keys = {name: "(set, not shown)" for name in SECRETS if os.environ.get(name)}
    rewards = {name: without_passwords(vars_of(reward)) for name, reward in loaded.rewards.items()}
    if as_json:
        print_json({"options": values, "rewards": rewards, "keys": keys})
        return
    lines = [f"{name} = {entry['value']!r}  # {entry['from']}" for name, entry in values.items()]
    lines += [f"[rewards.{name}] {entry!r}" for name, entry in rewards.items()]
    lines += [f"{name} = {state}" for name, state in keys.items()]
    print_answer("\n".join(lines))


def vars_of(reward: Any) -> dict[str, Any]:
    """What a named reward sets."""
    import msgspec

    entries: dict[str, Any] = msgspec.to_builtins(reward)
    return {key: value for key, value in entries.items() if value}
