"""What all served rewards share: their names, how they find out what the server serves, how numbers become scores."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from tpo.errors import RewardError
from tpo.messages import Conversation, readable, text_of
from tpo.rewards.call import as_float, shown
from tpo.rewards.protocol import Score
from tpo.rewards.served import RewardServer, batches
from tpo.scheduling.concurrency import together


class ServedReward(ABC):
    """A reward model behind HTTP; each kind has its own requests.

    Args:
        server: where it is.
        model: its name there; None is found out, where its kind has names.
        options: what else decides the score, by name; None and False are left out of the reward's name.
    """

    def __init__(self, server: RewardServer, model: str | None, **options: object) -> None:
        self.server = server
        self.model = model
        self._options = {name: value for name, value in options.items() if value is not None and value is not False}
        self._connecting: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Kind, model, address without secrets, and the options that change the score.

        It is final after `connect`: until then, a model that was not named is missing.
        """
        title = f"{self.server.kind}:{self.model}" if self.model else self.server.kind
        options = "&".join(f"{name}={_shown(value)}" for name, value in sorted(self._options.items()))
        return f"{title}@{self.server.where}?{options}" if options else f"{title}@{self.server.where}"

    async def connect(self) -> None:
        """Find out what the server serves, once; `score` does it if nothing else did.

        Raises:
            InputError: the server serves several models, or lacks what must then be given.
            RewardError: it cannot be reached, refuses, or serves no reward model.
        """
        # A task, so that all who need it wait for the one; a failed one, or one of a loop that ended, is made anew.
        task = self._connecting
        if task is None or task.get_loop() is not asyncio.get_running_loop() or (task.done() and _failed(task)):
            task = self._connecting = asyncio.ensure_future(self._connect())
        await asyncio.shield(task)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        """Score each conversation.

        Returns:
            One score for each, in the order given.

        Raises:
            RewardError: the server refuses, or answers what is no score.
            RewardUnavailable: it may answer later, or fewer conversations at once.
        """
        await self.connect()
        return await self._score(conversations) if conversations else []

    async def aclose(self) -> None:
        """Close the connections."""
        await self.server.aclose()

    async def _connect(self) -> None:
        if self.model is None:
            self.model = await self.server.model()

    @abstractmethod
    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        """Score conversations, of which there is at least one, now that the server is known."""


def number(value: Any, what: str) -> float:
    """A JSON number as a float.

    Raises:
        RewardError: it is none; the message begins with `what`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RewardError(f"{what} is {repr(value)[:80]}, where a number is expected.")
    return as_float(value)


# What stands in for a field that is not there, in the error about it.
MISSING = "missing"


def score_in(value: Any, what: str) -> float:
    """As `number`, with NaN for null: so most servers write a score that is no number, and it is one answer's alone."""
    return math.nan if value is None else number(value, what)


def in_order(entries: Any, count: int, what: str) -> list[dict[str, Any]]:
    """Objects with an "index", in the order of their indices.

    Args:
        entries: what the server sent: one object for each of `count` things, in any order.
        count: how many things were sent.
        what: the server, for errors.

    Raises:
        RewardError: they are not just that.
    """
    if not isinstance(entries, list) or len(entries) != count:
        came = f"{len(entries)} scores" if isinstance(entries, list) else repr(entries)[:80]
        raise RewardError(f"{what} sent {came} for {count} conversations.")
    numbered = [(entry.get("index"), entry) for entry in entries if isinstance(entry, dict)]
    by_index = {index: entry for index, entry in numbered if isinstance(index, int) and not isinstance(index, bool)}
    if by_index.keys() != set(range(count)):
        sent = ", ".join(shown(index) for index, _ in numbered[:10])
        raise RewardError(f"{what} sent the indices {sent} for {count} conversations.")
    return [by_index[index] for index in range(count)]


def combined(
    parts: Mapping[str, float], weights: Mapping[str, float] | None, what: str, usual: Sequence[str] = ()
) -> Score:
    """One score from numbers with names.

    Args:
        parts: the numbers, one for each label or attribute.
        weights: which of them count, and how much; None takes the only one, or the first `usual` one.
        what: the server, for errors.
        usual: names of which one stands for the whole.

    Raises:
        RewardError: a weight has a name that is not there, or there are several numbers and nothing says which counts.
    """
    if weights is None:
        whole = next(iter(parts)) if len(parts) == 1 else next((name for name in usual if name in parts), None)
        if whole is None:
            raise RewardError(
                f"{what} sent {len(parts)} numbers ({', '.join(parts)}): say what each counts "
                f"(weights=NAME:NUMBER,NAME:NUMBER)."
            )
        weights = {whole: 1.0}
    missing = [name for name in weights if name not in parts]
    if missing:
        raise RewardError(f"{what} sent no {missing[0]!r}; it sent {', '.join(parts)}.")
    value = sum(weight * parts[name] for name, weight in weights.items())
    return Score(value, dict(parts) if len(parts) > 1 else {})


def chosen(label: str | int | None, weights: Mapping[str, float] | None) -> dict[str, float] | None:
    """The weights, given in either of two ways: one label, or a weight for each of several."""
    if label is not None:
        return {str(label): 1.0}
    return {str(name): float(weight) for name, weight in weights.items()} if weights else None


async def by_context(
    conversations: Sequence[Conversation],
    batch: int,
    rank: Callable[[str, Sequence[str]], Coroutine[Any, Any, list[Score | float]]],
) -> list[Score | float]:
    """Score answers together that answer the same: rerankers take one query and many texts.

    Args:
        conversations: any mix of queries.
        batch: most answers at once.
        rank: scores answers (texts) to a query (text), in their order.

    Returns:
        A score for each conversation, in the order given.
    """
    groups: dict[str, list[int]] = {}
    for position, messages in enumerate(conversations):
        groups.setdefault(readable(messages[:-1]), []).append(position)
    parts = [(query, part) for query, positions in groups.items() for part in batches(positions, batch)]
    answers = [[text_of(conversations[position][-1]) for position in part] for _, part in parts]
    scores = await together(rank(query, texts) for (query, _), texts in zip(parts, answers, strict=True))
    placed = {at: x for (_, part), found in zip(parts, scores, strict=True) for at, x in zip(part, found, strict=True)}
    return [placed[position] for position in range(len(conversations))]


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{weight:g}" for name, weight in value.items())
    return str(value)
