"""How alike two texts are, without any model: by the words that they share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

_WORD = re.compile(r"\w+")


def similarities(texts: Sequence[str]) -> list[list[float]]:
    """The similarity of each two texts, from 0 to 1: the cosine of their counts of words and of pairs of words."""
    counts = [_counts(text) for text in texts]
    norms = [math.sqrt(sum(count * count for count in one.values())) for one in counts]
    return [
        [1.0 if i == j else _dot(counts[i], counts[j]) / (norms[i] * norms[j] or 1.0) for j in range(len(texts))]
        for i in range(len(texts))
    ]


def _counts(text: str) -> Counter[str]:
    words = _WORD.findall(text.casefold())
    return Counter(words) + Counter(map(" ".join, pairwise(words)))


def _dot(one: Counter[str], other: Counter[str]) -> int:
    if len(other) < len(one):
        one, other = other, one
    return sum(count * other[word] for word, count in one.items())
