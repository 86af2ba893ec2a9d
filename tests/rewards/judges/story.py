"""What is asked of a real server, be it there or recorded.

Models small enough for a test seldom do what a judge is asked to, so that the wording here is one that they can follow:
what is tested is how real replies and their probabilities are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rewards.judges.kit import chat
from tpo.rewards.judges import ListwiseJudge, PairwiseJudge, PointwiseJudge
from tpo.rewards.protocol import Score

WORDING = str(Path(__file__).parent / "wording")
GRADED = ("Paris.", "bananas bananas")
CRITIQUES = ("It is too short. Score: 4/10", "It is very good. Score: 10")
COMPARED = ("Paris", "bananas")
LISTED = ("A", "B", "C")


class Story(NamedTuple):
    """The scores of each kind of judge."""

    name: str
    graded: list[Score]
    critiques: list[Score]
    compared: list[Score]
    listed: list[Score]


async def judged(url: str) -> Story:
    """Ask one server for all kinds of judgement."""
    pointwise = PointwiseJudge(url, templates=WORDING)
    critique = PointwiseJudge(url, templates=WORDING, critique=True, max_tokens=40)
    pairwise = PairwiseJudge(url, templates=WORDING)
    listwise = ListwiseJudge(url, templates=WORDING, rounds=2)
    story = Story(
        name=await _name(pointwise),
        graded=await pointwise.score([chat(text) for text in GRADED]),
        critiques=await critique.score([chat(text) for text in CRITIQUES]),
        compared=await pairwise.score([chat(text) for text in COMPARED]),
        listed=await listwise.score([chat(text) for text in LISTED]),
    )
    for judge in (pointwise, critique, pairwise, listwise):
        await judge.aclose()
    return story


async def _name(judge: PointwiseJudge) -> str:
    await judge.connect()
    return judge.name
