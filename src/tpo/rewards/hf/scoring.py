"""One pass of a reward model: conversations to token ids, padding that no score can see, and the raw reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from tpo.messages import Conversation, Message, readable, text_of
from tpo.rewards.hf.loading import Loaded
from tpo.rewards.hf.profiles import RewardProfile


class Encoder:
    """Writes conversations as a model was trained to read them.

    Args:
        tokenizer: a tokenizer of transformers.
        template: a chat template to use instead of the tokenizer's.
        appended: token ids to put after each conversation.
        pair: write a question and an answer instead of a chat.
        limit: most tokens that the model takes; None if it has no limit.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: str | None = None,
        appended: Sequence[int] = (),
        *,
        pair: bool,
        limit: int | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._appended = list(appended)
        self._pair = pair
        self._limit = limit

    def __call__(self, conversations: Sequence[Conversation]) -> list[list[int] | str]:
        """The token ids of each conversation; where there are none, the reason in words."""
        texts = [self._text(messages) for messages in conversations]
        good = [text for text in texts if not isinstance(text, str)]
        coded = iter(self._tokens(good))
        return [text if isinstance(text, str) else self._checked(next(coded)) for text in texts]

    def _text(self, messages: Conversation) -> tuple[str, ...] | str:
        """What to tokenise, or why there is nothing."""
        if self._pair:
            return readable(messages[:-1]), text_of(messages[-1])
        flat = [_flat(message) for message in messages]
        try:
            # A template is a program from elsewhere: it may raise anything, and refuses roles by raising.
            written = self._tokenizer.apply_chat_template(flat, chat_template=self._template, tokenize=False)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            return f"the reward model's chat template refuses this conversation: {reason}"
        return (str(written),)

    def _tokens(self, texts: list[tuple[str, ...]]) -> list[list[int]]:
        if not texts:
            return []
        # A chat template writes every special token itself: a tokenizer that adds its own would double the BOS.
        # Truncation is switched off by name, for a saved tokenizer may have it switched on.
        columns = [list(column) for column in zip(*texts, strict=True)]
        coded = self._tokenizer(*columns, add_special_tokens=self._pair, truncation=False, padding=False, verbose=False)
        return [[*map(int, row), *self._appended] for row in coded["input_ids"]]

    def _checked(self, tokens: list[int]) -> list[int] | str:
        if not tokens:
            return "the conversation has no tokens: the chat template wrote nothing"
        if self._limit is not None and len(tokens) > self._limit:
            return f"the conversation has {len(tokens)} tokens, and the reward model takes {self._limit}"
        return tokens


def _flat(message: Message) -> Message:
    # Templates of text models join content as a string; parts would be refused, or printed as Python.
    return {**message, "content": text_of(message)} if isinstance(message.get("content"), list) else message


class RawRewards(NamedTuple):
    """The rewards of one pass: a value for each sequence, and what it is made of."""

    values: list[float]
    parts: list[dict[str, float]]


