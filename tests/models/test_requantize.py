"""Rewriting weights: against ggml's own code, and what becomes of a file."""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.test_gguf import MISTRAL, gguf
from tpo.errors import ModelError
from tpo.models import weights
from tpo.models.embedded import EmbeddedServer
from tpo.models.gguf import Layout, read_layout
from tpo.models.requantize import BLOCK, Q4_0, Q4_1, Q8_0, Format, decode_q4_1, encode_q4_0, encode_q8_0, requantize

FORMATS = pytest.mark.parametrize("form", [Q8_0, Q4_0], ids=lambda form: form.name)


def q4_1(step: float, least: float, codes: bytes) -> bytes:
    return struct.pack("<ee", step, least) + codes


# What a model's weights are made of: steps and least values that 16 bits can hold, denormal ones included.
BLOCKS = st.builds(
    q4_1,
    st.just(0.0) | st.floats(2**-24, 8, width=16),
    st.floats(-64, 64, width=16),
    st.binary(min_size=BLOCK // 2, max_size=BLOCK // 2),
)


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    """The library inside xllamacpp, where it lets its functions be called."""
    engine = pytest.importorskip("xllamacpp.xllamacpp")
    library = ctypes.CDLL(engine.__file__)
    if not hasattr(library, "quantize_row_q8_0_ref"):
        pytest.skip("this build of xllamacpp hides ggml's functions")
    return library


@given(blocks=st.lists(BLOCKS, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_every_block_is_what_ggml_makes_of_it(ggml: ctypes.CDLL, blocks: list[bytes]) -> None:
    raw = b"".join(blocks)
    count = len(blocks) * BLOCK
    floats = (ctypes.c_float * count)()
    ggml.dequantize_row_q4_1(raw, floats, ctypes.c_int64(count))
    values = decode_q4_1(raw)
    assert values.tobytes() == bytes(floats)
    for form, encode, reference in (
        (Q8_0, encode_q8_0, ggml.quantize_row_q8_0_ref),
        (Q4_0, encode_q4_0, ggml.quantize_row_q4_0_ref),
    ):
        out = ctypes.create_string_buffer(len(blocks) * form.size)
        reference(floats, out, ctypes.c_int64(count))
        assert encode(values) == out.raw


@given(blocks=st.lists(BLOCKS, min_size=1, max_size=8))
@settings(deadline=None)
def test_q8_0_is_off_by_no_more_than_half_a_step(blocks: list[bytes]) -> None:
    values = decode_q4_1(b"".join(blocks))
    encoded = encode_q8_0(values)
    for row, at in zip(values, range(0, len(encoded), Q8_0.size), strict=True):
        step, *codes = struct.unpack_from("<e32b", encoded, at)
        largest = float(abs(row).max())
        # The step itself is rounded to 16 bits, and below their normal range loses more than that.
        room = largest / 254 + largest * 2**-11 + 127 * 2**-25
        assert all(abs(step * code - value) <= room for code, value in zip(codes, row, strict=True))


def test_halves_are_rounded_away_from_zero_as_in_c() -> None:
    # Steps of exactly 1: 127 is the largest, 0.5 and -2.5 are halves.
    import numpy as np

    row = np.zeros((1, BLOCK), np.float32)
    row[0, :4] = 127, 0.5, -2.5, 0.49999997
    assert struct.unpack("<e32b", encode_q8_0(row))[1:5] == (127, 1, -3, 0)


# --- a file


def small(path: Path) -> Path:
    """A file with two tensors in Q4_1, one that is not, and data in another order than the entries."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 3, 2)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("general.file_type") + struct.pack("<II", 4, Q4_1.file_type)
    head += text("a") + struct.pack("<I2QIQ", 2, 32, 3, Q4_1.kind, 64)
    head += text("norm") + struct.pack("<IQIQ", 1, 8, 0, 0)
    head += text("b") + struct.pack("<IQIQ", 1, 64, Q4_1.kind, 128)
    data = struct.pack("<8f", *range(8)) + bytes(32)
    data += b"".join(q4_1(0.5, float(row), bytes(range(16))) for row in range(3)).ljust(64, b"\0")
    data += b"".join(q4_1(0.25, -1.0, bytes(range(row, 16 + row))) for row in range(2)).ljust(64, b"\0")
    path.write_bytes(head.ljust(-(-len(head) // 32) * 32, b"\0") + data)
    return path


def content(path: Path) -> tuple[Layout, dict[str, bytes]]:
    """The layout, and the data of each tensor up to the next one's."""
    data = path.read_bytes()
    layout = read_layout(data, path)
    ends = [*sorted(tensor.offset for tensor in layout.tensors), len(data) - layout.data]
    found = {}
    for tensor in layout.tensors:
        end = next(end for end in ends if end > tensor.offset)
        found[tensor.name] = data[layout.data + tensor.offset : layout.data + end]
    return layout, found


@FORMATS
def test_the_q4_1_tensors_are_rewritten_and_the_rest_is_kept(tmp_path: Path, form: Format) -> None:
    source = small(tmp_path / "source.gguf")
    digest = requantize(source, tmp_path / "target.gguf", form)
    assert digest == hashlib.sha256((tmp_path / "target.gguf").read_bytes()).hexdigest()
    before, old = content(source)
    after, new = content(tmp_path / "target.gguf")
    assert after.values == {**before.values, "general.file_type": form.file_type}
    assert [(t.name, t.shape) for t in after.tensors] == [(t.name, t.shape) for t in before.tensors]
    assert [t.kind for t in after.tensors] == [form.kind, 0, form.kind]
    assert all(tensor.offset % 32 == 0 for tensor in after.tensors)
    assert new["norm"][:32] == old["norm"][:32]
    encode = {Q8_0: encode_q8_0, Q4_0: encode_q4_0}[form]
    for name, blocks in (("a", 3), ("b", 2)):
        expected = encode(decode_q4_1(old[name][: blocks * Q4_1.size]))
        assert new[name][: len(expected)] == expected
        assert not any(new[name][len(expected) :])


@pytest.mark.parametrize("pairs", [MISTRAL, {**MISTRAL, "general.file_type": 7}])
def test_other_files_are_refused(tmp_path: Path, pairs: dict[str, Any]) -> None:
    source = gguf(tmp_path / "m.gguf", pairs)
    with pytest.raises(ModelError, match="its weights are not in Q4_1"):
        requantize(source, tmp_path / "target.gguf", Q8_0)


def test_no_model_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF and nothing")
    with pytest.raises(ModelError):
        requantize(tmp_path / "m.gguf", tmp_path / "target.gguf", Q8_0)


# --- the built-in model's file in the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no installed package."""
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_packaged", lambda: None)
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def source(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the cache as it is packaged, and what its rewriting is known to give."""
    path = small(cache / weights.FILE)
    rewritten = path.with_name("once")
    monkeypatch.setattr(weights, "FILE_SIZE", path.stat().st_size)
    monkeypatch.setattr(weights, "REWRITTEN_SHA256", requantize(path, rewritten, weights.FORMAT))
    monkeypatch.setattr(weights, "REWRITTEN_SIZE", rewritten.stat().st_size)
    rewritten.unlink()
    return path


def test_the_weights_are_rewritten_once(source: Path, cache: Path) -> None:
    told: list[str] = []
    path = weights.smollm2(told.append)
    assert path == cache / "SmolLM2-135M-Instruct.Q8_0.gguf"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.REWRITTEN_SHA256
    assert told == [f"rewriting SmolLM2-135M-Instruct as Q8_0 (145 MB, once) into {cache}"]
    assert sorted(cache.iterdir()) == [source, path]
    source.unlink()  # no longer needed
    before = path.stat()
    assert weights.smollm2(told.append) == path
    assert (path.stat(), told[1:]) == (before, [])


@pytest.mark.parametrize("torn", [b"", b"GGUF"])
def test_a_torn_rewritten_file_is_replaced(source: Path, cache: Path, torn: bytes) -> None:
    (cache / weights.REWRITTEN).write_bytes(torn)
    assert weights.smollm2().stat().st_size == weights.REWRITTEN_SIZE


def packaged_after_all(source: Path) -> str:
    """Why the packaged weights are used."""
    told: list[str] = []
    assert weights.smollm2(told.append) == source
    assert "runs as it was packaged, which is slower" in told[-1]
    assert not list(source.parent.glob(".fetching-*"))
    return told[-1]


def test_a_cache_that_cannot_be_written_leaves_the_packaged_weights(
    source: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_packaged", lambda: source)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weights.CACHE, str(tmp_path / "file" / "cache"))
    assert packaged_after_all(source).endswith("Not a directory")


def test_a_full_disk_leaves_the_packaged_weights(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert packaged_after_all(source).endswith("No space left on device")


def test_what_comes_out_unlike_elsewhere_is_not_used(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "REWRITTEN_SHA256", "0" * 64)
    assert "its SHA-256 differs" in packaged_after_all(source)


def test_without_numpy_the_packaged_weights_run(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert "numpy" in packaged_after_all(source)


def test_several_first_starts_at_once_all_end_with_a_whole_file(source: Path, cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: weights.smollm2(), range(8)))
    assert set(paths) == {cache / weights.REWRITTEN}
    assert hashlib.sha256(paths[0].read_bytes()).hexdigest() == weights.REWRITTEN_SHA256
    assert sorted(cache.iterdir()) == [source, paths[0]]


def test_no_one_sees_a_file_that_is_being_written(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*asked: Any) -> str:
        digest = requantize(*asked)
        assert not (cache / weights.REWRITTEN).exists()
        return digest

    monkeypatch.setattr(weights, "requantize", slow)
    assert weights.smollm2() == cache / weights.REWRITTEN


@pytest.mark.embedded
def test_the_real_weights_are_rewritten_as_they_are_known(embedded_server: EmbeddedServer) -> None:
    path = weights.smollm2()
    assert path.name == "SmolLM2-135M-Instruct.Q8_0.gguf"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.REWRITTEN_SHA256
