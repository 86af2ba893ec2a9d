"""One scorer for the whole process: conversations from all queries are scored in shared batches.

Answers land one by one, from many queries at once, while a reward model is fastest on many at a time. So each answer
waits a few milliseconds for company. Equal conversations share one score, be it under way or known already.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import weakref
from collections.abc import Sequence

import msgspec

from tpo.errors import RewardTooLong, RewardUnavailable
from tpo.messages import Conversation
from tpo.rewards.asking import ask, close, connect
from tpo.rewards.protocol import Reward, Score

MOST = 64
MOST_CHARACTERS = 400_000
WAIT = 0.005
# Scores that are kept: those of the queries under way, and some more.
REMEMBERED = 16_384


class Batched:
    """A reward whose calls are gathered into batches.

    Args:
        reward: what scores.
        most: conversations in a batch, at most; halved, for good, when the reward says that it was too much.
        most_characters: their length together, at most; one conversation alone may be longer.
        wait: seconds for which the first of a batch waits for others.
    """

    def __init__(
        self, reward: Reward, *, most: int = MOST, most_characters: int = MOST_CHARACTERS, wait: float = WAIT
    ) -> None:
        self.reward = reward
        self.most = most
        self._most_characters = most_characters
        self._wait = wait
        self._waiting: dict[bytes, tuple[Conversation, asyncio.Future[Score]]] = {}
        self._known: dict[bytes, Score] = {}
        self._under_way: dict[bytes, asyncio.Future[Score]] = {}
        self._wanted: dict[asyncio.Future[Score], int] = {}
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The reward's own: batching changes no score."""
        return self.reward.name

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score conversations, together with whatever else is waiting."""
        futures = [self._enter(conversation) for conversation in conversations]
        try:
            # Shielded: another query may wait for the same score.
            return list(await asyncio.gather(*[asyncio.shield(future) for future in futures]))
        except asyncio.CancelledError:
            for future in futures:
                self._leave(future)
            raise

    @property
    def inside(self) -> list[Reward]:
        """What it is made of."""
        return [self.reward]

    async def connect(self) -> None:
        """Have what is inside find out what serves it."""
        await connect(self.reward)

    async def aclose(self) -> None:
        """Let go of what is inside."""
        await close(self.reward)

    def _enter(self, conversation: Conversation) -> asyncio.Future[Score]:
        text = msgspec.json.encode(conversation)
        key = hashlib.blake2b(text, digest_size=16).digest()
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
        if self._waiting and self._characters + len(text) > self._most_characters:
            self._send()
        self._waiting[key] = (conversation, future)
        self._characters += len(text)
        if len(self._waiting) >= self.most:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait, self._send)
        return future

    def _leave(self, future: asyncio.Future[Score]) -> None:
        """Somebody who waited for a score has gone: what nobody waits for any more is not asked for."""
        if future not in self._wanted:
            return  # it is there
        self._wanted[future] -= 1
        if self._wanted[future]:
            return
        for key, (conversation, waiting) in list(self._waiting.items()):
            if waiting is future:
                del self._waiting[key]
                self._characters -= len(msgspec.json.encode(conversation))
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
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]  # the oldest

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

    async def _score(self, batch: list[tuple[Conversation, asyncio.Future[Score]]]) -> None:
        try:
            scores = await ask(self.reward, [conversation for conversation, _ in batch])
        except RewardUnavailable as error:
            if error.too_much and len(batch) > 1:
                half = len(batch) // 2
                self.most = max(min(self.most, half), 1)
                await asyncio.gather(self._score(batch[:half]), self._score(batch[half:]))
                return
            self._fail(batch, error)
        except asyncio.CancelledError as error:
            self._fail(batch, error)
            raise
        except Exception as error:
            if len(batch) > 1:  # which of them it is, only asking one by one tells
                await asyncio.gather(*[self._score([one]) for one in batch])
            elif isinstance(error, RewardTooLong) and not batch[0][1].done():
                # The misfortune of this answer alone: the engine makes it this candidate's error.
                batch[0][1].set_result(Score(math.nan, feedback=str(error)))
            else:
                self._fail(batch, error)
        else:
            for (_, future), score in zip(batch, scores, strict=True):
                if not future.done():
                    future.set_result(score)

    def _fail(self, batch: list[tuple[Conversation, asyncio.Future[Score]]], error: BaseException) -> None:
        for _, future in batch:
            if not future.done():
                if isinstance(error, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(error)
                    future.exception()  # whoever waited for it may have left


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Batched]] = weakref.WeakKeyDictionary()


def shared(reward: Reward) -> Batched:
    """The batching wrapper of a reward object in this event loop: the same for all queries that use the object."""
    if isinstance(reward, Batched):
        return reward
    wrappers = _shared.setdefault(asyncio.get_running_loop(), {})
    # The wrapper holds the reward, so its id cannot be taken over by another object.
    return wrappers.setdefault(id(reward), Batched(reward))
