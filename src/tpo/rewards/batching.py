"""One scorer for the whole process: conversations from all queries are scored in shared batches.

Answers land one by one, from many queries at once, while a reward model is fastest on many at a time. So each answer
waits a few milliseconds for others. Equal conversations share one score, whether it is under way or known already.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tpo.errors import RewardError, RewardTooLong, RewardUnavailable
from tpo.messages import Conversation
from tpo.rewards.cache import Identifier, Memory, ScoreIdentity
from tpo.rewards.call import connect, score
from tpo.rewards.protocol import Reward, Score, maximum_of

if TYPE_CHECKING:
    from tpo.rewards.score_file import ScoreFile  # loads SQLite

MOST = 64
MOST_CHARACTERS = 400_000
WAIT = 0.005
# Scores that are kept: those of the queries under way, and some more.
REMEMBERED = 16_384


class _Waiting(NamedTuple):
    """A conversation that waits for its score."""

    key: bytes
    size: int
    conversation: Conversation
    future: asyncio.Future[Score]


class Batched:
    """A reward whose calls are gathered into batches, and whose scores are kept.

    Args:
        reward: what scores.
        most: conversations in a batch, at most; halved, for good, when the reward reports that it was too much.
        most_characters: their length together, at most; one conversation alone may be longer.
        wait: seconds for which the first of a batch waits for others.
        file: scores of earlier processes; new ones are added to it.
    """

    def __init__(
        self,
        reward: Reward,
        *,
        most: int = MOST,
        most_characters: int = MOST_CHARACTERS,
        wait: float = WAIT,
        file: ScoreFile | None = None,
    ) -> None:
        self.reward = reward
        self.most = most
        self._most_characters = most_characters
        self._wait = wait
        self._file = file
        self._identifier = Identifier()
        self._waiting: dict[bytes, _Waiting] = {}
        self._known: Memory[Score] = Memory(REMEMBERED)
        self._under_way: dict[bytes, asyncio.Future[Score]] = {}
        self._wanted: dict[asyncio.Future[Score], int] = {}
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The reward's own: batching changes no score."""
        return self.reward.name

    @property
    def maximum(self) -> float | None:
        """The reward's own."""
        return maximum_of(self.reward)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score conversations, together with whatever else is waiting."""
        name = self.name
        futures = [self._enter(self._identifier.of(name, one), one) for one in conversations]
        try:
            # Shielded: another query may wait for the same score.
            return [await asyncio.shield(future) for future in futures]
        except asyncio.CancelledError:
            for future in futures:
                self._leave(future)
            raise

    @property
    def inside(self) -> list[Reward]:
        """The reward whose calls are gathered."""
        return [self.reward]

    async def connect(self) -> None:
        """Let the reward find out what serves it."""
        await connect(self.reward)

    def _enter(self, identity: ScoreIdentity, conversation: Conversation) -> asyncio.Future[Score]:
        key, size = identity
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Score] = loop.create_future()
        if key in self._known:
            future.set_result(self._known[key])
            return future
        known = self._under_way.get(key)
        if known is not None and known.get_loop() is loop:
            self._wanted[known] += 1
            return known
        self._under_way[key] = future
        self._wanted[future] = 1
        future.add_done_callback(lambda done: self._finished(key, done))
        if self._waiting and self._characters + size > self._most_characters:
            self._send()
        self._waiting[key] = _Waiting(key, size, conversation, future)
        self._characters += size
        if len(self._waiting) >= self.most:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait, self._send)
        return future

    def _leave(self, future: asyncio.Future[Score]) -> None:
        """One caller was cancelled: a conversation that no other caller waits for is not scored."""
        if future not in self._wanted:
            return  # its score has arrived
        self._wanted[future] -= 1
        if self._wanted[future]:
            return
        for one in list(self._waiting.values()):
            if one.future is future:
                del self._waiting[one.key]
                self._characters -= one.size
                future.cancel()
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finished(self, key: bytes, done: asyncio.Future[Score]) -> None:
        self._under_way.pop(key, None)
        self._wanted.pop(done, None)
        if done.cancelled() or done.exception() is not None or math.isnan(done.result().value):
            return  # a later try may do better
        self._known[key] = done.result()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = list(self._waiting.values())
        self._waiting.clear()
        self._characters = 0
        task = asyncio.ensure_future(self._score(batch))
        self._batches.add(task)  # the loop itself keeps tasks only weakly
        task.add_done_callback(self._batches.discard)

    async def _score(self, batch: list[_Waiting]) -> None:
        found: dict[bytes, Score] = {}
        try:
            if self._file is not None:
                found = await self._file.read([one.key for one in batch])
        except asyncio.CancelledError as error:
            _fail(batch, error)
            raise
        except RewardError as error:
            _fail(batch, error)
            return
        for one in batch:
            if one.key in found and not one.future.done():
                one.future.set_result(found[one.key])
        rest = [one for one in batch if one.key not in found]
        if rest:
            await self._new(rest)

    async def _new(self, batch: list[_Waiting]) -> None:
        """Score conversations that no file has a score of."""
        try:
            scores = await score(self.reward, [one.conversation for one in batch])
            if self._file is not None:
                await self._file.write({one.key: new for one, new in zip(batch, scores, strict=True)})
        except RewardUnavailable as error:
            if error.too_much and len(batch) > 1:
                half = len(batch) // 2
                self.most = max(min(self.most, half), 1)
                await asyncio.gather(self._new(batch[:half]), self._new(batch[half:]))
                return
            _fail(batch, error)
        except asyncio.CancelledError as error:
            _fail(batch, error)
            raise
        except Exception as error:
            if len(batch) > 1:  # only calls with one conversation each show which of them it is
                await asyncio.gather(*[self._new([one]) for one in batch])
            elif isinstance(error, RewardTooLong) and not batch[0].future.done():
                # A fault of this answer alone: the engine makes it this candidate's error.
                batch[0].future.set_result(Score(math.nan, feedback=str(error)))
            else:
                _fail(batch, error)
        else:
            for one, new in zip(batch, scores, strict=True):
                if not one.future.done():
                    one.future.set_result(new)


def _fail(batch: list[_Waiting], error: BaseException) -> None:
    for one in batch:
        if one.future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            one.future.cancel()
        else:
            one.future.set_exception(error)
            one.future.exception()  # marks it as retrieved: its callers may have been cancelled
