"""Rewriting the weights of a GGUF file from one format into another, bit for bit as ggml does it.

Which format is fast is no matter of size alone: llama.cpp multiplies batches of some formats by kernels of their own
and takes those of the others row by row. docs/embedded.md has the numbers.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tpo.errors import ModelError
from tpo.models.gguf import Layout, Tensor, read_layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]

# All of them: 32 weights make a block.
BLOCK = 32
_FILE_TYPE = "general.file_type"


class Format(NamedTuple):
    """A format of quantized weights.

    Attributes:
        name: as files are called after it.
        kind: ggml's number of it.
        file_type: llama.cpp's number of files that hold mostly that.
        size: bytes of a block.
    """

    name: str
    kind: int
    file_type: int
    size: int


Q4_0 = Format("Q4_0", 2, 2, 18)
Q4_1 = Format("Q4_1", 3, 3, 20)
Q8_0 = Format("Q8_0", 8, 7, 34)


def requantize(source: Path, target: Path, form: Format) -> str:
    """Write a file again, with its Q4_1 tensors in another format and everything else as it is.

    Args:
        source: a GGUF file.
        target: the file to write.
        form: Q8_0, which loses next to nothing, or Q4_0, which loses something.

    Returns:
        The SHA-256 of what was written: the same on every machine.

    Raises:
        ModelError: the source is no GGUF file that can be rewritten.
        OSError: a file cannot be read or written.
    """
    digest = hashlib.sha256()
    with (
        source.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data,
        target.open("wb") as file,
    ):
        for piece in _pieces(data, read_layout(data, source), source, form):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _pieces(data: mmap.mmap, layout: Layout, path: Path, form: Format) -> Iterator[bytes]:
    if layout.values.get(_FILE_TYPE) != Q4_1.file_type:
        raise ModelError(f"{path} cannot be rewritten as {form.name}: its weights are not in Q4_1.")
    encode = _ENCODERS[form]
    spans = dict(zip(layout.tensors, _spans(layout, len(data)), strict=True))
    # Tensor by tensor, in the order in which their data stand.
    order = sorted(layout.tensors, key=lambda tensor: tensor.offset)
    offsets: dict[Tensor, int] = {}
    end = 0
    for tensor in order:
        offsets[tensor] = end
        end += _padded(_size(tensor, form) if tensor.kind == Q4_1.kind else spans[tensor][1], layout.alignment)
    head = bytearray(data[: layout.table])
    struct.pack_into("<I", head, layout.places[_FILE_TYPE], form.file_type)
    for tensor in layout.tensors:
        kind = form.kind if tensor.kind == Q4_1.kind else tensor.kind
        name = tensor.name.encode()
        head += struct.pack("<Q", len(name)) + name
        head += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        head += struct.pack("<IQ", kind, offsets[tensor])
    yield _filled(bytes(head), layout.alignment)
    for tensor in order:
        begin, length = spans[tensor]
        if tensor.kind != Q4_1.kind:
            content = data[begin : begin + length]
        else:
            content = encode(decode_q4_1(data[begin : begin + _size(tensor, Q4_1)]))
        yield _filled(content, layout.alignment)


def _spans(layout: Layout, size: int) -> Iterator[tuple[int, int]]:
    """Where each tensor's data begin, and how many bytes there are up to the next one's."""
    starts = sorted({tensor.offset for tensor in layout.tensors} | {size - layout.data})
    following = dict(pairwise(starts))
    for tensor in layout.tensors:
        yield layout.data + tensor.offset, following[tensor.offset] - tensor.offset


def _size(tensor: Tensor, form: Format) -> int:
    count = 1
    for side in tensor.shape:
        count *= side
    return count // BLOCK * form.size


def _padded(length: int, alignment: int) -> int:
    return -(-length // alignment) * alignment


def _filled(content: bytes, alignment: int) -> bytes:
    return content + bytes(-len(content) % alignment)


def decode_q4_1(raw: bytes) -> Floats:
    """The weights in blocks of Q4_1, a row for each block: a step, the least weight, and 4 bits for each."""
    import numpy as np

    blocks = np.frombuffer(raw, np.uint8).reshape(-1, Q4_1.size)
    step, least = (blocks[:, at : at + 2].copy().view("<f2").astype(np.float32) for at in (0, 2))
    codes = blocks[:, 4:]
    # The low halves of the bytes are the first 16 weights.
    return np.concatenate([codes & 15, codes >> 4], axis=1).astype(np.float32) * step + least


def encode_q8_0(weights: Floats) -> bytes:
    """Blocks of Q8_0: a step, and 8 bits with a sign for each weight."""
    import numpy as np

    step = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
    scaled = weights * _inverse(step)
    # C's roundf, which takes halves away from zero; numpy's takes them to the even side.
    size = np.abs(scaled)
    whole = np.floor(size)
    rounded = np.copysign(whole + (size - whole >= np.float32(0.5)), scaled)
    return _joined(step, rounded.astype(np.int8).view(np.uint8))


def encode_q4_0(weights: Floats) -> bytes:
    """Blocks of Q4_0: a step, and 4 bits for each weight, of which 8 stands for zero."""
    import numpy as np

    first_largest = np.abs(weights).argmax(axis=1)[:, None]
    step = np.take_along_axis(weights, first_largest, axis=1) / np.float32(-8)
    codes: Bytes = (weights * _inverse(step) + np.float32(8.5)).astype(np.uint8).clip(max=15)
    low, high = codes[:, : BLOCK // 2], codes[:, BLOCK // 2 :]
    return _joined(step, low | (high << np.uint8(4)))


def _inverse(step: Floats) -> Floats:
    import numpy as np

    # A block of zeros has no step, and denormal ones have no inverse: what overflows is as in C.
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(step == 0, np.float32(0), np.float32(1) / step)


def _joined(step: Floats, codes: Bytes) -> bytes:
    import numpy as np

    return np.concatenate([step.astype("<f2").view(np.uint8), codes], axis=1).tobytes()


_ENCODERS: dict[Format, Callable[[Floats], bytes]] = {Q8_0: encode_q8_0, Q4_0: encode_q4_0}
