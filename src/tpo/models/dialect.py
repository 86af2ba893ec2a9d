"""Which fields one server takes in a request, learned from what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.http.failures import RequestRefused

LIMITS = ("max_tokens", "max_completion_tokens")
# How many alternatives to request at each token: all that the protocol allows, then what stricter servers allow.
TOPS = (20, 5, 0)
OMITTABLE = ("temperature", "top_p", "seed", "stream_options", *LIMITS, "n", "cache_prompt")

# A value out of range is the user's to correct; leaving it out would hide the mistake.
_RANGE = re.compile(
    r"\bbetween\b|\b(?:less|greater|smaller|larger|more|lower|higher) than\b|\bat (?:most|least)\b"
    r"|\btoo (?:large|small|high|low|big|long)\b|\brange\b|\bexceeds?\b"
    r"|\bmust be (?:>|<|a |an |positive|non-?negative)|[<>]=",
    re.IGNORECASE,
)


class Dialect(msgspec.Struct, frozen=True):
    """The form of requests that a server takes.

    Attributes:
        omit: fields that requests go without.
        limit: the field that limits the tokens of an answer.
        stream: True where the server only streams, False where it never does; None where it does both.
        tops: the most alternatives at a token that it reports.
    """

    omit: frozenset[str] = frozenset()
    limit: str = "max_tokens"
    stream: bool | None = None
    tops: int = TOPS[0]

    def merged(self, other: Dialect) -> Dialect:
        """What both have learned."""
        stream = self.stream if other.stream is None else other.stream
        return Dialect(self.omit | other.omit, other.limit, stream, min(self.tops, other.tops))


def omitted(fields: Iterable[str]) -> frozenset[str]:
    """The fields that a user wants to be left out.

    Raises:
        InputError: one is no field that can be left out.
    """
    found = frozenset(fields)
    unknown = sorted(found - set(OMITTABLE))
    if unknown:
        raise InputError(f"omit={unknown[0]}: fields that can be left out are {', '.join(OMITTABLE)}.")
    return found


def adapted(dialect: Dialect, refusal: RequestRefused, sent: Mapping[str, Any]) -> tuple[Dialect, str] | None:
    """The form to try next after a refusal.

    Args:
        dialect: the form of the request that was refused.
        refusal: the server's refusal.
        sent: the fields of the request.

    Returns:
        the new form and what is different, in words for a user; None where the refusal names no field of ours.
    """

    def names(field: str) -> bool:
        # "n" is a word for many things, and a field only in quotes.
        word = rf"(?<![a-z_]){field}(?![a-z_])" if len(field) > 1 else rf"[\"'`]{field}[\"'`]"
        return field in refusal.fields or bool(re.search(word, detail))

    def without(field: str) -> tuple[Dialect, str]:
        return msgspec.structs.replace(dialect, omit=dialect.omit | {field}), f"go without {field}"

    detail = refusal.detail.lower()
    if '"messages"' in detail:  # the server repeats the whole request, which names every field
        detail = ""
    out_of_range = bool(_RANGE.search(detail))
    if dialect.tops and "top_logprobs" in sent and "logprob" in detail:
        lower = TOPS[TOPS.index(dialect.tops) + 1]
        change = f"want {lower} alternatives at each token" if lower else "go without logprobs"
        return msgspec.structs.replace(dialect, tops=lower), change
    if "stream_options" in sent and names("stream_options"):
        return without("stream_options")
    other = LIMITS[LIMITS[0] == dialect.limit]
    if dialect.limit in sent and names(other) and (not out_of_range or "instead" in detail):
        return msgspec.structs.replace(dialect, limit=other), f"limit their tokens by {other}"
    if out_of_range:
        return None
    # Of two that exclude each other, the temperature is the one that users set.
    for field in ("top_p", "temperature", "seed", "n", "cache_prompt"):
        if field in sent and names(field):
            return without(field)
    if dialect.limit == LIMITS[1] and dialect.limit in sent and names(LIMITS[1]):
        return msgspec.structs.replace(dialect, limit=LIMITS[0]), f"limit their tokens by {LIMITS[0]}"
    if dialect.stream is None and re.search(r"\b(?:non-?)?stream(?:ing|ed)?\b", detail.replace("stream_options", "")):
        streams = bool(sent.get("stream"))
        change = "take their answers in one piece" if streams else "take their answers as streams"
        return msgspec.structs.replace(dialect, stream=not streams), change
    return None
