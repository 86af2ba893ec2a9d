"""A held-out judge scores the first sample and the answer when the search is over.

A reward that is optimised rises whatever the answers are worth; one that nothing was chosen by shows whether they are
better.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tpo.candidate import Candidate
from tpo.engine.limits import Clock
from tpo.engine.records import CALL_CUT_SHORT, JUDGE, Called, Judged, Record
from tpo.errors import TPOError
from tpo.messages import Conversation, answered
from tpo.models.protocol import Usage
from tpo.rewards import call
from tpo.rewards.protocol import Reward


async def hold_out(
    judge: Reward,
    query: Conversation,
    first: Candidate,
    chosen: Candidate,
    clock: Clock,
    write: Callable[[Record], None],
    turn: int,
) -> Judged:
    """Score the first sample and the answer, and write the call and the scores down.

    Args:
        judge: what scores them; one that compares answers gets both at once.
        query: the conversation that they end.
        first: the first sample: the policy without alignment.
        chosen: the answer.
        clock: the search's time.
        write: takes records.
        turn: the turn that the call is recorded under.

    Returns:
        the scores, or why there are none.
    """
    texts = list(dict.fromkeys(text for text in (first.text, chosen.text) if text.strip()))
    began, error, usage = clock(), None, Usage()
    scores: dict[str, float | None] = {}
    try:
        with call.accounted() as usage:
            found = await call.score(judge, [answered(query, text) for text in texts])
        scores = {
            text: score.value if math.isfinite(score.value) else None for text, score in zip(texts, found, strict=True)
        }
        error = next((score.feedback for score in found if not math.isfinite(score.value)), None)
    except TPOError as failure:
        error = str(failure)
    except asyncio.CancelledError:
        error = CALL_CUT_SHORT
        raise
    finally:
        write(Called(turn, 0, JUDGE, round(began, 4), round(clock() - began, 4), usage, error=error))
    judged = Judged(judge.name, first.id, chosen.id, scores.get(first.text), scores.get(chosen.text), error)
    write(judged)
    return judged
