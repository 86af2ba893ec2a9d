"""Helpers for the tests of verifiers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tpo.messages import answered, conversation
from tpo.rewards.protocol import Reward, Score

# Where the evaluation data lies that is not part of the project.
DATA = Path(os.environ.get("TPO_DATA") or Path(__file__).parents[3] / "../shared/data")


def scored(reward: Reward, answer: str, query: str = "Well?") -> Score:
    """The score of one answer."""
    (score,) = asyncio.run(reward.score([answered(conversation(query), answer)]))
    assert isinstance(score, Score)
    return score
