"""Several rewards as one: weighted sums, the worst of several, and a price on length.

The terms of a sum are brought to one scale within the query's own pool first, since a reward model's logits, a judge's
grades and a share of kept rules have no common unit, and rewards compare within one query only.
"""

from __future__ import annotations

import asyncio
import math
import re
import statistics
from collections.abc import Sequence
from typing import Literal

from tpo.errors import InputError
from tpo.messages import Conversation, question, text_of
from tpo.rewards.call import connect, score
from tpo.rewards.protocol import Reward, Score


class Combined:
    """A weighted sum, or the minimum, of rewards that were normalised over the pool.

    Args:
        terms: rewards by the name that they have in the trace.
        weights: weight of each term; 1 where none is given. Used by the sum alone.
        how: "sum", or "min": the value of the worst term.
        gates: least value of a term that an answer needs, by the term's name; an answer that falls short ranks below
            all that do not. A term that is only a gate has the weight 0.
        length_price: standard deviations of reward that an answer loses for being twice as long as the query requests
            ("in 50 words"), or else as the median of its pool (half as much at half as much excess); 0 for none.
            Shorter answers gain nothing.

    Raises:
        InputError: there is no term, or a weight that belongs to none.
    """

    relative = True

    def __init__(
        self,
        terms: dict[str, Reward],
        weights: dict[str, float] | None = None,
        how: Literal["sum", "min"] = "sum",
        gates: dict[str, float] | None = None,
        length_price: float = 0.0,
    ) -> None:
        self._terms = terms
        self._weights = dict.fromkeys(terms, 1.0) | (weights or {})
        self._how = how
        self._gates = gates or {}
        self._length_price = length_price
        if not terms:
            raise InputError("A combined reward needs at least one term.")
        if unknown := sorted((self._weights.keys() | self._gates.keys()) - terms.keys()):
            raise InputError(f"There is a weight or gate for {', '.join(unknown)}, none of {', '.join(terms)}.")
        if not all(math.isfinite(weight) for weight in [*self._weights.values(), length_price]) or length_price < 0:
            raise InputError("Weights are finite numbers, and the price of length is at least 0.")

    @property
    def name(self) -> str:
        """All terms with their weights: any change scores differently."""
        terms = [f"{self._weights[name]:g}*{reward.name}" for name, reward in self._terms.items()]
        gates = [f"{name}>={bound:g}" for name, bound in self._gates.items()]
        price = [f"length_price={self._length_price:g}"] if self._length_price else []
        return f"{self._how}@1({', '.join([*terms, *gates, *price])})"

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score the answers of one pool.

        Returns:
            a score for each: the combined value; as parts each term's own value, under `NAME.z` its normalised one,
            the terms' own parts as `NAME.PART`, and `length` as the price paid; as feedback that of all terms. The
            value is NaN where a term has none.
        """
        columns = await asyncio.gather(*[score(reward, conversations) for reward in self._terms.values()])
        table = dict(zip(self._terms, columns, strict=True))
        normal = {name: normalised([one.value for one in column]) for name, column in table.items()}
        prices = self._prices(conversations)
        return [
            self._row({name: column[i] for name, column in table.items()}, {n: z[i] for n, z in normal.items()}, price)
            for i, price in enumerate(prices)
        ]

    @property
    def inside(self) -> list[Reward]:
        """Its terms."""
        return list(self._terms.values())

    async def connect(self) -> None:
        """Connect all terms."""
        for reward in self._terms.values():
            await connect(reward)

    def _row(self, scores: dict[str, Score], normal: dict[str, float], price: float) -> Score:
        if self._how == "min":
            counted = [z for name, z in normal.items() if self._weights[name]]
            value = min(counted, key=lambda z: -math.inf if math.isnan(z) else z)
        else:
            value = math.fsum(self._weights[name] * z for name, z in normal.items())
        parts: dict[str, float] = {}
        for name, one in scores.items():
            parts |= {name: one.value, f"{name}.z": normal[name]}
            parts |= {f"{name}.{part}": number for part, number in one.parts.items()}
        if self._length_price:
            parts["length"] = -price
        short = sum(not scores[name].value >= bound for name, bound in self._gates.items())
        feedback = [one.feedback for one in scores.values() if one.feedback]
        missing = {f"{name}.{part}": words for name, one in scores.items() for part, words in one.missing.items()}
        return Score(value - price - short * EXCLUDED, parts, "\n".join(feedback) or None, missing)

    def _prices(self, conversations: Sequence[Conversation]) -> list[float]:
        if not conversations:
            return []
        lengths = [len(_WORD.findall(text_of(conversation[-1]))) for conversation in conversations]
        due = requested_words(question(conversations[0][:-1])) or max(statistics.median(lengths), 1.0)
        return [self._length_price * max(length / due - 1.0, 0.0) for length in lengths]


# Normalised terms are a few standard deviations; nothing makes up for this.
EXCLUDED = 1_000.0

_WORD = re.compile(r"\w+")
_REQUESTED = re.compile(
    r"\b(?:in|within|under|below|at most|up to|about|around|roughly|no more than|fewer than|less than|maximum(?: of)?)"
    r"\s+(?:\w+\s+)?(\d+)\s+words\b|\b(\d+)[- ]words?\b"
    r"(?= (?:\w+ )?(?:answer|essay|summary|paragraph|text|story|post))",
    re.IGNORECASE,
)


def requested_words(query: str) -> int | None:
    """How many words a question requests ("in 50 words", "a 200-word summary"); None where it names no number."""
    found = _REQUESTED.search(query)
    return int(found[1] or found[2]) or None if found else None


def normalised(values: Sequence[float]) -> list[float]:
    """Values in standard deviations from their mean; 0 for all where they do not differ, NaN for what is no number."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return [math.nan] * len(values)
    mean, spread = statistics.fmean(finite), statistics.pstdev(finite)
    # Rounding makes equal values differ in the last digit; that is no difference to blow up.
    flat = spread <= 1e-12 * max(abs(mean), 1.0)
    return [math.nan if not math.isfinite(v) else 0.0 if flat else (v - mean) / spread for v in values]
