"""Errors as OpenAI's clients know them: `{"error": {"message", "type", "param", "code"}}` and the HTTP status.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from tpo.errors import (
    CheckError,
    InputError,
    JournalError,
    ModelError,
    ModelUnavailable,
    PromptError,
    RewardError,
    TPOError,
)
from tpo.http.failures import ContextOverflow, RequestRefused
from tpo.server.admission import Busy

UPSTREAM = "upstream_error"
# Kinds of errors by status, as OpenAI names them.
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class BadRequest(Exception):
    """A request that cannot be served as it is; the text says what is wrong, where, and what to do.

    Attributes:
        param: the field at fault, such as `messages[0].role`; None where it is no field.
        code: OpenAI's code for it, where there is one.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def refused(where: str, why: str, code: str | None = None) -> BadRequest:
    """A refusal of a field.

    Args:
        where: the field, such as `input[0]`; empty for the body as a whole.
        why: what is wrong with it, as the end of a sentence that begins with its name.
        code: OpenAI's code for it, where there is one.
    """
    return BadRequest(f"{where or 'The body'} {why.rstrip('.')}.", where or None, code)


class ApiError(Exception):
    """An error response.

    Attributes:
        status: the HTTP status.
        type: the kind of error, as OpenAI names it; by the status unless given.
        param: the field at fault, if it is one.
        code: OpenAI's code for the error, if there is one.
        headers: further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type or _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.param = param
        self.code = code
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """The error in a body, or in a stream in place of a chunk; Anthropic's clients expect the outer `type`."""
        error = {"message": str(self), "type": self.type, "param": self.param, "code": self.code}
        return {"type": "error", "error": error}

    def body(self) -> bytes:
        """The body of the response."""
        return msgspec.json.encode(self.to_dict())


def busy(message: str, retry_after: float) -> ApiError:
    """The error of a request that is turned away because of load.

    Args:
        message: what the limit is.
        retry_after: seconds after which to try again.
    """
    headers = {"retry-after": str(max(math.ceil(retry_after), 1))}
    return ApiError(429, message, code="rate_limit_exceeded", headers=headers)


def not_ready(message: str) -> ApiError:
    """The error of a request that comes before the server is ready, or while it stops.

    Args:
        message: why.
    """
    return ApiError(503, f"{message} Try again.", code="not_ready", headers={"retry-after": "5"})


def stopping() -> ApiError:
    """The error of a request that the server's end leaves without an answer."""
    return not_ready("The server is being stopped.")


def explained(error: Exception) -> ApiError:
    """The error response for an exception; internal details stay in the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return busy(str(error), error.retry_after)
    if isinstance(error, BadRequest):
        return ApiError(400, str(error), param=error.param, code=error.code)
    if isinstance(error, InputError | PromptError):
        return ApiError(400, str(error))
    if isinstance(error, ContextOverflow):
        return ApiError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, RequestRefused):
        return ApiError(400, str(error), code="upstream_refused")
    if isinstance(error, ModelUnavailable) and error.overloaded:
        headers = {"retry-after": str(math.ceil(error.retry_after or 1))}
        return ApiError(503, str(error), UPSTREAM, code="upstream_overloaded", headers=headers)
    if isinstance(error, ModelError):
        return ApiError(502, str(error), UPSTREAM, code="upstream_failed")
    if isinstance(error, RewardError | CheckError):
        return ApiError(502, str(error), UPSTREAM, code="reward_failed")
    if isinstance(error, JournalError):  # it names a file of the server's
        return ApiError(500, "What the server stores cannot be read or written; its log has the details.")
    if isinstance(error, TPOError):
        return ApiError(500, str(error))
    return ApiError(500, "The server failed in a way that it should not; its log has the details.")
