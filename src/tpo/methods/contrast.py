"""Which worse answer is compared with the best one, and what a critique of the two is worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from tpo.candidate import Candidate
from tpo.methods.pool import Pool, preference
from tpo.methods.unmet import demands, keeps

# The paper takes the worst of the whole pool, which is often the same early failure in every step.
Contrast = Literal["worst", "latest", "closest", "minimal"]

_WORD = re.compile(r"\w{4,}")
# A critique in fewer words says nothing.
LEAST_WORDS = 3


def rejected_by(contrast: Contrast, pool: Pool, begins: Sequence[int] = (0,)) -> Candidate | None:
    """The worse answer that the best one is compared with; None where there is none.

    Args:
        contrast: "worst" of all, worst of the "latest" step, "closest" in reward, or "minimal": the one whose parts of
            the reward differ in the fewest places.
        pool: the answers so far.
        begins: for each step the number of answers before it. A step may have several waves.
    """
    return _latest(pool, begins) if contrast == "latest" else _RULES[contrast](pool)


def _latest(pool: Pool, begins: Sequence[int]) -> Candidate | None:
    worse = pool.worse
    for begin in reversed(begins):  # nothing in the latest step may be worse
        recent = {one.id for one in pool.candidates[begin:]}
        if some := [one for one in worse if one.id in recent]:
            return min(some, key=preference)
    return None


def _closest(pool: Pool) -> Candidate | None:
    return max(pool.worse, key=preference, default=None)


def _minimal(pool: Pool) -> Candidate | None:
    chosen = pool.chosen
    return min(pool.worse, key=lambda one: (_differences(chosen, one), -(one.reward or 0.0)), default=None)


def _differences(one: Candidate, other: Candidate) -> int:
    names = one.parts.keys() | other.parts.keys()
    if one.missing or other.missing:
        return len(one.missing.keys() ^ other.missing.keys()) or len(names) + 1
    return sum(one.parts.get(name) != other.parts.get(name) for name in names) or len(names) + 1


_RULES: dict[Contrast, Callable[[Pool], Candidate | None]] = {
    "worst": lambda pool: pool.rejected,
    "closest": _closest,
    "minimal": _minimal,
}


def one_demand(chosen: Candidate, rejected: Candidate | None) -> str:
    """The one requirement to mend next: one that the worse answer keeps, and so can be kept; else the first.

    Empty where the reward does not name what the best answer fails.
    """
    failed = demands(chosen)
    kept = [words for name, words in failed.items() if rejected is not None and keeps(rejected, name)]
    return next(iter([*kept, *failed.values()]), "")


def is_useful(critique: str, chosen: Candidate) -> bool:
    """Whether a critique is worth following.

    Args:
        critique: the critic's words.
        chosen: the answer that they are about. Where the reward says what that fails, the critique has to name one of
            these requirements, by half of its longer words; a critic that finds none has not seen what is wrong.
            One without longer words cannot be recognised.
    """
    found = {word.casefold() for word in _WORD.findall(critique)}
    wanted = [{word.casefold() for word in _WORD.findall(words)} for words in demands(chosen).values()]
    if not any(wanted):
        return len(critique.split()) >= LEAST_WORDS
    return any(2 * len(words & found) >= len(words) for words in wanted if words)
