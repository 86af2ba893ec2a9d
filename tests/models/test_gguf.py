"""The head of GGUF files: what is read from it, and which files are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tpo.errors import ModelError
from tpo.models.gguf import read_head


def gguf(path: Path, pairs: dict[str, int | list[int] | str], *, tensors: int = 1, data: int = 64) -> Path:
    """A GGUF header, with tensors of which the last begins 32 bytes into the data."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def typed(value: int | list[int] | str) -> bytes:
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value, list):
            return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
        return struct.pack("<II", 4, value)

    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs))
    head += b"".join(text(key) + typed(value) for key, value in pairs.items())
    head += (text("blk.0.weight") + struct.pack("<IQIQ", 1, 8, 0, 32)) * tensors
    path.write_bytes(head + bytes(data))
    return path


MISTRAL: dict[str, int | list[int] | str] = {
    "general.architecture": "llama",
    "tokenizer.ggml.token_type": [1] * 5000,
    "llama.context_length": 32768,
    "llama.block_count": 32,
    "llama.embedding_length": 4096,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
}


def test_the_head_has_training_context_and_cache_size(tmp_path: Path) -> None:
    head = read_head(gguf(tmp_path / "m.gguf", MISTRAL))
    assert (head.train_context, head.kv_bytes) == (32768, 32 * 8 * (128 + 128) * 2)


def test_heads_may_be_named_layer_by_layer(tmp_path: Path) -> None:
    pairs = {**MISTRAL, "llama.attention.head_count_kv": [8, 0, 8], "llama.attention.key_length": 64}
    assert read_head(gguf(tmp_path / "m.gguf", pairs)).kv_bytes == 16 * (64 + 128) * 2


def test_a_head_without_metadata_can_be_read(tmp_path: Path) -> None:
    head = read_head(gguf(tmp_path / "m.gguf", {}))
    assert (head.train_context, head.kv_bytes) == (0, 0)


def broken(folder: Path, kind: str) -> Path:
    path = folder / "m.gguf"
    whole = gguf(path, MISTRAL).read_bytes()
    if kind == "missing":
        return folder / "nosuch.gguf"
    if kind == "folder":
        return folder
    content = {
        "empty": b"",
        "magic alone": b"GGUF",
        "text": b"<html>Not found</html>",
        "version": whole[:4] + struct.pack("<I", 99) + whole[8:],
        "header cut": whole[:100],
        "data cut": whole[:-40],
        "no tensors": gguf(path, MISTRAL, tensors=0).read_bytes(),
        "count": whole[:16] + struct.pack("<Q", 2**62) + whole[24:],
        "length": whole[:24] + struct.pack("<Q", 2**63) + whole[32:],
        "kind": whole.replace(struct.pack("<II", 4, 32768), struct.pack("<II", 77, 32768)),
    }[kind]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("missing", "There is no file"),
        ("folder", "is a folder"),
        ("empty", "is not a GGUF file"),
        ("magic alone", "header does not parse"),
        ("text", "is not a GGUF file"),
        ("version", "GGUF version 99"),
        ("header cut", "header does not parse"),
        ("data cut", "cut short"),
        ("no tensors", "no tensors"),
        ("count", "header does not parse"),
        ("length", "header does not parse"),
        ("kind", "header does not parse"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, kind: str, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        read_head(broken(tmp_path, kind))
