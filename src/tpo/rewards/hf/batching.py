"""Which conversations go through the model together, and how they are padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

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
