"""What the page's endpoints share: parameters of a request, JSON responses, and errors as one sentence."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tpo.errors import InputError, JournalError

_encoder = msgspec.json.Encoder()


class NotFound(InputError):
    """The request names something that is not there."""


def json_response(value: object, status: int = 200) -> Response:
    """A JSON response; numbers that JSON does not have become null."""
    headers = {"Cache-Control": "no-store"}
    return Response(_encoder.encode(value), status, headers, "application/json")


async def error_response(request: Request, error: Exception) -> Response:
    """An error of tpo as a response."""
    status = 404 if isinstance(error, NotFound) else 422 if isinstance(error, JournalError) else 400
    return json_response({"error": str(error)}, status)


def text(request: Request, name: str) -> str:
    """A parameter that must be there.

    Raises:
        InputError: it is not.
    """
    value = request.query_params.get(name)
    if value is None:
        raise InputError(f"The parameter {name} is missing.")
    return value


def one_of(request: Request, name: str, *choices: str) -> str:
    """A parameter that is one of the choices; the first one where it is not given.

    Raises:
        InputError: it is another one.
    """
    value = request.query_params.get(name, choices[0])
    if value not in choices:
        raise InputError(f"The parameter {name} is {value!r}; it must be one of {', '.join(choices)}.")
    return value


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A parameter that is a whole number.

    Raises:
        InputError: it is none, or out of range.
    """
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 16 and low <= int(value) <= high):
        raise InputError(f"The parameter {name} is {value!r}; it must be a whole number from {low} to {high}.")
    return int(value)


def number(request: Request, name: str) -> float | None:
    """A parameter that is a number, if it is given.

    Raises:
        InputError: it is none.
    """
    value = request.query_params.get(name)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except ValueError:
        raise InputError(f"The parameter {name} is {value!r}; it must be a number.") from None
