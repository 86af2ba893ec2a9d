"""Who meets whom. It follows from the texts alone, so that neither the order in which answers land nor a restart
changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def in_fixed_order(texts: Sequence[str], salt: str = "") -> list[int]:
    """Positions of the texts in an order that is as good as drawn by lot, and always the same.

    Args:
        texts: different texts.
        salt: another salt gives another order.
    """
    keys = [hashlib.sha256(f"{salt}\0{text}".encode(errors="surrogatepass")).digest() for text in texts]
    return sorted(range(len(texts)), key=keys.__getitem__)


def pairs(texts: Sequence[str], opponents: int) -> list[tuple[int, int]]:
    """Which answers to compare: each with about `opponents` others, all with all where there are no more.

    The answers sit in a circle, in their fixed order, and each meets its nearest neighbours on both sides. So all are
    connected; and when the pool grows, newcomers only push old neighbours apart: two old ones that still meet have met
    before.

    Args:
        texts: n different texts.
        opponents: 2 or more; an odd number counts as the next even one.

    Returns:
        Pairs of positions, each once: n (n - 1) / 2 of them up to `opponents` + 1 answers, else n times half the
        opponents.
    """
    count, reach = len(texts), (opponents + 1) // 2
    circle = in_fixed_order(texts)
    met: dict[tuple[int, int], None] = {}
    for place, one in enumerate(circle):
        for step in range(1, min(reach, count // 2) + 1):
            other = circle[(place + step) % count]
            met[min(one, other), max(one, other)] = None
    return list(met)


def lists(texts: Sequence[str], size: int, rounds: int) -> list[list[int]]:
    """Which answers to show together, and in which order.

    In each round every answer is shown once, in lists of nearly equal length. Every second round shows the lists of the
    round before the other way round, so that being first or last is no one's advantage.

    Args:
        texts: n different texts, n at least 2.
        size: most answers in a list, at least 2.
        rounds: how often each answer is shown.

    Returns:
        Lists of positions: ⌈n / size⌉ for each round.
    """
    count = -(-len(texts) // size)
    shown: list[list[int]] = []
    for number in range(0, rounds, 2):
        order = in_fixed_order(texts, str(number))
        drawn = [order[start::count] for start in range(count)]
        shown += drawn
        if number + 1 < rounds:
            shown += [one[::-1] for one in drawn]
    return shown
