"""Which query a row holds, and what the row is called."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.reading.kit import everything, good, only_reason, queries, written
from tpo.errors import InputError
from tpo.runs.reading import open_data
from tpo.runs.reading.data import Ids, canonical
from tpo.runs.rows import BadRow, QueryRow

ASKED = [{"role": "user", "content": "Why?"}]
ANSWER = {"role": "assistant", "content": "Because."}


def data(folder: Path, *rows: dict[str, Any]) -> str:
    return written(folder, "p.jsonl", "\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"messages": ASKED}, ASKED),
        ({"messages": [*ASKED, ANSWER]}, ASKED),
        ({"messages": [*ASKED, ANSWER, *ASKED, ANSWER, ANSWER]}, [*ASKED, ANSWER, *ASKED]),
        ({"prompt": ASKED, "chosen": [ANSWER]}, ASKED),
        ({"messages": ASKED, "prompt": "Who?"}, ASKED),
        ({"input": "Who?", "question": "Why?"}, ASKED),
        ({"instruction": "Why?", "input": "", "output": "Because."}, ASKED),
        ({"instruction": "Why?", "input": None}, ASKED),
        ({"instruction": "Add.", "input": "1, 2"}, [{"role": "user", "content": "Add.\n\n1, 2"}]),
        ({"prompt": "Why?", "input": "1, 2"}, ASKED),
        ({"prompt": "Why?", "system": "Be brief."}, [{"role": "system", "content": "Be brief."}, *ASKED]),
        ({"prompt": "Why?", "system": ""}, ASKED),
        (
            {"messages": [{"role": "system", "content": "A"}, *ASKED], "system": "B"},
            [{"role": "system", "content": "A"}, *ASKED],
        ),
    ],
)
def test_the_query_of_a_row(tmp_path: Path, row: dict[str, Any], messages: list[Any]) -> None:
    assert queries(data(tmp_path, row)) == [messages]


def test_a_named_column(tmp_path: Path) -> None:
    assert queries(data(tmp_path, {"prompt": "No", "turn": "Why?"}), column="turn") == [ASKED]
    assert queries(data(tmp_path, {"prompt": "No", "turn": [*ASKED, ANSWER]}), column="turn") == [ASKED]
    assert queries(data(tmp_path, {"instruction": "Why?", "input": "x"}), column="instruction") == [ASKED]
    with pytest.raises(InputError, match="has no column 'turn'; it has 'prompt', 'id'"):
        open_data(data(tmp_path, {"prompt": "Why?", "id": 1}), column="turn")


def test_no_known_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has 'riddle', 'answer'\. Name the one that does with --column\."):
        open_data(data(tmp_path, {"riddle": "1+1", "answer": 2}))


def test_one_row_without_the_column(tmp_path: Path) -> None:
    rows = everything(data(tmp_path, {"note": "none"}, {"prompt": "Why?"}))
    assert [type(row) for row in rows] == [BadRow, QueryRow]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "messages are empty"),
        ({"messages": [ANSWER]}, "messages are empty"),
        ({"messages": ["Why?"]}, "Message 0 is a str"),
        ({"messages": [{"speaker": "human", "value": "Why?"}]}, "has the role None"),
        ({"messages": [{"role": "user", "content": " "}]}, "no user message with text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "n": float("nan")}]}]}, "as JSON"),
        ({"messages": 3}, "is a number"),
        ({"prompt": "Why?", "system": {}}, "'system' is an object"),
        ({"instruction": "Why?", "input": [1]}, "'input' is a list"),
        ({"prompt": "Why?", "id": [1]}, "is a list"),
        ({"prompt": "Why?", "id": True}, "is a bool"),
        ({"prompt": "Why?", "id": 1.5}, "is a float"),
        ({"prompt": "Why?", "id": "x" * 201}, "has 201 characters"),
        ({"prompt": "Why?", "id": "a\nb"}, "'a\\nb'"),
        ({"prompt": "Why?", "id": "\ud800"}, "readable text"),
        ({"prompt": "Why?", "id": "  "}, "readable text"),
    ],
)
def test_bad_rows(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    assert reason in only_reason(data(tmp_path, row))


def test_ids_that_are_given(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "id": 0},
        {"prompt": "b", "uid": "u", "idx": 5},
        {"prompt": "c", "id": None, "question_id": 81},
        {"prompt": "d", "id": 3.0},
        {"prompt": "e", "id": "u"},
    ]
    *named, twice = everything(data(tmp_path, *rows))
    assert [row.id for row in good(named)] == ["0", "u", "81", "3"]
    assert isinstance(twice, BadRow) and "The id 'u' belongs to another row" in twice.reason


def test_ids_that_are_made(tmp_path: Path) -> None:
    first, second, third, other = good(
        everything(data(tmp_path, *({"prompt": "Why?"} for _ in range(3)), {"prompt": "Who?", "id": float("nan")}))
    )
    assert len(first.id) == 16 and int(first.id, 16) >= 0
    assert [second.id, third.id] == [f"{first.id}-2", f"{first.id}-3"]
    assert other.id not in (first.id, second.id)
    # The same query has the same id in any format and with its keys in any order.
    (again,) = good(everything(written(tmp_path, "q.txt", "Why?")))
    assert again.id == first.id
    turned = data(tmp_path, {"messages": [{"content": "Why?", "role": "user"}]})
    assert good(everything(turned))[0].id == first.id


def test_an_id_that_looks_made_stays_its_rows(tmp_path: Path) -> None:
    (made,) = good(everything(data(tmp_path, {"prompt": "Why?"})))
    rows = good(everything(data(tmp_path, {"prompt": "x", "id": made.id}, {"prompt": "Why?"})))
    assert [row.id for row in rows] == [made.id, f"{made.id}-2"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 5))))
def test_no_two_rows_have_one_id(rows: list[tuple[str, int | None]]) -> None:
    ids = Ids()
    names = []
    for text, number in rows:
        try:
            names.append(ids.given({"id": number}) or ids.made(text.encode()))
        except InputError:
            assert str(number) in names
    assert len(names) == len(set(names))


def test_many_ids_cost_little_memory() -> None:
    tracemalloc.start()
    ids = Ids()
    for number in range(25_000):
        ids.made(canonical([{"role": "user", "content": str(number)}]))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 3_500_000  # with the texts of all ids it would be more than 4 MB


def test_fields_that_are_null_are_left_out(tmp_path: Path) -> None:
    row = '{"messages": [{"role": "user", "content": "And of Norway?", "name": null, "tool_calls": null}]}\n'
    assert queries(written(tmp_path, "a.jsonl", row)) == [[{"role": "user", "content": "And of Norway?"}]]
    parts = '[{"type": "text", "text": "Hi", "cache_control": null}]'
    row = f'{{"messages": [{{"role": "user", "content": {parts}}}]}}\n'
    assert queries(written(tmp_path, "b.jsonl", row))[0][0]["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("turn", [{"content": None, "refusal": "I cannot help."}, {}, {"reasoning_content": "Hm."}])
def test_an_assistant_turn_without_content_is_a_turn(tmp_path: Path, turn: dict[str, object]) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", **turn}, {"role": "user", "content": "Why?"}]
    (found,) = queries(written(tmp_path, "a.jsonl", json.dumps({"messages": messages}) + "\n"))
    kept = {name: value for name, value in turn.items() if value is not None}
    assert found[1] == {"role": "assistant", **kept, "content": ""}


def test_an_assistant_turn_that_calls_keeps_its_null_content(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "user", "content": "Hi"}, call, {"role": "function", "name": "f", "content": "1"}]
    (found,) = queries(written(tmp_path, "a.jsonl", json.dumps({"messages": messages}) + "\n"))
    assert found[1] == call


def test_conversations_of_sharegpt_are_read(tmp_path: Path) -> None:
    turns = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello!", "weight": 1},
        {"from": "human", "value": "Why is the sky blue?"},
        {"from": "gpt", "value": "Rayleigh."},
    ]
    expected = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Why is the sky blue?"},
    ]
    rows = json.dumps({"id": "x", "conversations": turns}) + "\n"
    assert queries(written(tmp_path, "a.jsonl", rows)) == [expected]
    assert queries(written(tmp_path, "b.csv", f'conversations\n"{json.dumps(turns).replace(chr(34), chr(34) * 2)}"\n'))
    turns[1] = {"from": "narrator", "value": "Hi"}
    reason = only_reason(written(tmp_path, "c.jsonl", json.dumps({"conversations": turns}) + "\n"))
    assert "A turn is from 'narrator'; known are human" in reason
