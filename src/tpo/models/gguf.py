"""Reading the head of a GGUF file: enough to refuse a broken one, to plan memory and to rewrite its tensors."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from tpo.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# The format's value types, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING = 8
_ARRAY = 9

# Longer arrays are vocabularies, which nothing here needs.
_KEPT_ARRAY = 4096

Value: TypeAlias = str | int | float | bool | list[Any] | None


class Head(msgspec.Struct, frozen=True):
    """The metadata of a GGUF file.

    Attributes:
        size: bytes of the file.
        train_context: tokens of the longest context in training; 0 where the file does not have it.
        kv_bytes: bytes of 16-bit key-value cache that one token takes; 0 where the file does not have it. An upper
            bound where some layers keep a window only.
    """

    size: int
    train_context: int
    kv_bytes: int


class Tensor(msgspec.Struct, frozen=True):
    """One tensor's entry.

    Attributes:
        name: what the model calls it.
        shape: its sides, the one along which it is quantized first.
        kind: ggml's number of the type of its weights.
        offset: where its data begin, counted from the start of all data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class Layout(msgspec.Struct, frozen=True):
    """Where things stand in a GGUF file.

    Attributes:
        values: its metadata; long arrays are left out.
        places: where the value of each key begins.
        table: where the entries of the tensors begin.
        tensors: the entries.
        end: where they end; the data follow at the next multiple of the alignment.
    """

    values: Mapping[str, Value]
    places: Mapping[str, int]
    table: int
    tensors: tuple[Tensor, ...]
    end: int

    @property
    def alignment(self) -> int:
        """What the place of every tensor is a multiple of."""
        return _int(self.values.get("general.alignment"), 32)

    @property
    def data(self) -> int:
        """Where the data begin."""
        return -(-self.end // self.alignment) * self.alignment


def read_head(path: Path) -> Head:
    """Check that a file is a whole GGUF model and read what is needed to run it.

    Args:
        path: the file.

    Raises:
        ModelError: the file cannot be read, is no GGUF, or is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ModelError(f"{path} is not a GGUF file: it does not begin with {MAGIC.decode()!r}.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _head(data, size, path)
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder: name the GGUF file in it.") from error
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}: check the path of the GGUF file.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error


def _head(data: mmap.mmap, size: int, path: Path) -> Head:
    layout = read_layout(data, path)
    values = layout.values
    if layout.end + max(tensor.offset for tensor in layout.tensors) >= size:
        raise ModelError(f"{path} is cut short: it ends after {size:,} bytes, before its last tensor. Fetch it again.")
    architecture = values.get("general.architecture")
    return Head(
        size=size,
        train_context=_int(values.get(f"{architecture}.context_length")),
        kv_bytes=_kv_bytes(values, f"{architecture}."),
    )


def read_layout(data: mmap.mmap | bytes, path: Path) -> Layout:
    """Where things stand in a file that is open.

    Args:
        data: its content.
        path: its name, for messages.

    Raises:
        ModelError: its header does not parse, or it holds no tensors.
    """
    reader = _Reader(data)
    values: dict[str, Value] = {}
    places: dict[str, int] = {}
    try:
        version = reader.number("I")
        if version not in VERSIONS:
            raise ModelError(f"{path} has GGUF version {version}; versions 2 and 3 (little-endian) can be run.")
        count, pairs = reader.number("Q"), reader.number("Q")
        for _ in range(pairs):
            key, kind = reader.text(), reader.number("I")
            places[key] = reader.at
            values[key] = reader.value(kind)
        table = reader.at
        tensors = tuple(reader.tensor() for _ in range(count))
    except (struct.error, OverflowError, UnicodeDecodeError, KeyError) as error:
        raise ModelError(f"{path} is cut short or damaged: its header does not parse. Fetch it again.") from error
    if not tensors:
        raise ModelError(f"{path} holds no tensors, so it is not a model that can be run.")
    return Layout(values, places, table, tensors, reader.at)


def _kv_bytes(values: Mapping[str, Value], prefix: str) -> int:
    layers = _int(values.get(prefix + "block_count"))
    heads = _int(values.get(prefix + "attention.head_count"))
    width = _int(values.get(prefix + "embedding_length")) // heads if heads else 0
    per_head = sum(_int(values.get(f"{prefix}attention.{part}_length"), width) for part in ("key", "value"))
    kv_heads = values.get(prefix + "attention.head_count_kv", heads)
    # Some architectures name the heads of each layer.
    total = sum(map(_int, kv_heads)) if isinstance(kv_heads, list) else _int(kv_heads) * layers
    return total * per_head * 2


def _int(value: Value, default: int = 0) -> int:
    if isinstance(value, list):
        return max(map(_int, value), default=default)
    return value if isinstance(value, int) else default


class _Reader:
    """Walks over a file's header; running over its end raises struct.error."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self.at = len(MAGIC)

    def number(self, kind: str) -> int:
        value: int = struct.unpack_from("<" + kind, self._data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self) -> str:
        length = self.number("Q")
        text = self._data[self.at : self.at + length]
        self.at += length
        if self.at > len(self._data):
            raise struct.error("a string runs over the end")
        return text.decode()

    def value(self, kind: int) -> Value:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_SCALARS[kind])
        element, length = self.number("I"), self.number("Q")
        if element in _SCALARS and length > _KEPT_ARRAY:
            self._pass(length * struct.calcsize("<" + _SCALARS[element]))
            return None
        if element == _STRING:
            for _ in range(length):
                self._pass(self.number("Q"))
            return None
        return [self.value(element) for _ in range(length)]

    def tensor(self) -> Tensor:
        name = self.text()
        shape = tuple(self.number("Q") for _ in range(self.number("I")))
        return Tensor(name, shape, self.number("I"), self.number("Q"))

    def _pass(self, length: int) -> None:
        self.at += length
