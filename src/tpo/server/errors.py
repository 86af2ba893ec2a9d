"""Errors as OpenAI's clients know them: `{"error": {"message", "type", "param", "code"}}` and the HTTP status.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from tpo.errors import CheckError, InputError, ModelError, ModelUnavailable, PromptError, RewardError, TPOError
from tpo.http.failures import ContextOverflow, RequestRefused
from tpo.server.protocols.refusal import BadRequest

INVALID = "invalid_request_error"
UPSTREAM = "upstream_error"


class ApiError(Exception):
    """An error response.

    Attributes:
        status: the HTTP status.
        type: the kind of error, as OpenAI names it.
        param: the field at fault, if it is one.
        code: OpenAI's code for the error, if there is one.
        headers: further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str = INVALID,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """The error as it stands in a body, or in a stream in place of a chunk."""
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
    return ApiError(429, message, "rate_limit_error", code="rate_limit_exceeded", headers=headers)


def not_ready(message: str) -> ApiError:
    """The error of a request that comes before the server is ready, or while it stops.

    Args:
        message: why.
    """
    return ApiError(503, f"{message} Try again.", "server_error", code="not_ready", headers={"retry-after": "5"})


def stopping() -> ApiError:
    """The error of a request that the server's end leaves without an answer."""
    return not_ready("The server is being stopped.")


def explained(error: Exception) -> ApiError:
    """The error response for an exception; internal details stay in the log."""
    if isinstance(error, ApiError):
        return error
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
    if isinstance(error, TPOError):
        return ApiError(500, str(error), "server_error")
    return ApiError(500, "The server failed in a way that it should not; its log says how.", "server_error")
