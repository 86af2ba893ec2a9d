"""What a failure of HTTP means: whether another try may help, and what the user has to know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from tpo.errors import ModelError, ModelUnavailable

RETRIED_STATUS = frozenset({408, 409, 425, 429})
OVERLOADED_STATUS = frozenset({429, 503, 529})
GATEWAY_STATUS = frozenset({502, 503, 504})
REFUSED_STATUS = frozenset({400, 413, 422})
LONGEST_MESSAGE = 400

# How servers report that a prompt, or a prompt and its answer, is too long, and the sizes in such messages.
_OVERFLOW = re.compile(
    r"context[ _](?:length|size|window)|max_model_len|maximum (?:sequence|input|prompt) length"
    r"|(?:prompt|input) (?:is )?too long|too many (?:input|prompt) tokens|input_tokens_exceeded",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:context (?:length|size|window)|n_ctx)\D{0,40}?(\d{3,18})", re.IGNORECASE | re.ASCII)
_PROMPT = re.compile(
    r"\((\d{1,18}) in the messages|has (?:at least )?(\d{1,18}) input tokens|passed (\d{1,18}) input tokens"
    r"|request \((\d{1,18}) tokens\)|prompt (?:contains|has|of length) (?:at least )?(\d{1,18})"
    r"|resulted in (\d{1,18}) tokens",
    re.IGNORECASE | re.ASCII,
)
# What an error is by its type or code where it names no status.
_NAMED_STATUS = (
    (re.compile(r"rate.?limit|too.?many.?requests", re.IGNORECASE), 429),
    (re.compile(r"overloaded|unavailable", re.IGNORECASE), 503),
    (re.compile(r"timeout|timed.?out", re.IGNORECASE), 504),
    (re.compile(r"server.?error|internal|api_error|upstream|bad.?gateway", re.IGNORECASE), 500),
    (re.compile(r"authentication|invalid.?api.?key|permission", re.IGNORECASE), 401),
    (re.compile(r"invalid.?request|context_length_exceeded", re.IGNORECASE), 400),
)


class RequestRefused(ModelError):
    """A request that is wrong in the server's eyes: another try would end the same way.

    Attributes:
        detail: the server's own words.
        fields: the fields of the request that the server names as wrong, where its error has a place for them.
    """

    def __init__(self, message: str, detail: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.detail = detail
        self.fields = fields


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
        prompt_tokens: tokens of the prompt, at least, where the server reports it.
        context: tokens that the model takes in all, where the server reports it.
    """

    def __init__(self, message: str, prompt_tokens: int | None, context: int | None) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.context = context


@contextmanager
def explained(url: str, proxy: str | None = None, redact: Callable[[str], str] = lambda text: text) -> Iterator[None]:
    """Turn what aiohttp raises into a `ModelError` that names URL, proxy and cause, and keep secrets out of all errors.

    Args:
        url: where the request went, safe to show.
        proxy: the proxy that it went through, safe to show; None for none.
        redact: takes the secrets out of a message.
    """
    try:
        yield
    except ModelError as error:
        error.args = (redact(str(error)),)
        raise
    except (aiohttp.ClientError, TimeoutError, UnicodeError) as error:
        raise _detail(error, url, proxy, redact) from error


