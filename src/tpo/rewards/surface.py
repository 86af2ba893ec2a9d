"""The embedded default reward: what a reader sees of an answer without understanding it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tpo.messages import Conversation, question, text_of
from tpo.rewards import surface_parts as part
from tpo.rewards.protocol import Score
from tpo.rewards.surface_reading import read_answer, read_query

# The reward is the sum of weight times part; the weights add up to one.
#
# `length` and `echo` are set by what human votes on PandaLM and LLMEval2 pairs agree with, which are permissively
# licensed; no other pairs were used. The rest weigh what they do by design: those pairs hold few loops,
# leaks, cut answers or answers to another question, but a small model's samples hold many. (By the votes alone,
# `relevance` would weigh half as much.)
WEIGHTS = {
    "length": 0.28,
    "repetition": 0.14,
    "echo": 0.14,
    "relevance": 0.18,
    "completeness": 0.09,
    "cleanness": 0.09,
    "structure": 0.05,
    "directness": 0.03,
}

# A short answer that shares no word with the question ("I'm ready to help you with that!") is faultless in form, and
# loses this share of its value; a long one less, since it may use other words for the same things.
OFF_TOPIC = 0.7

# The feedback for a part below one half. `length`, `relevance` and `directness` have none: a short
# answer or a refusal may be right, so advice against it would do harm.
_FAULTS = {
    "completeness": "it stops before it is finished",
    "repetition": "it repeats itself",
    "echo": "much of it is copied from the question",
    "cleanness": "it contains template tokens, role labels or tags that do not belong in an answer",
    "structure": "it lacks the form that was asked for (list, table, code or JSON)",
}


class Surface:
    """Scores an answer in [0, 1] by its surface: deterministic, without a model, for text in any language."""

    # Part of every journal: raise it with any change that moves a score.
    name = "surface@2"

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score the last message of each conversation as the answer to its last user message.

        Returns:
            A score for each conversation: its value in [0, 1], its parts named as in `WEIGHTS`, each in
            [0, 1] with 1 for faultless, and the faults in words if there are any.
        """
        return [surface(question(messages[:-1]), text_of(messages[-1])) for messages in conversations]


def surface(query: str, answer: str) -> Score:
    """Score one answer to one query; an empty answer gets 0 in every part."""
    if not any(sign.isprintable() and not sign.isspace() for sign in answer):
        return Score(0.0, dict.fromkeys(WEIGHTS, 0.0), "The answer is empty.")
    query_text, given = read_query(query), read_answer(answer)
    parts = {
        "length": part.length(query_text, given),
        "repetition": part.repetition(given),
        "echo": part.echo(query_text, given),
        "relevance": part.relevance(query_text, given),
        "completeness": part.completeness(given),
        "cleanness": part.cleanness(query_text, given),
        "structure": part.structure(query_text, given),
        "directness": part.directness(given),
    }
    value = math.fsum(weight * parts[name] for name, weight in WEIGHTS.items())
    if parts["relevance"] == 0.0:
        value *= 1 - OFF_TOPIC * (1 - parts["length"])
    faults = [words for name, words in _FAULTS.items() if parts[name] < 0.5]
    return Score(value, parts, f"The answer has faults: {'; '.join(faults)}." if faults else None)
