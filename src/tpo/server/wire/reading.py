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
