"""`verifier:regex`: the answer has a match for a regular expression."""

from __future__ import annotations

from typing import Any

from tpo.rewards.protocol import Score
from tpo.rewards.rules import Rule, parse_rule
from tpo.rewards.verifiers.references import References, as_references
from tpo.rewards.verifiers.verifier import Verifier, yes_or_no


class Regex(Verifier[str]):
    """The rule `regex=PATTERN` (see docs/rewards.md) as a reward; a pattern for each query is possible.

    Args:
        pattern: what must match somewhere in the answer, or one for each query.
        reveal: whether the feedback contains the pattern, which may be all but the answer.

    Raises:
        InputError: the pattern is no regular expression.
    """

    def __init__(self, pattern: str | References[str], *, reveal: bool = False) -> None:
        if isinstance(pattern, str):
            _rule(pattern)
        super().__init__("regex", as_references(pattern), ["reveal"] if reveal else [])
        self._reveal = reveal

    def check(self, answer: str, reference: str) -> Score:
        """Check one answer."""
        rule = _rule(reference)
        fault = rule.broken(answer)
        if fault:
            wanted = rule.describe() if self._reveal else "a match for the expected pattern"
            return yes_or_no("regex", f"missing: {wanted} ({fault})", "")
        return yes_or_no("regex", None, "the answer matches the expected pattern")


def _rule(pattern: str) -> Rule:
    return parse_rule(f"regex={pattern}")


def pattern_of(value: Any) -> str:
    """A pattern from a file.

    Raises:
        ValueError: it is no text.
        InputError: it is no regular expression.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("the pattern is no text")
    _rule(value)
    return value
