"""Reading what a server sent: any JSON becomes typed records, or a clear error.

Nothing of another type than these records declare gets behind this module. A field of the wrong type counts as absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from tpo.errors import ModelError, ModelUnavailable
from tpo.http.failures import reported, server_message

# No reply has more tokens; a larger count is nonsense, and JSON could not carry it on.
_MOST_TOKENS = 2**40
# How deep the fields may be that are passed on unread.
_DEEPEST = 16


class Counts(NamedTuple):
    """Token counts as the server reports them; None where it does not."""

    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None


class CallPiece(msgspec.Struct):
    """A piece of a tool call.

    Attributes:
        index: the call's place, where the server gives one.
        id: its id; empty where the server gives none.
        name: the function's name; empty in later pieces.
        arguments: JSON, or a piece of it.
        whole: the arguments are complete.
        more: further fields of the call, which clients may have to send back.
    """

    index: int | None
    id: str
    name: str
    arguments: str
    whole: bool
    more: dict[str, Any]


class Piece(msgspec.Struct):
    """What a chunk adds to one choice; a reply in one piece adds all of it.

    Attributes:
        index: the choice's place; None where the server gives none.
        text: text of the answer.
        reasoning: text of the reasoning.
        refusal: text of a refusal.
        calls: pieces of tool calls.
        finish_reason: why the choice ended, in the piece that ends it.
        logprobs: tokens with their log-probabilities.
    """

    index: int | None
    text: str
    reasoning: str
    refusal: str
    calls: list[CallPiece]
    finish_reason: str | None
    logprobs: list[dict[str, Any]]


class Chunk(NamedTuple):
    """A chunk of a stream, or a reply in one piece."""

    pieces: list[Piece]
    usage: Counts | None


class _PlainDelta(msgspec.Struct):
    content: str
    reasoning_content: None = None
    reasoning: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _PlainChoice(msgspec.Struct):
    index: Annotated[int, msgspec.Meta(ge=0, le=_MOST_TOKENS)]
    delta: _PlainDelta
    finish_reason: None = None
    logprobs: None = None
    error: None = None


class _PlainChunk(msgspec.Struct):
    """A chunk that adds text and nothing else, as nearly all do."""

    choices: list[_PlainChoice]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    usage: None = None
    error: None = None


class _Likely(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Sampled(_Likely):
    top_logprobs: list[Any] | None = None


L = TypeVar("L", bound=_Likely)


def decoded(data: bytes, url: str) -> dict[str, Any]:
    """A JSON object that a server sent.

    Args:
        data: the bytes.
        url: where they came from, safe to show.

    Raises:
        ModelUnavailable: the JSON is cut off, or the server reports an error that may pass.
        ModelError: it is no JSON object, or the server reports another error.
    """
    value = _json(data, url)
    if not isinstance(value, dict):
        raise ModelError(f"{url} sent JSON that is no object: {server_message(data.decode(errors='replace'))}")
    if error := reported(value, url):
        raise error
    return value


def _json(data: bytes, url: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise ModelError(f"{url} sent JSON that is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    # What strict JSON does not know, and some servers send: half a surrogate pair, NaN, bytes that are no UTF-8, a byte
    # order mark.
    text = data.decode(errors="replace").removeprefix("\ufeff")
    try:
        return _without_surrogates(json.loads(text, strict=False))
    except RecursionError:
        raise ModelError(f"{url} sent JSON that is nested too deeply.") from None
    except ValueError as error:
        shown = f"{url} sent broken JSON ({error}): {server_message(text)[:120]!r}"
        at = getattr(error, "pos", 0)
        if at >= len(text.rstrip()) or "Unterminated" in str(error):
            raise ModelUnavailable(f"{shown}; it breaks off in the middle.") from error
        raise ModelError(shown) from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(entry) for key, entry in value.items()}
    return value


_plain_chunk = msgspec.json.Decoder(_PlainChunk)


def plain_chunk(data: bytes) -> Chunk | None:
    """A chunk that adds text and nothing else; None for any other, which takes `decoded` and `read_chunk`.

    Those two find the same in it, in twice the time.
    """
    try:
        chunk = _plain_chunk.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    pieces = [Piece(choice.index, choice.delta.content, "", "", [], None, []) for choice in chunk.choices]
    return Chunk(pieces, None)


def read_chunk(value: Mapping[str, Any], url: str, *, whole: bool) -> Chunk:
    """A completion, or a chunk of one.

    Args:
        value: the JSON object.
        url: where it came from, safe to show.
        whole: the reply came in one piece.

    Raises:
        ModelError: a choice reports an error; `ModelUnavailable` where it may pass.
    """
    choices = value.get("choices")
    pieces = [_piece(choice, url, whole) for choice in _objects(choices)]
    if whole and len({piece.index for piece in pieces}) < len(pieces):
        for place, piece in enumerate(pieces):
            piece.index = place
    usage = value.get("usage")
    return Chunk(pieces, _counts(usage) if isinstance(usage, dict) else None)


def _piece(choice: dict[str, Any], url: str, whole: bool) -> Piece:
    if error := reported(choice, url):
        raise error
    finish = choice.get("finish_reason")
    if finish == "error":
        raise ModelUnavailable(f"{url} failed while answering: it names 'error' as the reason of the end.")
    message = choice.get("delta") or choice.get("message")
    if whole:
        message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        message = {"content": choice.get("text")}
    text, reasoning, refusal = _content(message.get("content"))
    reasoning = _words(message.get("reasoning_content")) or _words(message.get("reasoning")) or reasoning
    logprobs = choice.get("logprobs")
    return Piece(
        index=_whole_number(choice.get("index")),
        text=text,
        reasoning=reasoning,
        refusal=_words(message.get("refusal")) or refusal,
        calls=_calls(message, whole),
        finish_reason=finish if isinstance(finish, str) and finish else None,
        logprobs=_logprobs(logprobs.get("content")) if isinstance(logprobs, dict) else [],
    )


def _content(content: Any) -> tuple[str, str, str]:
    """Text, reasoning and refusal of a message's content, which is text or a list of parts."""
    if isinstance(content, str):
        return content, "", ""
    text, reasoning, refusal = [], [], []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            kind = part.get("type")
            if kind in ("thinking", "reasoning", "reasoning_content"):
                reasoning.append(_words(part))
            elif kind == "refusal":
                refusal.append(_words(part.get("refusal")))
            elif kind in (None, "text", "output_text"):
                text.append(_words(part.get("text")))
    return "".join(text), "".join(reasoning), "".join(refusal)