class RewardHead:
    """Runs a model and reads its reward, raw: no sigmoid, no softmax.

    Args:
        model: a model of transformers.
        profile: where its reward is.
        weights: weight by label, for a model with several.
    """

    def __init__(self, model: Any, profile: RewardProfile, weights: Mapping[str, float]) -> None:
        self._model = model
        self._profile = profile
        self._weights = weights
        if profile.output == "logits":
            _sharpen(getattr(model, "score", None))

    def read(self, rows: Sequence[Sequence[int]], lengths: Sequence[int], *, masked: bool) -> RawRewards:
        """One pass.

        Args:
            rows: token ids, padded on the right to the same length.
            lengths: how many of each row's ids are the conversation's.
            masked: mark padding in an attention mask.
        """
        import torch

        with torch.inference_mode():
            device = self._model.device
            ids = torch.tensor(rows, device=device)
            ends = torch.tensor(lengths, device=device)
            mask = (torch.arange(ids.shape[1], device=device) < ends[:, None]).long() if masked else None
            values, parts = getattr(self, f"_{self._profile.output}")(ids, mask, ends)
            return RawRewards(values.double().tolist(), self._named(parts) if parts is not None else [{}] * len(rows))

    def _logits(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        logits = self._model(input_ids=ids, attention_mask=mask).logits.float().reshape(len(ids), -1)
        if logits.shape[1] == 1:
            return logits[:, 0], None
        weights = [self._weights.get(name, 0.0) for name in self._names(logits.shape[1])]
        return logits @ logits.new_tensor(weights), logits

    def _score(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        output = self._model(input_ids=ids, attention_mask=mask)
        return output.score.float().reshape(len(ids)), getattr(output, "rewards", None)

    def _vocabulary(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        # The logits of all tokens at all positions would take gigabytes; one of each sequence is wanted.
        states = self._model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        last = states[range(len(ids)), (ends - 1).to(states.device)].float()
        row = self._model.get_output_embeddings().weight[self._profile.token].float()
        return last @ row.to(last.device), None

    def _named(self, parts: Any) -> list[dict[str, float]]:
        names = self._names(parts.shape[1])
        return [dict(zip(names, row, strict=True)) for row in parts.double().tolist()]

    def _names(self, count: int) -> list[str]:
        labels = (self._model.config.id2label or {}) if self._profile.output == "logits" else {}
        names = self._profile.parts or [str(labels.get(index, index)) for index in range(count)]
        return list(names) if len(names) == count else [str(index) for index in range(count)]


def _sharpen(head: Any) -> None:
    """Let a linear head compute in float32.

    A bfloat16 number near 20 has steps of 0.125, so half-precision logits of good answers come out equal. vLLM
    computes these heads in float32 too.
    """
    import torch

    if isinstance(head, torch.nn.Linear) and head.weight.dtype in (torch.bfloat16, torch.float16):
        head.float()
        head.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))


Rows = Sequence[Sequence[int]]


class Padding:
    """Fills rows up on the right, with what the model takes for padding, and runs them.

    Args:
        loaded: the model.
        head: reads its output.

    Sequence classifiers of transformers read their score at the last token that is not `config.pad_token_id`. A
    config that names one was trained with it, so it is kept. Where there is none, a row on its own is read at its
    end, and a pad token that is also some row's last (as the end-of-turn token would be) would move that place: so
    the padding is, batch by batch, a token that no row contains.

    Attributes:
        masked: whether an attention mask marks the padding. A causal model needs none, for
            padding on the right comes after all that it could disturb, and attention is twice as fast without.
    """

    def __init__(self, loaded: Loaded, head: RewardHead) -> None:
        self._head = head
        self._config: Any = loaded.model.config.get_text_config()
        self._size: int = self._config.vocab_size
        self._preferred = [loaded.tokenizer.pad_token_id, loaded.tokenizer.unk_token_id]
        self._named = loaded.padding
        self._exact = loaded.dtype == "float32"
        self.masked = loaded.own_code

    def run(self, rows: Rows) -> RawRewards:
        """One pass over rows of any length."""
        filler = self._named if self._named is not None else unused(rows, self._size, self._preferred)
        return self._run(rows, filler)

    def settle(self, rows: Rows, alone: Sequence[float]) -> bool:
        """Find out how to pad for this model.

        Args:
            rows: token ids of different length.
            alone: the score of each without padding.

        Returns:
            Whether a padded row scores as it does alone; some models' own code reads the last position of a row,
            padding or not.
        """
        for masked in (False, True) if not self.masked else (True,):
            self.masked = masked
            # Half precision moves a score with the shape of a batch, by more than some mistakes do; so there, only
            # what the padding is may not matter, which a wrong reading does not survive either.
            if self._unseen(rows) and (not self._exact or _close(self.run(rows).values, alone, 1e-3)):
                return True
        return False

    def _unseen(self, rows: Rows) -> bool:
        """Whether scores stay as they are when only the padding changes, in the same shape."""
        one = unused(rows, self._size, [])
        other = unused([*rows, [one]], self._size, [])
        return _close(self._run(rows, one).values, self._run(rows, other).values, 1e-4 if self._exact else 1e-2)

    def _run(self, rows: Rows, filler: int) -> RawRewards:
        was, self._config.pad_token_id = self._config.pad_token_id, filler
        try:
            return self._head.read(padded(rows, filler), [len(row) for row in rows], masked=self.masked)
        finally:
            self._config.pad_token_id = was


def _close(some: Sequence[float], others: Sequence[float], difference: float) -> bool:
    return all(abs(a - b) <= difference * max(1.0, abs(b)) for a, b in zip(some, others, strict=True))


def padded(rows: Sequence[Sequence[int]], filler: int) -> list[list[int]]:
    """The rows as a rectangle, filled up on the right."""
    width = max(map(len, rows))
    return [[*row, *[filler] * (width - len(row))] for row in rows]


def unused(rows: Sequence[Sequence[int]], vocabulary: int, preferred: Sequence[int | None]) -> int:
    """A token id that no row contains: padding that no model can mistake for text.

    Args:
        rows: token ids, fewer different ones than the vocabulary has.
        vocabulary: the number of token ids.
        preferred: ids to try first.
    """
    used = {token for row in rows for token in row}
    for token in chain(preferred, range(vocabulary)):
        if token is not None and 0 <= token < vocabulary and token not in used:
            return token
    raise ValueError(f"all {vocabulary} token ids are in use")
