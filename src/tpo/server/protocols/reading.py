"""Reading a request into its type, with an error that names the place that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from tpo.decoding import prepared
from tpo.server.errors import refused

T = TypeVar("T")


def fitting(value: Any, kind: type[T], where: str) -> T:
    """Read a value, or a part of one.

    Args:
        value: plain data, as JSON gives it.
        kind: the type that it should have.
        where: where it stands in the request; empty for the request itself.

    Raises:
        BadRequest: it does not fit.
    """
    try:
        return msgspec.convert(_integers(value, kind), prepared(kind))
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        path = (where + place.rstrip("`")).removeprefix(".")
        raise refused(path, f"does not fit: {what[:1].lower()}{what[1:]}") from error


def json_object(body: bytes) -> dict[str, Any]:
    """Read a body that should be a JSON object.

    Raises:
        BadRequest: it is something else.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused("", f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise refused("", "is JSON, but not an object")
    return value


def _integers(value: Any, kind: Any) -> Any:
    # JSON Schema takes 10.0 for an integer, and so do clients that know only floating-point numbers.
    if not isinstance(value, Mapping):
        return value
    changed = {}
    for name, accepted in _fields(kind).items():
        given = value.get(name)
        if isinstance(given, float) and given.is_integer() and int in accepted and float not in accepted:
            changed[name] = int(given)
        elif isinstance(given, Mapping):
            for inner in accepted:
                if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                    changed[name] = _integers(given, inner)
    return {**value, **changed} if changed else value


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, ...]]:
    hints = get_type_hints(kind)
    return {name: get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,) for name, hint in hints.items()}
