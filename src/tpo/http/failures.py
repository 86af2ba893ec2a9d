"""What an HTTP failure means: whether to try again, and what to tell the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import httpx
import msgspec

from tpo.errors import ModelError, ModelUnavailable

RETRIED_STATUS = frozenset({408, 409, 429})
OVERLOADED_STATUS = frozenset({429, 503})
GATEWAY_STATUS = frozenset({502, 503, 504})

# How servers say that a prompt, or a prompt and its answer, do not fit, and the sizes that they may name.
_OVERFLOW = re.compile(r"context (?:length|size|window)|max_model_len|max_tokens|max_completion_tokens", re.IGNORECASE)
_CONTEXT = re.compile(r"(?:context (?:length|size|window)|n_ctx)\D{0,40}?(\d{3,})", re.IGNORECASE)
_PROMPT = re.compile(
    r"\((\d+) in the messages|has (?:at least )?(\d+) input tokens|passed (\d+) input tokens|request \((\d+) tokens\)"
    r"|prompt (?:contains|has|of length) (?:at least )?(\d+)|resulted in (\d+) tokens",
    re.IGNORECASE,
)


class RequestRefused(ModelError):
    """A request that the server takes to be wrong: another server, or another try, would say the same."""


class KeyRefused(ModelError):
    """The server does not accept the key, or not for this request.

    Attributes:
        status: 401 or 403; some servers answer 403 for a single request that they find objectionable.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ContextOverflow(ModelError):
    """A request that does not fit the model's context.

    Attributes:
        prompt_tokens: tokens of the prompt, at least, where the server says it.
        context: tokens that the model takes in all, where the server says it.
    """

    def __init__(self, message: str, prompt_tokens: int | None, context: int | None) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.context = context


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what httpx and aiohttp raise into a ModelUnavailable that names the URL and the cause.

    Args:
        url: where the request went, safe to show.
    """
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError, TimeoutError) as error:
        # The connections are aiohttp's, whose own error says more than the one that httpx has for it.
        cause = (error.__cause__ or error) if isinstance(error, httpx.TransportError) else error
        said = str(cause) or type(cause).__name__
        if isinstance(cause, aiohttp.ConnectionTimeoutError | httpx.ConnectTimeout):
            why = f"No connection to {url} within the time limit: is the host right and up?"
        elif isinstance(cause, aiohttp.ClientConnectorError | httpx.ConnectError):
            why = f"No connection to {url} ({said}): is the server running there?"
        elif isinstance(cause, TimeoutError | httpx.TimeoutException):
            why = f"{url} sent nothing for too long."
        else:
            why = f"{url} broke off in the middle of its answer ({said})."
        raise ModelUnavailable(why, unreachable=True) from error
    except (httpx.InvalidURL, httpx.HTTPError, UnicodeError) as error:
        raise ModelError(f"{url} cannot be used: {error}") from error


def unsent(error: BaseException) -> bool:
    """Whether a request was never sent, because the server had closed the connection that it was to go over."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientConnectionResetError):
        cause = cause.__cause__
    return cause is not None


def refused(response: httpx.Response, url: str, key_variable: str) -> ModelError:
    """The error for a response whose status is not 200; its body must have been read.

    Args:
        response: the refusal.
        url: where the request went, safe to show.
        key_variable: the environment variable that holds the key for this endpoint.
    """
    said = server_message(response.text)
    status = response.status_code
    if status in RETRIED_STATUS or status >= 500:
        return ModelUnavailable(
            f"{url} answered {status}: {said}",
            retry_after(response.headers),
            overloaded=status in OVERLOADED_STATUS,
            unreachable=status in GATEWAY_STATUS,
        )
    if status in (401, 403):
        return KeyRefused(f"{url} refused the key ({status}: {said}). Put the right one into {key_variable}.", status)
    if status == 404:
        return ModelError(f"{url} answered 404: {said}")
    if 300 <= status < 400:
        target = response.headers.get("location", "elsewhere")
        return ModelError(f"{url} redirects to {target}: give that address instead.")
    if _OVERFLOW.search(said):
        context, prompt = _CONTEXT.search(said), _PROMPT.search(said)
        tokens = int(next(group for group in prompt.groups() if group)) if prompt else None
        return ContextOverflow(
            f"{url} refused the request ({status}): {said}", tokens, int(context[1]) if context else None
        )
    if status in (400, 413, 422):
        return RequestRefused(f"{url} refused the request ({status}): {said}")
    return ModelError(f"{url} refused the request ({status}): {said}")


def server_message(body: str) -> str:
    """What a server's error body says, in one line of at most 400 characters."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = None
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    if value is None:
        value = _markup_title(body) or body
    text = " ".join(str(value).split()) or "an empty body"
    return text if len(text) <= 400 else f"{text[:400]}…"


def _markup_title(body: str) -> str | None:
    title = re.search(r"<title>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    return f"a web page titled {title[1].strip()!r}" if title else None


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a Retry-After header asks for, whether it counts seconds or names a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
