"""A reward of your own: a class with an option, parts, and feedback that the critic reads.

tpo align "Why is the sky blue?" --reward "python:own_reward:Simple?longest=6"     (from this folder)
"""

import os
import re
from collections.abc import Sequence
from typing import Any

import tpo


class Simple:
    """Prefers short words and short sentences.

    Args:
        longest: letters of a word from which it counts as long.
    """

    def __init__(self, longest: int = 8) -> None:
        self.longest = longest

    def score(self, conversations: Sequence[Sequence[dict[str, Any]]]) -> list[tpo.Score]:
        return [self._score(str(messages[-1]["content"])) for messages in conversations]

    def _score(self, answer: str) -> tpo.Score:
        words = re.findall(r"\w+", answer)
        long = [word for word in words if len(word) >= self.longest]
        sentences = max(1, len(re.findall(r"[.!?]+", answer)))
        parts = {
            "short_words": 1 - len(long) / max(1, len(words)),
            "short_sentences": 10 / (10 + len(words) / sentences),
        }
        feedback = f"Long words: {', '.join(long[:5])}." if long else None
        return tpo.Score(sum(parts.values()), parts=parts, feedback=feedback)


def main() -> None:
    policy = os.environ.get("TPO_POLICY", "embedded")
    result = tpo.align_sync(
        "Why is the sky blue?", policy=policy, reward=Simple(longest=7), width=3, depth=1, max_tokens=96
    )
    print(result.reward, result.answer)


if __name__ == "__main__":
    main()
