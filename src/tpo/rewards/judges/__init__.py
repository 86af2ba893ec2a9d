"""Judges: language models that grade or rank answers, and how "URL?option=value" becomes one. See docs/judges.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from tpo import specs
from tpo.errors import InputError
from tpo.rewards.judges.listwise import ListwiseJudge
from tpo.rewards.judges.pairwise import PairwiseJudge
from tpo.rewards.judges.pointwise import PointwiseJudge

__all__ = ["ListwiseJudge", "PairwiseJudge", "PointwiseJudge", "parse_judge"]


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
        The judge; pairwise and listwise ones score relative to the pool. Nothing has been sent anywhere.

    Raises:
        InputError: the URL is none, or an option is unknown, given twice, or has an unusable value.
        PromptError: a template cannot be used.
    """
    url, given, _ = specs.parse(rest, "judge")
    kind = given.pop("kind", "pointwise")
    made = KINDS.get(kind)
    if made is None:
        near = specs.did_you_mean(kind, KINDS)
        raise InputError(f"There is no judge of the kind {kind!r}.{near} Kinds are {', '.join(KINDS)}.")
    types = specs.options_of(made, 1)
    for option in given:
        if option not in types:
            raise InputError(_unknown(option, kind, types))
    return made(url, **specs.typed(given, types, "judge"))


def _unknown(option: str, kind: str, types: Mapping[str, Any]) -> str:
    others = [name for name, made in KINDS.items() if option in specs.options_of(made, 1)]
    if others:
        return f"The option {option} is for judges of the kind {' or '.join(others)}; this one is {kind}."
    known = ["kind", *types]
    return f"The judge has no option {option!r}.{specs.did_you_mean(option, known)} Options are {', '.join(known)}."
