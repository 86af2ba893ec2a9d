"""Reward models of transformers in this process: batches of similar length, scored in one thread."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.loading import HfSettings, load, made, quiet
from tpo.rewards.hf.scoring import Encoder, Padding, RewardHead
from tpo.rewards.protocol import Score

_LOG = logging.getLogger(__name__)

# Two conversations of different length and different ends, to see whether padding changes a score.
_PROBES = [
    answered(conversation("What is the capital of France?"), "Paris."),
    answered(conversation("Hi!"), "Hello there! Here is what I can do for you: answer, explain, translate or write."),
]


class HfReward:
    """Scores with a reward model from the Hugging Face hub or a folder, in one thread of its own.

    Args:
        model: a name on the hub, or a folder; or `HfSettings`.
        options: see `HfSettings`.

    Raises:
        InputError: there is no such model, it is no reward model, or an option is missing or wrong.
        RewardError: the extra is not installed, or the model exists but cannot be loaded.
    """

    def __init__(self, model: str | HfSettings, **options: Any) -> None:
        self.settings = model if isinstance(model, HfSettings) else made(model, **options)
        template = _template(self.settings)
        self._loaded = load(self.settings)
        profile, tokenizer = self._loaded.profile, self._loaded.tokenizer
        if profile.layout == "chat" and not (template or tokenizer.chat_template):
            raise InputError(
                f"hf:{self.settings.model} has no chat template, so it is unknown how it expects a conversation to be "
                f"written: give one with ?chat_template=FILE.jinja, or name a chat reward model."
            )
        config = self._loaded.model.config
        appended = [getattr(config, profile.append)] if profile.append else []
        self.encode = Encoder(tokenizer, template, appended, pair=profile.layout == "pair", limit=self._loaded.limit)
        head = RewardHead(self._loaded.model, profile, self.settings.weights)
        self._padding = Padding(self._loaded, head)
        self._max_batch = self.settings.max_batch
        self._max_tokens = self.settings.max_batch_tokens or (2048 if self._loaded.on_cpu else 16384)
        self._gather = BatchThread(self._score, self._loaded.thread)
        with quiet():
            self._loaded.thread.submit(self._try_out).result()
        self.name = self._name(template)

    @classmethod
    def load(cls, text: str) -> HfReward:
        """Load "NAME_OR_DIR?option=value&…".

        Raises:
            InputError: as for the class, or the text is malformed.
            RewardError: as for the class.
        """
        return cls(HfSettings.parse(text))

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score each conversation by the model's raw output.

        Returns:
            A score for each conversation, in order. It is NaN, with the reason as its feedback, where a conversation
            is longer than the model's context, or the model's chat template refuses it: nothing is ever cut, and
            one such answer stops no other.

        Raises:
            RewardError: the model failed.
        """
        return await self._gather(conversations)

    def _name(self, template: str | None) -> str:
        path = Path(self.settings.model)
        model = path.resolve().name if path.is_dir() else self.settings.model
        # What else moves a score, folded into a few digits.
        moved = [template, sorted(self.settings.weights.items()), self.settings.reward_token]
        digits = hashlib.sha256(msgspec.json.encode(moved)).hexdigest()[:8] if any(moved) else ""
        return f"hf:{model}@{self._loaded.version}/{self._loaded.dtype}{digits and f'+{digits}'}"

    def _score(self, conversations: list[Conversation]) -> Iterator[tuple[int, Score]]:
        """Score all, in batches; runs in the model's thread."""
        coded: dict[int, list[int]] = {}
        for position, tokens in enumerate(self.encode(conversations)):
            if isinstance(tokens, str):
                yield position, Score(math.nan, feedback=tokens)
            else:
                coded[position] = tokens
        places = list(coded)
        lengths = [len(tokens) for tokens in coded.values()]
        for batch in batches(lengths, self._max_batch, self._max_tokens):
            positions = [places[index] for index in batch]
            yield from zip(positions, self._batch([coded[position] for position in positions]), strict=True)

    def _batch(self, rows: list[list[int]]) -> list[Score]:
        """Score one batch; where memory runs out, in halves."""
        try:
            reading = self._padding.run(rows)
        except Exception as error:
            if not _out_of_memory(error):
                raise self._failed(error) from error
            if len(rows) == 1:
                return [Score(math.nan, feedback=f"no memory left for a conversation of {len(rows[0])} tokens")]
            reading = None
        if reading is None:
            # Outside the except block: the exception's traceback would hold on to the memory of the failed pass.
            middle = len(rows) // 2
            return self._batch(rows[:middle]) + self._batch(rows[middle:])
        return [self._as_score(*pair) for pair in zip(*reading, strict=True)]

    def _as_score(self, value: float, parts: dict[str, float]) -> Score:
        if math.isfinite(value):
            return Score(value, parts)
        return Score(math.nan, parts, f"the model's output is {value} in {self._loaded.dtype}: try another dtype")

    def _try_out(self) -> None:
        """Score two conversations, so that what cannot work fails before anything has been paid for."""
        rows: list[list[int]] = []
        for row in self.encode(_PROBES):
            if isinstance(row, str):
                raise InputError(f"hf:{self.settings.model} cannot score a plain question and answer: {row}.")
            rows.append(row)
        try:
            alone = [self._padding.run([row]) for row in rows]
            _check_weights(self.settings, list(alone[0].parts[0]), self._loaded.profile.output)
            if self._max_batch > 1 and not self._padding.settle(rows, [reading.values[0] for reading in alone]):
                self._max_batch = 1
                _LOG.warning(
                    "hf:%s scores a conversation differently when it is padded, so conversations are scored one by "
                    "one, which is slower.",
                    self.settings.model,
                )
        except InputError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> RewardError:
        message = " ".join(str(error).split())
        return RewardError(f"hf:{self.settings.model} failed: {type(error).__name__}: {message:.300}")


