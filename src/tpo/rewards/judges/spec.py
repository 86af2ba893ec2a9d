"""From "URL?option=value&option=value" to a judge."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from tpo.errors import InputError
from tpo.rewards.judges.listwise import ListwiseJudge
from tpo.rewards.judges.pairwise import PairwiseJudge
from tpo.rewards.judges.pointwise import PointwiseJudge

AnyJudge: TypeAlias = PointwiseJudge | PairwiseJudge | ListwiseJudge

KINDS: Mapping[str, type[AnyJudge]] = {
    "pointwise": PointwiseJudge,
    "pairwise": PairwiseJudge,
    "listwise": ListwiseJudge,
}


def parse_judge(rest: str) -> AnyJudge:
    """Make the judge that a user named.

    Args:
        rest: what stands after "judge:", such as
            "http://localhost:8000/v1?kind=pairwise&model=NAME&rubric=FILE". Options are `kind` (pointwise unless
            given) and the keyword arguments of the kind's class.

    Returns:
        A `Reward` for pointwise, a `PoolReward` for pairwise and listwise. Nothing has been sent anywhere.

    Raises:
        InputError: the URL is none, or an option is unknown, given twice, or has an unusable value.
        PromptError: a template cannot be used.
    """
    try:
        parts = urlsplit(rest)
    except ValueError as error:
        raise InputError(f"{rest!r} is no URL: {error}.") from error
    given: dict[str, str] = {}
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option in given:
            raise InputError(f"The judge's option {option} is given twice.")
        given[option] = value
    kind = given.pop("kind", "pointwise")
    made = KINDS.get(kind)
    if made is None:
        raise InputError(f"There is no judge of the kind {kind!r}.{_near(kind, KINDS)} Kinds are {', '.join(KINDS)}.")
    hints = _options(made)
    for option in given:
        if option not in hints:
            raise InputError(_unknown(option, kind, hints))
    options = {option: _value(option, value, hints[option]) for option, value in given.items()}
    return made(urlunsplit(parts._replace(query="")), **options)


def _options(made: type[AnyJudge]) -> dict[str, Any]:
    hints = typing.get_type_hints(made.__init__)
    return {name: hint for name, hint in hints.items() if name not in ("url", "return")}


def _unknown(option: str, kind: str, hints: Mapping[str, Any]) -> str:
    others = [name for name, made in KINDS.items() if option in _options(made)]
    if others:
        return f"The option {option} is for judges of the kind {' or '.join(others)}; this one is {kind}."
    known = ["kind", *hints]
    return f"The judge has no option {option!r}.{_near(option, known)} Options are {', '.join(known)}."


def _near(word: str, words: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _value(option: str, text: str, hint: Any) -> Any:
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"The judge's {option}={text} cannot be used: {error}.") from error
