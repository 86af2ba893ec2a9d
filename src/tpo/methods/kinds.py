"""Which of several answers say the same: by the parts of their reward, by the results they mark, or by their words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction
from itertools import pairwise

from tpo.candidate import Candidate
from tpo.rewards.verifiers.answers import marked, normalised
from tpo.rewards.verifiers.notation import number_in, read

# From this similarity on, two texts say the same.
ALIKE = 0.8
_RATIONAL = re.compile(r"-?\d{1,50}(\.\d{1,50}|/0*[1-9]\d{0,49})?")
_WORD = re.compile(r"\w+")


def kinds(candidates: Sequence[Candidate]) -> list[int]:
    r"""The kind of each candidate, as a number; candidates with the same number say the same.

    Where all parts of all rewards are 0 or 1 (a checklist, say), these are the kind. Else, where more than half of the
    candidates mark a result (`\boxed{}`, "Answer: …", "the answer is …"), the result is the kind, and each candidate
    without one is a kind of its own. Else candidates with similar texts are of one kind.
    """
    parts = [tuple(sorted(one.parts.items())) for one in candidates]
    if all(part and all(value in (0.0, 1.0) for _, value in part) for part in parts):
        return _numbered(parts)
    results = [marked_result(one.text) for one in candidates]
    if sum(result is not None for result in results) > len(results) / 2:
        return _numbered(
            [one.id if result is None else (result,) for one, result in zip(candidates, results, strict=True)]
        )
    alike = similarities([one.text for one in candidates])
    found: list[int] = []
    for place in range(len(candidates)):
        # The first candidate of a kind stands for it.
        found.append(next((kind for kind in dict.fromkeys(found) if alike[place][kind] >= ALIKE), place))
    return found


def _numbered(labels: Sequence[Hashable]) -> list[int]:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [numbers[label] for label in labels]


def marked_result(text: str) -> str | None:
    """The result that an answer marks, in one spelling: 1,200 and "1200.0 dollars" are the same. None without one."""
    found = marked(text).text
    if found is None:
        return None
    found = found.strip("*_ ")
    reading = read(found)
    result = reading.latex or number_in(found, only=True) or normalised(reading.text)
    return str(Fraction(result)) if _RATIONAL.fullmatch(result) else result or None


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
