"""The levels of effort: which method, how many answers and how much advice, as data.

A level is chosen by what the reward can do and by the size of the policy, since a method that gains with one loses with
another. `TABLE` has the levels and `REASONS` what each row rests on: a table of docs/results, or what others published
where nothing of ours is measured. A new measurement changes a row and its reason, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from tpo.options.search import Effort

# What a reward can do: name rules that the question does not state (alone, or as a gate before another reward), name
# faults in words, give a number, or give a number at the price of a language model's call.
RewardKind: TypeAlias = Literal["rules", "gated", "words", "model", "judge", "none"]
# Below so many parameters a policy is tiny, or small; one of unknown size counts as small.
TINY, SMALL = 3e8, 7e9
Size: TypeAlias = Literal["tiny", "small", "large"]
SIZES: tuple[Size, ...] = ("tiny", "small", "large")


# Methods whose prompts are the same in every prompt set: the query, and what an answer failed. Any other method has the
# prompt set for the size of its policy with an effort, unless one is named.
PLAIN_PROMPTS = frozenset({"sample", "best-of-n", "restate", "words"})


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


# Waves that grow end as early as small ones, and wait for fewer round trips.
_WORDS = (
    Level("restate", 3, 1),
    Level("restate", 5, 2, settings={"wave": [2, 3]}),
    Level("restate", 5, 5, settings={"wave": [2, 3]}),
    Level("restate", 10, 8, settings={"wave": 5}),
)
_STOPPING = (
    Level("best-of-n", 6, settings={"wave": [2, 4], "price": 0.02}),
    Level("best-of-n", 15, settings={"wave": [2, 5, 8], "price": 0.02}),
    Level("best-of-n", 30, settings={"wave": [5, 10, 15]}),
    Level("best-of-n", 90, settings={"wave": [10, 20, 30]}),
)
# The first answers rarely keep a rule that the model does not know, so they are few.
_TOLD = (
    Level("restate", 2, 2),
    Level("restate", 5, 2, settings={"widths": [2, 5, 8]}),
    Level("restate", 8, 3, settings={"widths": [2, 8, 10]}),
    Level("restate", 15, 5, settings={"widths": [2, 12, 19]}),
)
_GATED = (Level("restate", 3, 1), Level("restate", 5, 2), Level("restate", 10, 2), Level("restate", 18, 4))
_SAMPLE = (Level("sample"),) * 4
_RESAMPLE = (Level("best-of-n", 4), Level("best-of-n", 12), Level("best-of-n", 24), Level("best-of-n", 64))
_JUDGED = (Level("best-of-n", 3), Level("best-of-n", 8), Level("best-of-n", 16), Level("best-of-n", 32))

# The four levels from low to max, by the reward's kind and the policy's size.
TABLE: Mapping[tuple[RewardKind, Size], tuple[Level, Level, Level, Level]] = {
    **{("rules", size): _TOLD for size in SIZES},
    **{("gated", size): _GATED for size in SIZES},
    ("words", "tiny"): _STOPPING,
    ("words", "small"): _STOPPING,
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


_UNSTATED = (
    "docs/results/index.md, 24 questions, each with one or two rules that it does not state: restate keeps all rules "
    "of 54 % with SmolLM2-135M and 71 % with Qwen2.5-Coder-1.5B, with widths of 2, 5 and 8 of 50 %, 58 % "
    "(Qwen2.5-Coder-0.5B) and 67 %. Best-of-15 with a stop keeps all of 4, 29 and 7 %, for 1.3 to 2.1 times the "
    "tokens. Nothing is measured above 1.5B; larger models correct what is pointed out to them more often "
    "(RefineBench, arXiv 2511.22173)."
)
_BEFORE = " Before another reward more answers are drawn in the first step, since that reward chooses among them."
_STOP = (
    "docs/results/index.md, IFEval, half of the prompts or more held out: Best-of-15 in waves of 2, 5 and 8 with price "
    "0.02 keeps all rules in as many prompts as Best-of-15, within 0.8 points, for 68 % of its tokens with "
    "SmolLM2-135M (72 prompts), 64 % with Qwen2.5-Coder-0.5B and 51 % with the 1.5B (60 each). At equal tokens it is "
    "5.6, 5.3 and 7.2 points above best-of-n, each clear of zero."
)
_NO_BETTER = (
    " No method is clearly above it: an answer after a restated rule, the check's words or a critique keeps all rules "
    "hardly more often than a fresh sample. With both Qwen models restate D2-N5 keeps all rules of 9 of 120 prompts "
    "where Best-of-15 does not, and loses 8."
)
_LARGE = (
    "Nothing of ours is measured from 7B on; up to 1.5B a restated rule is no better than a fresh sample. Large models "
    "correct most faults that are pointed out to them, and find few by themselves (RefineBench, arXiv 2511.22173). "
    "restate ends at the first answer that keeps everything, which makes the larger levels cheap on easy queries."
)
_PLAIN = (
    "docs/results/ifeval/REPORT.md, SmolLM2-135M, 12 queries, one seed, a stand-in for a reward model (the share of "
    "rules kept as a bare number): answers after a critique keep 0.25 fewer of the rules than fresh samples, and 0.09 "
    "fewer with the prompts for small models. tpo D2-N5, fusion and adaptive each keep all rules in one prompt fewer "
    "than Best-of-15. With Qwen2.5-Coder-0.5B (12 queries) and 1.5B (7) answers after a critique keep 0.07 and 0.34 "
    "fewer, within wide intervals. A stop for lack of gain is no better than fewer answers where rewards vary freely. "
    "Nothing is measured with a real reward model."
)
_PUBLISHED = (
    "Nothing of ours is measured. The paper (arXiv 2501.12895) reports gains for D2-N5 and D5-N20 with policies of 22B "
    "to 70B; fusion of drafts beats Best-of-N on open questions from about 8B on (arXiv 2510.00931), in two stages."
)
_FEWER = " Fewer answers than with a reward model, since each costs a judge's call."

# What each row rests on.
REASONS: Mapping[tuple[RewardKind, Size], str] = {
    **{("rules", size): _UNSTATED for size in SIZES},
    **{("gated", size): _UNSTATED + _BEFORE for size in SIZES},
    ("words", "tiny"): _STOP + _NO_BETTER,
    ("words", "small"): _STOP + _NO_BETTER,
    ("words", "large"): _LARGE,
    ("model", "tiny"): _PLAIN,
    ("model", "small"): _PLAIN,
    ("model", "large"): _PUBLISHED,
    ("judge", "tiny"): _PLAIN + _FEWER,
    ("judge", "small"): _PLAIN + _FEWER,
    ("judge", "large"): _PUBLISHED + _FEWER,
    **{("none", size): "Without a reward there is nothing to choose by." for size in SIZES},
}


def level_of(effort: Effort | str, kind: RewardKind, size: Size) -> Level:
    """The level for a reward's kind and a policy's size."""
    return TABLE[kind, size][list(Effort).index(Effort(effort))]


# What clients of OpenAI's protocols may send besides our own levels.
_ELSEWHERE = {"none": Effort.LOW, "minimal": Effort.LOW, "xhigh": Effort.MAX}


def effort_named(text: str) -> Effort | None:
    """The level that a client means by its word for it; None where there is none of that name."""
    return Effort(text) if text in set(Effort) else _ELSEWHERE.get(text)
