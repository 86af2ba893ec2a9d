"""Scoring: every answer gets a finite reward, or a reason why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tpo.engine.calls import Clock
from tpo.engine.records import Called, Record, Sampled, Scored
from tpo.errors import RewardError
from tpo.messages import Conversation, answered
from tpo.models.protocol import Usage
from tpo.rewards.protocol import Reward, Score


class Scorer:
    """Scores the answers to one query; the same text is scored once.

    Args:
        reward: what scores; None where the method needs no reward.
        query: the conversation that the answers end.
        clock: the run's time.
        write: takes records.
    """

    def __init__(
        self, reward: Reward | None, query: Conversation, clock: Clock, write: Callable[[Record], None]
    ) -> None:
        self._reward = reward
        self._query = query
        self._clock = clock
        self._write = write
        self._scores: dict[str, asyncio.Future[Score]] = {}

    def remember(self, sampled: Sampled, scored: Scored) -> None:
        """Take over a score from an earlier process."""
        if scored.reward is not None and sampled.text not in self._scores:
            score: asyncio.Future[Score] = asyncio.get_running_loop().create_future()
            score.set_result(Score(scored.reward, scored.parts, scored.feedback))
            self._scores[sampled.text] = score

    async def score(self, sampled: Sampled) -> Scored:
        """Score an answer that landed, and write the score down.

        Raises:
            RewardError: the reward raised, or returned something that is no score. A score that is no finite
                number is this answer's own misfortune, and is recorded as its error.
        """
        place = (sampled.turn, sampled.action, sampled.index, sampled.id)
        if sampled.error is not None or self._reward is None:
            scored = Scored(*place, reward=None, error=sampled.error)
        elif not sampled.text:
            scored = Scored(*place, reward=None, error=_empty(sampled))
        else:
            score = await self._once(sampled)
            finite = math.isfinite(score.value)
            # JSON knows no NaN, in parts as little as in the reward.
            parts = {name: value for name, value in score.parts.items() if math.isfinite(value)}
            error = None if finite else f"the reward is {score.value}, which is no finite number"
            scored = Scored(*place, score.value if finite else None, parts, score.feedback, error)
        self._write(scored)
        return scored

    async def _once(self, sampled: Sampled) -> Score:
        known = self._scores.get(sampled.text)
        if known is None:
            known = asyncio.ensure_future(self._call(sampled))
            self._scores[sampled.text] = known
        try:
            return await asyncio.shield(known)
        except asyncio.CancelledError:
            known.cancel()
            self._scores.pop(sampled.text, None)
            raise

    async def _call(self, sampled: Sampled) -> Score:
        assert self._reward is not None
        began = self._clock()
        error: str | None = None
        try:
            scores = await self._reward.score([answered(self._query, sampled.text)])
            return _checked(scores, self._reward.name)
        except asyncio.CancelledError:
            error = "cut short"
            raise
        except RewardError as failure:
            error = str(failure)
            raise
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            raise RewardError(f"The reward {self._reward.name} raised {error}.") from failure
        finally:
            seconds = round(self._clock() - began, 4)
            place = (sampled.turn, sampled.action)
            self._write(
                Called(*place, role="reward", began=round(began, 4), seconds=seconds, usage=Usage(), error=error)
            )


def _checked(scores: object, name: str) -> Score:
    if not isinstance(scores, list | tuple) or len(scores) != 1:
        raise RewardError(f"The reward {name} returned {scores!r:.80} for one conversation: a list of one is expected.")
    score = scores[0]
    if isinstance(score, Score):
        return score
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise RewardError(f"The reward {name} returned {score!r:.80}: a number or a tpo.Score is expected.")
    return Score(float(score))


def _empty(sampled: Sampled) -> str:
    if sampled.finish_reason == "length":
        return "the answer is empty: all its tokens went into reasoning, or it was cut; raise the token limit"
    return "the answer is empty"
