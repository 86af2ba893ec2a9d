"""Text that names a thing and its options: `NAME?option=value&option=value`.

Rewards, verifiers, judges and models are written so. In a value, `%26` stands for `&` and `%25` for `%`; `+` stands for
itself. A dash in the name of an option counts as an underscore.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tpo.errors import InputError


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names the nearest known word, with a space before it; nothing where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]}?" if near else ""


class Written(typing.NamedTuple):
    """A text that was taken apart.

    Attributes:
        head: what stands before the question mark.
        options: the values by their names, percent-decoded.
        rest: parts after the question mark that are no known option, as they were written.
    """

    head: str
    options: dict[str, str]
    rest: list[str]


def parse(text: str, what: str, known: Iterable[str] | None = None, *, strangers: bool = False) -> Written:
    """Take a text apart.

    Args:
        text: the text.
        what: what it names, for errors ("judge", "reward vllm").
        known: the names that options may have; None for any.
        strangers: whether parts that are no known option are kept in `rest`, instead of refused. A URL may have a query
            of its own.

    Raises:
        InputError: an option is unknown or stands twice.
    """
    head, _, query = text.strip().partition("?")
    names = None if known is None else list(known)
    options: dict[str, str] = {}
    rest: list[str] = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        option = unquote(name).strip().replace("-", "_")
        if names is not None and option not in names:
            if strangers:
                rest.append(part)
                continue
            takes = f"Options are {', '.join(names)}." if names else "It takes none."
            raise InputError(f"The {what} has no option {option!r}.{did_you_mean(option, names)} {takes}")
        if option in options:
            raise InputError(f"The {what}'s option {option} is given twice.")
        options[option] = unquote(value)
    return Written(head, options, rest)


def options_of(made: Callable[..., Any], arguments: int = 0) -> dict[str, Any]:
    """The options of a class or function: its parameters with their types.

    A parameter without an annotation has the type of its default, or else `Any`. Keys come from the environment alone,
    since a text ends up in journals and shell histories, so that `key` is no option.

    Args:
        made: the class or function.
        arguments: how many of its first parameters are no options.
    """
    hints = typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    parameters = list(inspect.signature(made).parameters.values())[arguments:]
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return {one.name: hints.get(one.name, _guessed(one.default)) for one in named if one.name != "key"}


def _guessed(default: Any) -> Any:
    return type(default) if isinstance(default, bool | int | float | str) else Any


def typed(options: Mapping[str, str], kinds: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Options as values of their types. A mapping is written `NAME:NUMBER,NAME:NUMBER`.

    Raises:
        InputError: a value does not fit its type.
    """
    return {name: _typed(name, text, kinds[name], what) for name, text in options.items()}


def _typed(name: str, text: str, kind: Any, what: str) -> Any:
    if kind is Any:
        return _literal(text)
    value: Any = text
    if _is_mapping(kind):
        pairs = [entry.rpartition(":") for entry in text.split(",")]
        if not all(key and number for key, _, number in pairs):
            raise InputError(
                f"The {what}: {name}={text} is not a list of NAME:NUMBER, such as helpfulness:0.7,verbosity:-0.1."
            )
        value = {key: number for key, _, number in pairs}
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        if typing.get_origin(kind) is typing.Literal:
            known = ", ".join(map(str, typing.get_args(kind)))
            raise InputError(f"The {what}: {name}={text} cannot be used; {name} is one of {known}.") from error
        raise InputError(f"The {what}: {name}={text} cannot be used: {error}.") from error
    except TypeError:  # a type that is not data: the text as it is
        return text


def _is_mapping(kind: Any) -> bool:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return any(_is_mapping(one) for one in typing.get_args(kind))
    return inspect.isclass(origin := typing.get_origin(kind)) and issubclass(origin, Mapping)


def _literal(text: str) -> Any:
    """A value of no known type: a number, true, false or null where it looks so, else the text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text