def _words(value: Any, deepest: int = 4) -> str:
    """The text of a value that is text, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if deepest and isinstance(value, list):
        return "".join(_words(part, deepest - 1) for part in value)
    if deepest and isinstance(value, dict):
        keys = ("text", "thinking", "reasoning", "summary", "content", "value")
        return next((words for key in keys if (words := _words(value.get(key), deepest - 1))), "")
    return ""


def _calls(message: dict[str, Any], whole: bool) -> list[CallPiece]:
    calls = message.get("tool_calls")
    pieces = [_call(call, whole) for call in _objects(calls)]
    if whole or (len(pieces) > 1 and all(piece.index is None for piece in pieces)):
        for place, piece in enumerate(pieces):
            piece.index = place
    if not pieces and isinstance(message.get("function_call"), dict):  # as it was before there were several
        pieces = [_call({"index": 0, "function": message["function_call"]}, whole)]
    return pieces


def _call(call: dict[str, Any], whole: bool) -> CallPiece:
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    name, arguments = function.get("name"), function.get("arguments")
    given = call.get("id")
    more = {key: value for key, value in call.items() if key not in ("index", "id", "function") and _plain(value)}
    if isinstance(arguments, str):
        return CallPiece(_whole_number(call.get("index")), _str(given), _str(name), arguments, whole, more)
    if arguments is not None and _plain(arguments):
        arguments, whole = msgspec.json.encode(arguments).decode(), True
    else:
        arguments = ""
    return CallPiece(_whole_number(call.get("index")), _str(given), _str(name), arguments, whole, more)


def _logprobs(entries: Any) -> list[dict[str, Any]]:
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if (sampled := _likely(entry, _Sampled)) is not None:
            # A grammar makes tokens impossible: minus infinity, which some servers write as null.
            tops = [likely for top in sampled.top_logprobs or () if (likely := _likely(top, _Likely)) is not None]
            found.append({**msgspec.to_builtins(sampled), "top_logprobs": msgspec.to_builtins(tops)})
    return found


def _likely(entry: Any, kind: type[L]) -> L | None:
    """A token with its log-probability; None where it is none, or has none that is finite."""
    try:
        likely = msgspec.convert(entry, kind)
    except (msgspec.ValidationError, RecursionError):
        return None
    return likely if math.isfinite(likely.logprob) else None


def _counts(usage: dict[str, Any]) -> Counts:
    details = usage.get("prompt_tokens_details")
    cached = _whole_number(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Counts(_whole_number(usage.get("prompt_tokens")), cached, _whole_number(usage.get("completion_tokens")))


def _whole_number(value: Any) -> int | None:
    """A count that is a count, in whatever type it came; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        return None
    return value


def _plain(value: Any, deepest: int = _DEEPEST) -> bool:
    """Whether JSON can carry a value on, here and in whatever holds it later."""
    if isinstance(value, dict):
        return deepest > 0 and all(_plain(entry, deepest - 1) for entry in value.values())
    if isinstance(value, list):
        return deepest > 0 and all(_plain(entry, deepest - 1) for entry in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
