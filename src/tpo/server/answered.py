"""What came of a request: the candidates that it is answered with, and what is told of the search."""

from __future__ import annotations

from typing import Any

import msgspec

from tpo.candidate import Candidate
from tpo.engine.result import Result
from tpo.methods import Pool
from tpo.methods.pool import preference


class Answered(msgspec.Struct, frozen=True):
    """What came of a request.

    Attributes:
        result: the search.
        best: the candidates that are answered with, the best first.
        error: why the search ended before its time, where something failed.
    """

    result: Result
    best: list[Candidate]
    error: str | None = None

    def told(self, reward: str | None, *, trace: bool) -> dict[str, Any]:
        """What a client is told of the search, as the field `tpo`."""
        result = self.result
        first = [c.reward for c in result.candidates if c.step == 0 and c.reward is not None]
        said = {
            "method": result.method,
            "width": result.width,
            "depth": result.depth,
            "stop": "error" if self.error else result.stop,
            "error": self.error,
            "candidates": len(result.candidates),
            "chosen": [candidate.id for candidate in self.best],
            "reward": result.reward,
            "reward_before": max(first, default=None),
            "reward_name": reward,
            "seconds": result.seconds,
        }
        return said | ({"trace": msgspec.to_builtins(result.trace)} if trace else {})


def best_of(result: Result, n: int) -> list[Candidate]:
    """The n best candidates, the answer first; those that say the same only where there is nothing else."""
    pool = Pool()
    different = pool.add(result.candidates)
    chosen = next(candidate for candidate in pool.candidates if candidate.id == result.chosen)
    ranked = sorted(different, key=preference, reverse=True)
    again = [candidate for candidate in pool.candidates if candidate not in different and candidate.text]
    ordered = [chosen, *(c for c in ranked if c.text != chosen.text), *sorted(again, key=preference, reverse=True)]
    return [ordered[place % len(ordered)] for place in range(n)]
