"""Reading a request into its type, with an error that says where it does not fit."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tpo.server.wire.refusal import refused

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
        return msgspec.convert(value, kind)
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
        raise refused("", f"is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise refused("", "is JSON, but no object")
    return value
