"""How often the intervals of `tpo.stats` hold the true value, by simulation: the table in docs/evaluation.md.

python benchmarks/coverage.py [--rounds 5000] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

from tpo.stats import Estimate, difference_of, mean_of, share_of

SIZES = (5, 10, 20, 50, 200)
Draw = Callable[[random.Random], float]


def tied(ties: float, wins: float) -> Draw:
    """A comparison: a tie, or else a win or a loss."""
    return lambda draw: 0.5 if draw.random() < ties else float(draw.random() < wins)


def paired(draw: random.Random, n: int) -> Estimate:
    """Two methods with 0 or 1 on the same queries: both right in half of them, one of them in three of ten."""
    pairs = draw.choices([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)], [0.5, 0.2, 0.1, 0.2], k=n)
    return difference_of([one for one, _ in pairs], [other for _, other in pairs])


def of(interval: Callable[[list[float]], Estimate], value: Draw) -> Callable[[random.Random, int], Estimate]:
    """An interval over n independent values."""
    return lambda draw, n: interval([value(draw) for _ in range(n)])


CASES: dict[str, tuple[float, Callable[[random.Random, int], Estimate]]] = {
    "mean, normal rewards": (0.0, of(mean_of, lambda draw: draw.gauss(0.0, 1.0))),
    "mean, uniform rewards": (0.5, of(mean_of, lambda draw: draw.random())),
    "mean, skewed rewards (exponential)": (1.0, of(mean_of, lambda draw: draw.expovariate(1.0))),
    "share of 50 %": (0.5, of(share_of, lambda draw: float(draw.random() < 0.5))),
    "share of 70 %": (0.7, of(share_of, lambda draw: float(draw.random() < 0.7))),
    "share of 80 %": (0.8, of(share_of, lambda draw: float(draw.random() < 0.8))),
    "wins, one in five a tie": (0.58, of(share_of, tied(0.2, 0.6))),
    "wins, half of them ties": (0.6, of(share_of, tied(0.5, 0.7))),
    "paired difference of shares": (0.1, paired),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| interval | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("| --- |" + " --- |" * len(SIZES))
    for name, (true, simulate) in CASES.items():
        cells = []
        for n in SIZES:
            draw, held = random.Random(given.seed), 0
            for _ in range(given.rounds):
                found = simulate(draw, n)
                held += found.low is not None and found.high is not None and found.low <= true <= found.high
            cells.append(f"{100 * held / given.rounds:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