def _template(settings: HfSettings) -> str | None:
    if settings.chat_template is None:
        return None
    try:
        return Path(settings.chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"hf:{settings.model}: chat_template={settings.chat_template} cannot be read: {error}"
        ) from error


def _check_weights(settings: HfSettings, labels: list[str], output: str) -> None:
    label, names = f"hf:{settings.model}", ", ".join(labels)
    if output == "logits" and labels and not settings.weights:
        example = ",".join(f"{name}:1" for name in labels[:2])
        raise InputError(f"{label} has {len(labels)} labels ({names}): say what each weighs with ?weights={example}")
    if settings.weights and (output != "logits" or not labels):
        raise InputError(f"{label} gives one number of its own: leave weights out.")
    strangers = [name for name in settings.weights if name not in labels]
    if strangers:
        raise InputError(f"{label} has no label {strangers[0]!r}; it has {names}.")


def _out_of_memory(error: Exception) -> bool:
    import torch

    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in ("out of memory", "not enough memory"))


# A row joins a batch while at most this share of it is padding, which is computed for nothing; batches this small
# cost a model about as much as its start, whatever is in them.
_PADDING = 0.1
_SMALL = 256


def batches(lengths: Sequence[int], max_batch: int, max_tokens: int) -> Iterator[list[int]]:
    """Group sequences of similar length, the longest first, so that what does not fit fails at once.

    Args:
        lengths: tokens of each sequence.
        max_batch: most sequences in a group.
        max_tokens: most tokens in a group, padding included; a longer sequence is a group of its own.

    Yields:
        Positions in `lengths`; each position comes once.
    """
    batch: list[int] = []
    real = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if batch:
            total = (len(batch) + 1) * lengths[batch[0]]
            wasteful = total > _SMALL and real + lengths[position] < (1 - _PADDING) * total
            if len(batch) == max_batch or total > max_tokens or wasteful:
                yield batch
                batch, real = [], 0
        batch.append(position)
        real += lengths[position]
    if batch:
        yield batch


class BatchThread:
    """Collects conversations from many calls, and gives each call its scores as soon as they exist.

    Args:
        work: scores conversations, and yields positions with scores in any order.
        thread: where `work` runs; rewards that share a model share its thread.

    An answer is scored the moment it lands, so conversations come one by one, and often while the model is busy.
    Nothing waits for company: an idle model starts at once, and a busy one finds all that has come meanwhile.
    """

    def __init__(
        self, work: Callable[[list[Conversation]], Iterable[tuple[int, Score]]], thread: ThreadPoolExecutor
    ) -> None:
        self._work = work
        self._thread = thread
        self._waiting: list[tuple[Conversation, Future[Score]]] = []
        self._lock = threading.Lock()

    async def __call__(self, conversations: Sequence[Conversation]) -> list[Score]:
        """The scores, in order; an error of `work` is raised in every call that waits for it."""
        futures: list[Future[Score]] = [Future() for _ in conversations]
        with self._lock:
            self._waiting += zip(conversations, futures, strict=True)
        self._thread.submit(self._take)
        return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))

    def _take(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        # A call that was cancelled while it waited costs nothing.
        taken = [(one, future) for one, future in waiting if future.set_running_or_notify_cancel()]
        if not taken:
            return
        try:
            for position, score in self._work([one for one, _ in taken]):
                taken[position][1].set_result(score)
        except BaseException as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
