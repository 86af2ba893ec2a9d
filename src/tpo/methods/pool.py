"""The pool: every candidate of a query, and the rules that pick the chosen and the rejected one."""

from __future__ import annotations

from collections.abc import Iterable

from tpo.candidate import Candidate


class Pool:
    """All candidates of one query, in the order of their steps."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []

    def add(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Keep all of them, and return those whose texts are new.

        A candidate that is known by its id takes the place of the one before: a reward that looks at the whole pool
        may have changed its mind.
        """
        places = {candidate.id: place for place, candidate in enumerate(self.candidates)}
        known = {candidate.text for candidate in self.candidates} | {""}
        fresh = []
        for candidate in candidates:
            if candidate.id in places:
                self.candidates[places[candidate.id]] = candidate
                continue
            self.candidates.append(candidate)
            if candidate.text not in known:
                known.add(candidate.text)
                fresh.append(candidate)
        return fresh

    @property
    def chosen(self) -> Candidate:
        """The best candidate: highest reward, the earliest of equals.

        Without any reward it is the first candidate with text, and without any text the first there is, so
        that a pool with candidates always has an answer.
        """
        return max(self.candidates, key=preference)

    def ranked(self, k: int | None = None) -> list[Candidate]:
        """The best candidates, best first, the earliest of equals first; all texts differ, and none is empty.

        Args:
            k: how many at most; all unless given.
        """
        # sorted() keeps the order of equals, in reverse too, and the first of a text is its best.
        different: dict[str, Candidate] = {}
        for candidate in sorted(self.candidates, key=preference, reverse=True):
            if candidate.text:
                different.setdefault(candidate.text, candidate)
        return list(different.values())[:k]

    @property
    def rejected(self) -> Candidate | None:
        """The worst candidate of the whole pool, or None where nothing is worse than the chosen one.

        An answer that equals the chosen one word for word, or that has the same reward, teaches nothing
        about what makes an answer better: with such a pool the critic looks at the chosen answer alone.
        """
        return min(self.worse, key=preference, default=None)

    @property
    def worse(self) -> list[Candidate]:
        """The candidates with a lower reward than the chosen one and another text, in the order of their steps."""
        chosen = self.chosen
        if chosen.reward is None:
            return []
        return [
            one
            for one in self.candidates
            if one.reward is not None and one.reward < chosen.reward and one.text != chosen.text
        ]


def preference(candidate: Candidate) -> tuple[bool, bool, float, bool]:
    """What candidates are ordered by: the better has the larger.

    One that repeats words of our prompt comes after all others with a reward, whatever its own is.
    """
    # max() keeps the first of equals, so ties go to the earliest.
    return *candidate.rank, bool(candidate.text)
