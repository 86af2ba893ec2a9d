"""A short name for what a folder with a model holds, without reading all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

_KINDS = (".json", ".jinja", ".model", ".txt", ".py", ".safetensors", ".bin")
_BLOCK = 65536
_BLOCKS = 64


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that change with the weights, the tokenizer, the config or the code.

    Args:
        folder: a model in transformers' layout. Of large files, 64 blocks at even distances count: training moves
            all weights, so that is enough to tell two checkpoints apart, and takes no time for 100 GB either.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in _KINDS and path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _BLOCK * _BLOCKS:
                digest.update(file.read())
                continue
            for block in range(_BLOCKS):
                file.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:12]
