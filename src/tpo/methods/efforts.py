"""The levels of effort: which method, how many answers and how much advice, as data.

A level is chosen by what the reward can do and by the size of the policy, since a method that gains with one loses with
another. What each row rests on:

- Rewards with words (verifiers, rules, checklists), tiny policies: docs/results/ifeval, SmolLM2-135M, 12 queries, one
  seed. At equal tokens no method beats Best-of-N that stops at the first answer which keeps everything: it returns what
  Best-of-15 returns for half of the tokens, and answers after a restated rule or a critique are no better than fresh
  samples. So the levels are Best-of-N in waves.
- Rewards with words, larger policies: a probe with 20 IFEval prompts, one seed. With Qwen2.5-Coder-1.5B `restate` D2-N5
  kept all rules in 16 of 20 prompts, Best-of-15 in 14, the paper's `tpo` D2-N5 in 13, with half of Best-of-15's tokens.
  So all levels are `restate`; it ends at the first answer that keeps everything, which makes the larger levels cheap on
  easy queries.
- Reward models, tiny and small policies: in the same probe the critic's advice lost to plain
  resampling. So the levels are Best-of-N until something else is measured.
- Reward models, large policies: the paper (arXiv 2501.12895) reports gains for D2-N5 and D5-N20 with policies of 22B
  to 70B. Fusion of drafts beats Best-of-N on open questions from about 8B on (arXiv 2510.00931), in two stages.
- Judges: as reward models, with fewer answers, since each costs a judge's call.

Nothing here is measured for reward models and judges on our own models yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from tpo.options.search import Effort

# What a reward can do: name faults in words, give a number, or give a number at the price of a language model's call.
RewardKind: TypeAlias = Literal["words", "model", "judge", "none"]
# Below so many parameters a policy is tiny, or small; one of unknown size counts as small.
TINY, SMALL = 1e9, 7e9
Size: TypeAlias = Literal["tiny", "small", "large"]
SIZES: tuple[Size, ...] = ("tiny", "small", "large")


class Level(NamedTuple):
    """What a level is.

    Attributes:
        method: the method's name.
        width: N.
        depth: D.
        critique: completion tokens of a critique; None for as many as an answer has.
        settings: the method's own settings.
    """

    method: str
    width: int = 1
    depth: int = 0
    critique: int | None = None
    settings: Mapping[str, Any] = {}


_WORDS = (Level("restate", 3, 1), Level("restate", 5, 2), Level("restate", 5, 5), Level("restate", 10, 8))
_STOPPING = (
    Level("best-of-n", 6, settings={"wave": 3}),
    Level("best-of-n", 15, settings={"wave": 5}),
    Level("best-of-n", 30, settings={"wave": 5}),
    Level("best-of-n", 90, settings={"wave": 10}),
)
_SAMPLE = (Level("sample"),) * 4
_RESAMPLE = (Level("best-of-n", 4), Level("best-of-n", 12), Level("best-of-n", 24), Level("best-of-n", 64))
_JUDGED = (Level("best-of-n", 3), Level("best-of-n", 8), Level("best-of-n", 16), Level("best-of-n", 32))

# The four levels from low to max, by the reward's kind and the policy's size.
TABLE: Mapping[tuple[RewardKind, Size], tuple[Level, Level, Level, Level]] = {
    ("words", "tiny"): _STOPPING,
    ("words", "small"): _WORDS,
    ("words", "large"): _WORDS,
    ("model", "tiny"): _RESAMPLE,
    ("model", "small"): _RESAMPLE,
    ("model", "large"): (
        Level("best-of-n", 4),
        Level("fusion", 5, settings={"merges": 2}),
        Level("tpo", 5, 2, critique=512),
        Level("tpo", 20, 5),
    ),
    ("judge", "tiny"): _JUDGED,
    ("judge", "small"): _JUDGED,
    ("judge", "large"): (
        Level("best-of-n", 3),
        Level("fusion", 4),
        Level("tpo-fused", 4, 2, critique=512),
        Level("tpo", 8, 4),
    ),
    ("none", "tiny"): _SAMPLE,
    ("none", "small"): _SAMPLE,
    ("none", "large"): _SAMPLE,
}


def level_of(effort: Effort | str, kind: RewardKind, size: Size) -> Level:
    """The level for a reward's kind and a policy's size."""
    return TABLE[kind, size][list(Effort).index(Effort(effort))]


# What clients of OpenAI's protocols may send besides our own levels.
_ELSEWHERE = {"none": Effort.LOW, "minimal": Effort.LOW, "xhigh": Effort.MAX}


def effort_named(text: str) -> Effort | None:
    """The level that a client means by its word for it; None where there is none of that name."""
    return Effort(text) if text in set(Effort) else _ELSEWHERE.get(text)
