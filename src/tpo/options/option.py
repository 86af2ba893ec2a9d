"""What an option is, and how values are checked against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tpo.errors import InputError
from tpo.specs import did_you_mean


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What the forms need to know of an option besides its name, type and default.

    Attributes:
        help: one sentence for the help.
        group: the heading under which the help shows it.
        least: smallest value.
        above: the value is greater than this.
        most: greatest value.
        metavar: placeholder of the value in the help.
        flag: the flag's name without dashes, where it is not the option's own.
        words: the flag's words with their values, for an option that is a switch elsewhere.
        repeatable: the flag may stand several times, each with a name: NAME=VALUE.
        in_requests: a client of the server may set it for one request.
        named: a text may be a name in place of a path, as with `small` beside `./small`: the flag leaves it as it is.
    """

    help: str
    group: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    metavar: str | None = None
    flag: str | None = None
    words: Mapping[str, Any] | None = None
    repeatable: bool = False
    in_requests: bool = False
    named: bool = False


class Entry(NamedTuple):
    """An option as a field of its class.

    Attributes:
        name: as a keyword argument.
        type: without None.
        optional: it may be None.
        default: `msgspec.NODEFAULT` where it has to be given.
        option: bounds, help and group.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The flag's name with underscores; that of the environment variable behind `TPO_` too."""
        return (self.option.flag or self.name).replace("-", "_")

    @property
    def shown(self) -> str:
        """The flag's name as flags and tpo.toml write it."""
        return self.flag.replace("_", "-")

    @property
    def kind(self) -> Any:
        """The type without its parameters."""
        return get_origin(self.type) or self.type


T = TypeVar("T", bound=msgspec.Struct)


@cache
def table(kind: type[msgspec.Struct]) -> dict[str, Entry]:
    """The options of a class, by name and in order."""
    hints = get_type_hints(kind, include_extras=True)
    entries = {}
    for field in msgspec.structs.fields(kind):
        annotation, option = get_args(hints[field.name])
        members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        rest = [one for one in members if one is not NoneType]
        # A path may be given as text too.
        type_ = Path if Path in rest else rest[0]
        optional = len(rest) < len(members) or annotation is Any
        entries[field.name] = Entry(field.name, type_, optional, field.default, option)
    return entries


def options_from(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Options from what a user gave, checked.

    Args:
        kind: the class of options.
        values: values by name.
        where: what the user wrote them in, for errors.

    Raises:
        InputError: an option is unknown, has the wrong type, or is out of range.
    """
    entries = table(kind)
    for name in values:
        if name not in entries:
            near = did_you_mean(name, entries)
            raise InputError(f"{where}There is no option {name!r}.{near} Known are {', '.join(entries)}.")
    made = kind(**values)
    check(made, where)
    return made


def check(options: msgspec.Struct, where: str = "") -> None:
    """Check that each option has its type and is within its bounds.

    Args:
        options: the options.
        where: what the user wrote them in, for errors.

    Raises:
        InputError: an option does not.
    """
    for name, entry in table(type(options)).items():
        check_value(entry, getattr(options, name), where)


def check_value(entry: Entry, value: Any, where: str = "") -> None:
    """Check that a value has an option's type and is within its bounds.

    Raises:
        InputError: it does not.
    """
    if value is None and entry.optional:
        return
    if (wanted := _wrong_type(entry.kind, value)) is not None:
        raise InputError(f"{where}{entry.shown} is {value!r}; it must be {wanted}.")
    option = entry.option
    outside = (
        (option.least is not None and not value >= option.least)
        or (option.above is not None and not value > option.above)
        or (option.most is not None and not value <= option.most)
        or (isinstance(value, float) and math.isnan(value))
    )
    if outside:
        raise InputError(f"{where}{entry.shown} is {value}; it must be {bounds(option)}.")


def bounds(option: Option) -> str:
    """An option's bounds in words."""
    most = None if option.most is None else ("2**63 - 1" if option.most == 2**63 - 1 else f"{option.most:g}")
    if option.above is not None:
        return f"above {option.above:g}" + (f" and at most {most}" if most else "")
    if option.least is not None:
        return f"from {option.least:g} to {most}" if most else f"at least {option.least:g}"
    return "a number"


def _wrong_type(kind: Any, value: Any) -> str | None:
    """The expected type in words; None where the value has it."""
    if kind is Any:
        return None
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    if kind is int:
        return "a whole number" if isinstance(value, bool) or not isinstance(value, Integral) else None
    if kind is float:
        return "a number" if isinstance(value, bool) or not isinstance(value, Real) else None
    if kind is Path:
        return None if isinstance(value, str | Path) else "a path"
    if kind is Mapping:
        return None if isinstance(value, Mapping) else "a table of names and values"
    if kind is Sequence:
        fits = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
        return None if fits else "a list of texts"
    if issubclass(kind, StrEnum):
        return None if value in list(kind) else f"one of {', '.join(kind)}"
    return None if isinstance(value, kind) else "a text"
