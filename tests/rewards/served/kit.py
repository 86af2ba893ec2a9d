"""What the tests of served rewards share: conversations, and exchanges recorded from real servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from models.server import response
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.protocol import Score

DATA = Path(__file__).parent / "data"
CHATML = str(DATA / "chatml")
QUERY = "What is the capital of France?"


def chat(answer: str, query: str = QUERY) -> Conversation:
    """A question and its answer."""
    return answered(conversation(query), answer)


def ok(value: Any) -> bytes:
    """A JSON response."""
    return response(json.dumps(value))


def values(scores: list[Score | float]) -> list[float]:
    """The numbers of scores."""
    return [score.value if isinstance(score, Score) else score for score in scores]


def without_paths(path: str, received: str) -> str:
    """An answer as it may be written down: the folder that a model lies in is nobody's business."""
    return re.sub(r'"root":"[^"]*"', '"root":"reward"', received)
