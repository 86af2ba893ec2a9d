"""`tpo.toml`: a file that sets what flags set, and names rewards.

policy = "http://localhost:8000/v1"
width = 8
reward = "careful"

[method]
name = "fusion"
merges = 2

[rewards.helpful]
use = "vllm:http://localhost:8001"

[rewards.careful]
sum = { helpful = 1.0, "judge:http://localhost:8002/v1" = 0.5 }
gates = { "verifier:json-schema?file=answer.json" = 1.0 }
length-price = 0.2
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.options import Entry, check_value, configurable
from tpo.specs import did_you_mean

FILE = "tpo.toml"
# The only setting of the command line itself.
QUIET = "quiet"


class NamedReward(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A reward that has a name: one of another kind, or several combined.

    Attributes:
        use: the reward as `--reward` takes it.
        sum: rewards (names or what `--reward` takes) with their weights, each normalised over a query's answers.
        min: rewards of which the worst counts.
        gates: rewards with the least value that an answer needs; an answer below it ranks below all others.
        length_price: standard deviations of reward that an answer of twice the median length loses.
        require: rules that rank before the reward.
    """

    use: str | None = None
    sum: dict[str, float] | None = None
    min: list[str] | None = None
    gates: dict[str, float] = {}
    length_price: float = 0.0
    require: list[str] = []


class Config(msgspec.Struct, frozen=True):
    """The contents of a configuration file.

    Attributes:
        path: the file; None where there is none.
        options: values of flags by their names, with underscores; `extra` as a mapping.
        rewards: the named rewards.
    """

    path: Path | None = None
    options: dict[str, Any] = {}
    rewards: dict[str, NamedReward] = {}


def load_config(path: Path | None) -> Config:
    """Read a configuration file.

    Args:
        path: the file; None looks for `tpo.toml` in the current directory, which need not be there.

    Raises:
        InputError: the file is missing or no TOML, sets something that is not known, or sets it to a wrong value.
    """
    if path is None:
        path = Path(FILE)
        if not path.is_file():
            return Config()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The configuration {path} is not TOML: {error}.") from error
    tables = values.pop("rewards", {})
    if not isinstance(tables, Mapping):
        raise InputError(f"{path}: rewards is a table of tables, [rewards.NAME].")
    if isinstance(method := values.get("method"), Mapping):
        values |= {"set": [f"{name}={_as_text(value)}" for name, value in method.items() if name != "name"]}
        del values["method"]
        values |= {"method": method["name"]} if "name" in method else {}
    known = configurable()
    names = [name.replace("_", "-") for name in (*known, QUIET)]
    for key in values:
        _known(key.replace("_", "-"), names, f"{path}")
    options = {name: _value(known.get(name, []), value, path) for name, value in _underscored(values).items()}
    return Config(path, options, {name: _named(name, table, path) for name, table in tables.items()})


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _underscored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): value for key, value in values.items()}


def _value(entries: Sequence[Entry], value: Any, path: Path) -> Any:
    """A value of the file, checked against the options that it sets."""
    for entry in entries:
        if entry.option.words is not None:
            if value not in entry.option.words:
                raise InputError(f"{path}: {entry.shown} is {value!r}; it must be {' or '.join(entry.option.words)}.")
            continue
        if entry.kind is Mapping and isinstance(value, str):
            value = _table(entry, value, path)
        check_value(entry, value, f"{path}: ")
    return value


def _table(entry: Entry, text: str, path: Path) -> Any:
    """A table that is written as JSON, as its flag takes it."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {entry.shown} is not JSON ({error}): {text[:80]!r}") from None


def _named(name: str, table: Any, path: Path) -> NamedReward:
    where = f"{path}, [rewards.{name}]"
    fields = [field.encode_name for field in msgspec.structs.fields(NamedReward)]
    if not isinstance(table, Mapping):
        raise InputError(f"{where} is not a table.")
    for key in table:
        _known(key, fields, where)
    try:
        reward = msgspec.convert(table, NamedReward)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}.") from error
    if sum(value is not None for value in (reward.use, reward.sum, reward.min)) != 1:
        raise InputError(f"{where} needs exactly one of use, sum and min.")
    return reward


def _known(key: str, names: list[str], where: str) -> None:
    if key in names:
        return
    near = did_you_mean(key, names)
    raise InputError(f"{where} sets {key}, which is not an option.{near} Known: {', '.join(sorted(names))}.")
