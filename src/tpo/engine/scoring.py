"""Scoring: every answer gets a finite reward, or a reason why not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tpo.engine.limits import Clock
from tpo.engine.records import CALL_CUT_SHORT, Called, Rated, Record, Sampled, Scored
from tpo.engine.state import SearchState
from tpo.errors import RewardError
from tpo.messages import Conversation, answered
from tpo.models.protocol import Usage
from tpo.rewards import call
from tpo.rewards.protocol import Reward, Score, is_relative


class Scorer:
    """Scores the answers to one query; the same text is scored once.

    Args:
        reward: what scores; None where the method needs no reward.
        query: the conversation that the answers end.
        state: the search so far; each score that is written gets into it.
        clock: the run's time.
        write: takes records.
        on_spend: called with the tokens that a call used (a judge uses some).
        patience: seconds for which a reward that cannot be reached is called again.
    """

    def __init__(
        self,
        reward: Reward | None,
        query: Conversation,
        state: SearchState,
        clock: Clock,
        write: Callable[[Record], None],
        on_spend: Callable[[int], None] = lambda tokens: None,
        patience: float = 0.0,
    ) -> None:
        self._reward = reward
        self._query = query
        self._state = state
        self._clock = clock
        self._write = write
        self._on_spend = on_spend
        self._patience = patience
        self._scores: dict[str, asyncio.Future[Score]] = {}

    @property
    def ranks_pools(self) -> bool:
        """Whether answers get their rewards together, when a step is complete, instead of one by one."""
        return is_relative(self._reward)

    def remember(self, sampled: Sampled, scored: Scored) -> None:
        """Take over a score from an earlier process, for answers with the same text."""
        if scored.reward is not None and sampled.text not in self._scores:
            score: asyncio.Future[Score] = asyncio.get_running_loop().create_future()
            score.set_result(Score(scored.reward, scored.parts, scored.feedback, scored.missing))
            self._scores[sampled.text] = score

    async def score(self, sampled: Sampled) -> Scored | None:
        """Score an answer that landed, and write the score down.

        Returns:
            the score; None where it has to wait for `rank`.

        Raises:
            RewardError: the reward raised, or returned something that is no score. A score that is no finite
                number is the error of this answer alone, and is recorded as such.
        """
        if sampled.error is not None:
            return self._settle(sampled, None, sampled.error)
        if not sampled.text:
            return self._settle(sampled, None, _empty(sampled))
        if self._reward is None:
            return self._settle(sampled, None, None)
        if self.ranks_pools:
            return None
        return self._settle(sampled, await self._once(sampled))

    async def rank(self, turn: int, action: int) -> None:
        """Score all answers so far against each other, and write down the scores that are new or have changed."""
        ranked = [
            (sampled, before)
            for sampled, before in self._state.answers
            # A journal that is being replayed may hold answers of later turns.
            if sampled.turn <= turn and sampled.text and not sampled.error
        ]
        if all(before is not None for _, before in ranked):
            return  # nothing new, or the scores of an earlier process
        texts = list(dict.fromkeys(sampled.text for sampled, _ in ranked))
        scores = dict(zip(texts, await self._call(texts, turn, action), strict=True))
        # The new ones come last: until all of them are written, a run that is continued ranks again.
        for sampled, before in sorted(ranked, key=lambda pair: pair[1] is None):
            scored = _scored(sampled, scores[sampled.text])
            if scored != before:
                self._write(scored)

    async def rate(self, texts: Sequence[str], turn: int, action: int) -> list[Rated]:
        """Score texts that are no answers of the query, and write the scores down.

        Raises:
            RewardError: as for an answer, or there is no reward.
        """
        if self._reward is None:
            raise RewardError("The method scores texts, which takes a reward.")
        if not texts:
            return []
        rated = []
        for index, (text, score) in enumerate(zip(texts, await self._call(texts, turn, action), strict=True)):
            value, parts, error = _finite(score)
            rated.append(Rated(turn, action, index, text, value, parts, score.feedback, error))
            self._write(rated[-1])
        return rated

    def _settle(self, sampled: Sampled, score: Score | None, error: str | None = None) -> Scored:
        scored = _scored(sampled, score, error)
        self._write(scored)
        return scored

    async def _once(self, sampled: Sampled) -> Score:
        while (known := self._scores.get(sampled.text)) is not None:
            await asyncio.wait({known})
            if not known.cancelled():
                return known.result()
        known = self._scores[sampled.text] = asyncio.get_running_loop().create_future()
        try:
            (score,) = await self._call([sampled.text], sampled.turn, sampled.action)
        except asyncio.CancelledError:
            del self._scores[sampled.text]
            known.cancel()
            raise
        except Exception as error:
            known.set_exception(error)
            known.exception()  # marks it as retrieved: perhaps no other answer has this text
            raise
        known.set_result(score)
        return score

    async def _call(self, texts: Sequence[str], turn: int, action: int) -> list[Score]:
        assert self._reward is not None
        return await call.score(
            self._reward,
            [answered(self._query, text) for text in texts],
            patience=self._patience,
            clock=self._clock,
            attempt=lambda retry: self._attempt(turn, action, retry=retry),
        )

    @contextmanager
    def _attempt(self, turn: int, action: int, *, retry: bool) -> Iterator[None]:
        """Record one call of the reward."""
        began = self._clock()
        error: str | None = None
        usage = Usage()
        try:
            with call.accounted() as usage:
                yield
        except asyncio.CancelledError:
            error = CALL_CUT_SHORT
            raise
        except RewardError as failure:
            error = str(failure)
            raise
        finally:
            seconds = round(self._clock() - began, 4)
            self._write(Called(turn, action, "reward", round(began, 4), seconds, usage, retry, error))
            self._on_spend(usage.total)


def _scored(sampled: Sampled, score: Score | None, error: str | None = None) -> Scored:
    place = (sampled.turn, sampled.action, sampled.index, sampled.id)
    if score is None:
        return Scored(*place, reward=None, error=error)
    value, parts, error = _finite(score)
    fault = f"repeats words of the prompt: {sampled.leaked!r}" if sampled.leaked else None
    return Scored(*place, value, parts, score.feedback, error, fault, score.missing)


def _finite(score: Score) -> tuple[float | None, dict[str, float], str | None]:
    """The reward if it is a finite number, the parts that are, and what is wrong otherwise."""
    # JSON knows no NaN, in parts as little as in the reward.
    parts = {name: value for name, value in score.parts.items() if math.isfinite(value)}
    if math.isfinite(score.value):
        return score.value, parts, None
    found = f": {score.feedback}" if score.feedback else ""
    return None, parts, f"the reward is {score.value}, which is no finite number{found}"


def _empty(sampled: Sampled) -> str:
    if sampled.finish_reason == "content_filter":
        return "the answer is empty: the server filtered it"
    if sampled.leaked:
        return "the answer is empty: the reply repeats words of the prompt and holds nothing else"
    if sampled.reasoning and sampled.finish_reason != "length":
        return "the answer is empty: the reply holds reasoning alone"
    if sampled.finish_reason == "length":
        return "the answer is empty: all its tokens went into reasoning, or it was cut; raise the token limit"
    return "the answer is empty"
