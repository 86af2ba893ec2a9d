"""Padding that no score can see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tpo.rewards.hf.batching import padded, unused
from tpo.rewards.hf.heads import Head, Reading
from tpo.rewards.hf.loading import Loaded

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
        masked: whether the model is told by an attention mask what is padding. A causal model needs none, for
            padding on the right comes after all that it could disturb, and attention is twice as fast without.
    """

    def __init__(self, loaded: Loaded, head: Head) -> None:
        self._head = head
        self._config: Any = loaded.model.config.get_text_config()
        self._size: int = self._config.vocab_size
        self._preferred = [loaded.tokenizer.pad_token_id, loaded.tokenizer.unk_token_id]
        self._named = loaded.padding
        self._exact = loaded.dtype == "float32"
        self.masked = loaded.own_code

    def run(self, rows: Rows) -> Reading:
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

    def _run(self, rows: Rows, filler: int) -> Reading:
        was, self._config.pad_token_id = self._config.pad_token_id, filler
        try:
            return self._head.read(padded(rows, filler), [len(row) for row in rows], masked=self.masked)
        finally:
            self._config.pad_token_id = was


def _close(some: Sequence[float], others: Sequence[float], difference: float) -> bool:
    return all(abs(a - b) <= difference * max(1.0, abs(b)) for a, b in zip(some, others, strict=True))
