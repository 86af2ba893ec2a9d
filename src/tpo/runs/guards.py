"""What warns that a reward is being gamed: answers that grow, and a held-out judge that sees no gain.

All three figures are differences between a query's answer and its first sample, so that easy and hard queries do not
blur them. A warning needs the 95 % interval of the difference to be clear of zero: chance alone seldom gives one.
"""

from __future__ import annotations

import msgspec

from tpo.runs.answers import Answer
from tpo.stats import Estimate, Running

# Answers that are longer than the first samples by more than this share, on average, are a warning.
GROWTH = 0.15


class Lengths(msgspec.Struct, frozen=True):
    """How long answers are, in characters.

    Attributes:
        first: mean length of the first samples.
        answer: mean length of the answers.
        growth: by which share the answers are longer; negative where they are shorter.
    """

    first: Estimate
    answer: Estimate
    growth: float


class HeldOutSummary(msgspec.Struct, frozen=True):
    """What the held-out judge found, over the queries where it scored both.

    Attributes:
        judge: its name.
        first: mean score of the first samples.
        answer: mean score of the answers.
        gain: mean difference between the two.
        missing: queries where it gave no score.
    """

    judge: str
    first: Estimate
    answer: Estimate
    gain: Estimate
    missing: int


class Guards:
    """Counts what the warnings are made of, answer by answer."""

    def __init__(self) -> None:
        self._gain = Running()
        self._lengths, self._longer = (Running(), Running()), Running()
        self._judge = ""
        self._held_out, self._held_out_gain = (Running(), Running()), Running()
        self._missing = 0

    def take(self, answer: Answer) -> None:
        """Count an answer that has no error."""
        first = answer.first
        if first is not None and first.answer and answer.answer:
            lengths = len(first.answer), len(answer.answer)
            for running, length in zip(self._lengths, lengths, strict=True):
                running.add(length)
            self._longer.add(lengths[1] - lengths[0])
        if first is not None and first.reward is not None and answer.reward is not None:
            self._gain.add(answer.reward - first.reward)
        if (held_out := answer.held_out) is not None:
            self._judge = held_out.judge
            if held_out.first is None or held_out.answer is None:
                self._missing += 1
                return
            for running, score in zip(self._held_out, (held_out.first, held_out.answer), strict=True):
                running.add(score)
            self._held_out_gain.add(held_out.answer - held_out.first)

    @property
    def lengths(self) -> Lengths | None:
        """How long answers are; None without answers."""
        first, answer = (running.mean() for running in self._lengths)
        if first is None or answer is None:
            return None
        return Lengths(first.rounded(2), answer.rounded(2), round(answer.value / first.value - 1, 4))

    @property
    def held_out(self) -> HeldOutSummary | None:
        """What the held-out judge found; None where it scored nothing."""
        first, answer = (running.mean() for running in self._held_out)
        gain = self._held_out_gain.mean()
        if first is None or answer is None or gain is None:
            return None
        return HeldOutSummary(self._judge, first.rounded(6), answer.rounded(6), gain.rounded(6), self._missing)

    @property
    def warnings(self) -> list[str]:
        """What a user should know before trusting the reward."""
        found = []
        lengths, gain, held_out = self.lengths, self._gain.mean(), self.held_out
        if lengths is not None and lengths.growth > GROWTH and _above_zero(self._longer.mean()):
            found.append(
                f"answers are {lengths.growth:.0%} longer than first samples: the reward may pay for length "
                f"(a rule such as --require max-words=200, or a length-price in tpo.toml, stops that)"
            )
        if held_out is not None and _above_zero(gain) and _below_zero(held_out.gain):
            assert gain is not None
            found.append(
                f"the reward rises by {gain.value:.3f} while the held-out judge falls by {-held_out.gain.value:.3f}: "
                f"the search exploits the reward; use fewer answers (--width, --depth) or another reward"
            )
        return found


def _above_zero(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.low is not None and estimate.low > 0


def _below_zero(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.high is not None and estimate.high < 0
