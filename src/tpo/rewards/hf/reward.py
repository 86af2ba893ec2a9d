"""The adapter: reward models of transformers, in this process."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.batching import BatchThread, batches
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
        RewardError: the extra is not installed, or the model is there but cannot be loaded.
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
