"""Files of records: damage is always reported, two writers never share one, and earlier versions' files are read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tpo
from fakes import FakeModel, numbered
from tpo.engine.journal import Journal, TraceFile, read_journal
from tpo.engine.lines import LineWriter
from tpo.engine.records import Called, Plan, Record, Sampled, SamplingSettings, Started
from tpo.errors import InputError, JournalError, ModelError
from tpo.models.protocol import Usage

STARTED = Started(Plan([{"role": "user", "content": "hi"}], "tpo", 1, 0, SamplingSettings(), "p", {}, None), "0", "now")
CALLED = Called(0, 0, "policy", 0.5, 1.25, Usage(10, 5, 7))
SAMPLED = Sampled(0, 0, 0, 0, "a", 'an answer with "crc":"00000000"}', "stop", 7)
RECORDS: list[Record] = [STARTED, CALLED, SAMPLED]


def written(path: Path) -> bytes:
    journal = Journal(TraceFile(path))
    for record in RECORDS:
        journal.append(record)
    journal.close()
    return path.read_bytes()


@given(st.data())
def test_a_flipped_bit_is_reported(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("journal") / "trace.jsonl"
    whole = bytearray(written(path))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    path.write_bytes(whole)
    try:
        records, torn = read_journal(path)
    except JournalError as error:
        assert str(path) in str(error)
    else:
        # Only two kinds of bits change nothing that is used: in the first line's name of its checksum, after which
        # the line looks like one of a version that had none, and in the last line's end, which is reported as torn.
        assert records == RECORDS or torn is not None


def test_a_line_is_plain_json_with_its_checksum_at_the_end(tmp_path: Path) -> None:
    for line in written(tmp_path / "trace.jsonl").splitlines():
        value = msgspec.json.decode(line)
        assert next(iter(value)) == "record"
        assert list(value)[-1] == "crc"


def test_damage_names_the_line_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(written(path).replace(b'"completion_tokens":7', b'"completion_tokens":8'))
    with pytest.raises(JournalError, match=r"trace.jsonl, line 2: the line is damaged.*delete this line to continue"):
        read_journal(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    assert read_journal(path) == ([STARTED, SAMPLED], None)


def test_a_file_of_a_version_without_checksums_is_read_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    old = b"".join(msgspec.json.encode(record) + b"\n" for record in RECORDS)
    path.write_bytes(old)
    assert read_journal(path) == (RECORDS, None)
    path.write_bytes(old + written(tmp_path / "new.jsonl"))
    assert read_journal(path) == ([*RECORDS, *RECORDS], None)
    path.write_bytes(written(tmp_path / "newer.jsonl") + old)
    with pytest.raises(JournalError, match="line 4: the line is damaged"):
        read_journal(path)


@pytest.mark.parametrize("sent", ["7.0", '"7"', "null", "true", "-3", "[7]"])
@pytest.mark.parametrize("finish", ["7", "true", "{}", "[]", "null"])
def test_wrong_types_that_earlier_versions_wrote_are_read(tmp_path: Path, sent: str, finish: str) -> None:
    path = tmp_path / "trace.jsonl"
    lines = [msgspec.json.encode(record).decode() for record in RECORDS]
    lines[1] = lines[1].replace('"completion_tokens":7', f'"completion_tokens":{sent}')
    lines[2] = lines[2].replace('"finish_reason":"stop"', f'"finish_reason":{finish}')
    lines[2] = lines[2].replace('"reply":null', '"reply":5').replace('"message":null', '"message":"text"')
    path.write_text("\n".join(lines) + "\n")
    records, _ = read_journal(path)
    assert isinstance(records[1], Called)
    assert isinstance(records[1].usage.completion_tokens, int)
    assert records[1].usage.prompt_tokens == 10
    assert records[2] == SAMPLED


def test_what_decides_a_result_is_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = [msgspec.json.encode(record).decode() for record in RECORDS]
    path.write_text("\n".join([lines[0], lines[1], lines[2].replace('"text":"an', '"text":5,"was":"an')]) + "\n")
    with pytest.raises(JournalError, match=r"line 3: this is not a record of a trace .*delete this line to continue"):
        read_journal(path)


@pytest.mark.parametrize(
    "record",
    [
        msgspec.structs.replace(SAMPLED, text="half a surrogate \ud800"),
        msgspec.structs.replace(SAMPLED, finish_reason=7),
        msgspec.structs.replace(SAMPLED, message={"deep": [object()]}),
        msgspec.structs.replace(CALLED, usage=Usage(10, 0, 7.5)),  # type: ignore[arg-type]
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, record: Record) -> None:
    path = tmp_path / "trace.jsonl"
    journal = Journal(TraceFile(path))
    journal.append(STARTED)
    with pytest.raises(ModelError, match="no journal can hold"):
        journal.append(record)
    journal.close()
    assert (journal.records, read_journal(path)) == ([STARTED], ([STARTED], None))


def test_deep_json_is_refused_when_it_is_written() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ModelError):
        LineWriter[Record](Record).line(msgspec.structs.replace(SAMPLED, message={"deep": deep}))


async def test_two_queries_do_not_share_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    first = TraceFile(path)
    before = path.read_bytes()
    model = FakeModel(numbered())
    with pytest.raises(InputError, match="Another process writes to the trace"):
        await tpo.align("How?", policy=model, depth=0, trace=path)
    assert (path.read_bytes(), model.requests) == (before, [])
    first.close()
    await tpo.align("How?", policy=model, depth=0, trace=path)
    assert tpo.replay(path).answer.startswith("answer")