def _detail(error: Exception, url: str, proxy: str | None, redact: Callable[[str], str]) -> ModelError:
    detail = redact(_one_line(str(error) or type(error).__name__))
    through = f" through the proxy {proxy}" if proxy else ""
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return ModelError(f"{url} cannot be used: {detail}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return ModelError(
            f"No safe connection to {url}{through} ({detail}). SSL_CERT_FILE can name a file with the right ones."
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status < 500:
            return ModelError(f"The proxy {proxy} refused a connection to {url} ({error.status} {error.message}).")
        why = f"The proxy {proxy} has no connection to {url} ({error.status} {error.message})."
    elif isinstance(error, aiohttp.ClientProxyConnectionError):
        why = f"No connection to the proxy {proxy} on the way to {url} ({detail}): is HTTP_PROXY right?"
    elif isinstance(error, aiohttp.ConnectionTimeoutError):
        why = f"No connection to {url}{through} within the time limit: is the host right and up?"
    elif isinstance(error, aiohttp.ClientConnectorError):
        why = f"No connection to {url}{through} ({detail}): is the server running there?"
    elif isinstance(error, TimeoutError):
        why = f"{url}{through} sent nothing for too long."
    else:
        why = f"{url}{through} broke off in the middle of its answer ({detail})."
    return ModelUnavailable(why, unreachable=True)


def unsent(error: BaseException) -> bool:
    """Whether a request was never sent, because the server had closed the connection that it was to go over."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientConnectionResetError):
        cause = cause.__cause__
    return cause is not None


def refused(status: int, headers: Mapping[str, str], body: bytes, url: str, key_variable: str) -> ModelError:
    """The error for a response whose status is none that answers.

    Args:
        status: the status.
        headers: the response's headers.
        body: the response's body.
        url: where the request went, safe to show.
        key_variable: the environment variable that holds the key for this endpoint.
    """
    text = body.decode(errors="replace")
    detail = server_message(text)
    if 300 <= status < 400:
        target = _one_line(headers.get("location", "elsewhere"))
        return ModelError(f"{url} redirects to {target}: give that address instead.")
    if status in (401, 403):
        return KeyRefused(f"{url} refused the key ({status}: {detail}). Put the right one into {key_variable}.", status)
    wait = retry_after(headers)
    failed, refusal = f"{url} answered {status}", f"{url} refused the request ({status})"
    return _failure(status, detail, failed, refusal, _parsed(text), wait)


def reported(value: Mapping[str, Any], url: str) -> ModelError | None:
    """The error that JSON reports although its status is 200, in a body, in a piece of a stream or in a choice.

    Args:
        value: the JSON object.
        url: where it came from, safe to show.
    """
    error = value.get("error")
    if not error and value.get("object") == "error":
        error = dict(value)
    if not error:
        return None
    status = _status(error)
    detail = _message(error)
    if status is None and isinstance(error, Mapping) and not detail and value.get("choices"):
        return None  # a form with nothing filled in, beside a good reply
    detail = detail or "an error without a message"
    if status is None or not 400 <= status < 600:
        return ModelError(f"{url} failed while answering: {detail}")
    words = f"{url} failed while answering ({status})"
    failure = _failure(status, detail, words, words, value, None)
    if isinstance(failure, ModelUnavailable):
        failure.unreachable = False  # the server did answer: one request's trouble, and no outage of the endpoint
    return failure


def _failure(status: int, detail: str, failed: str, refusal: str, value: Any, retry_after: float | None) -> ModelError:
    if status in RETRIED_STATUS or status >= 500:
        overloaded, unreachable = status in OVERLOADED_STATUS, status in GATEWAY_STATUS
        return ModelUnavailable(f"{failed}: {detail}", retry_after, overloaded=overloaded, unreachable=unreachable)
    message = f"{refusal}: {detail}"
    if status not in REFUSED_STATUS:
        return ModelError(f"{failed}: {detail}" if status == 404 else message)
    if _OVERFLOW.search(f"{detail} {_code(value)}"):
        context, prompt = _CONTEXT.search(detail), _PROMPT.search(detail)
        tokens = int(next(group for group in prompt.groups() if group)) if prompt else None
        return ContextOverflow(message, tokens, int(context[1]) if context else None)
    return RequestRefused(message, detail, _fields(value))


def _status(error: Any) -> int | None:
    """The HTTP status that an error inside a reply stands for."""
    if not isinstance(error, Mapping):
        return None
    named = [error.get(key) for key in ("code", "status", "status_code", "type")]
    for value in named:
        if isinstance(value, int | float) and not isinstance(value, bool) and 400 <= value < 600:
            return int(value)
        if isinstance(value, str) and re.fullmatch(r"[45][0-9]{2}", value):
            return int(value)
    words = " ".join(value for value in named if isinstance(value, str))
    return next((status for pattern, status in _NAMED_STATUS if pattern.search(words)), None)


def _code(value: Any) -> str:
    error = value.get("error") if isinstance(value, Mapping) else None
    inside = error if isinstance(error, Mapping) else value if isinstance(value, Mapping) else {}
    return " ".join(str(inside.get(key)) for key in ("code", "type") if isinstance(inside.get(key), str))


def _fields(value: Any) -> tuple[str, ...]:
    """The fields that an error names: OpenAI's `param`, and the places (`loc`) of pydantic's list."""
    if not isinstance(value, Mapping):
        return ()
    error = value.get("error")
    if isinstance(error, Mapping):
        param = error.get("param")
        return (param,) if isinstance(param, str) and param else _fields({"detail": error.get("detail")})
    found = []
    for entry in value["detail"] if isinstance(value.get("detail"), list) else []:
        loc = entry.get("loc") if isinstance(entry, Mapping) else None
        found += [part for part in loc if isinstance(part, str) and part != "body"][:1] if isinstance(loc, list) else []
    return tuple(found)


def server_message(body: str) -> str:
    """The message of a server's error body, in one line of at most 400 characters."""
    value = _parsed(body)
    message = _message(value) if value is not None else ""
    return _one_line(message or _markup_title(body) or body) or "an empty body"


def _message(value: Any) -> str:
    """The words of an error, wherever servers put them."""
    for key in ("error", "message", "detail", "msg"):
        if isinstance(value, Mapping) and value.get(key):
            value = value[key]
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "msg" in entry for entry in value):
        # Pydantic's list, without the request that it repeats.
        value = "; ".join(f"{'.'.join(map(str, _loc(entry)))}: {entry['msg']}" for entry in value)
    if isinstance(value, Mapping) and not any(value.values()):
        return ""
    return _one_line(str(value)) if value is not None else ""


def _loc(entry: Mapping[str, Any]) -> list[Any]:
    loc = entry.get("loc")
    return loc if isinstance(loc, list) else []


def _parsed(body: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _one_line(text: str) -> str:
    text = " ".join(text[: 8 * LONGEST_MESSAGE].encode(errors="replace").decode().split())
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _markup_title(body: str) -> str | None:
    title = re.search(r"<title>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    return f"a web page titled {title[1].strip()!r}" if title else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, whether it counts seconds or names a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max((when - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError, TypeError):
        return None
