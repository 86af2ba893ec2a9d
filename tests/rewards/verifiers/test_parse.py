"""Specs of verifiers, and references found by query."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rewards.verifiers.kit import scored
from tpo.errors import InputError, RewardError
from tpo.messages import QUERY_COLUMNS, answered, question
from tpo.rewards.verifiers.exact import Accepted, Exact
from tpo.rewards.verifiers.parse import KINDS, parse_verifier
from tpo.rewards.verifiers.references import References
from tpo.runs.reading.data import query_of

LIBRARIES = all(importlib.util.find_spec(name) for name in ("math_verify", "jsonschema"))
needs_libraries = pytest.mark.skipif(not LIBRARIES, reason="pip install 'tpo[verifiers]'")

Writer = Callable[[str, object], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    monkeypatch.chdir(tmp_path)

    def written(name: str, content: object) -> Path:
        lines = [json.dumps(row) for row in content] if isinstance(content, list) else [str(content)]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
        return tmp_path / name

    return written


def test_values_are_unquoted_but_a_plus_stays() -> None:
    reward = parse_verifier("exact?answer=C%2B+ 100%25 %26 a=b?&take=whole")
    assert scored(reward, "c++ 100% & A=B?").value == 1.0
    assert scored(parse_verifier(r"regex?pattern=^\d+$"), "123").value == 1.0


@needs_libraries
def test_every_example_that_needs_no_file() -> None:
    for kind in KINDS.values():
        if "file=" not in kind.example:
            assert parse_verifier(kind.example.removeprefix("verifier:")).name.startswith("verifier:")


@needs_libraries
def test_files(write: Writer) -> None:
    write("refs.jsonl", [{"question": "6 times 7?", "answer": 42}, {"question": "Half?", "answer": ["1/2", "0.5"]}])
    reward = parse_verifier("math?file=refs.jsonl&field=answer")
    assert scored(reward, "It is 42.0", " 6  times 7?").value == 1.0
    assert scored(reward, "42", "Half?").value == 0.0
    write("schema.json", '{"type": "array"}')
    assert scored(parse_verifier("json-schema?file=schema.json"), "[]").value == 1.0
    write("schemas.jsonl", [{"query": "List?", "schema": {"type": "array"}}])
    assert scored(parse_verifier("json-schema?file=schemas.jsonl"), "{}", "List?").value == 0.5


def test_files_without_libraries(write: Writer) -> None:
    write("refs.jsonl", [{"text": "Capital?", "right": "Paris", "pattern": "^P"}])
    assert scored(parse_verifier("exact?file=refs.jsonl&field=right&query=text"), "Paris", "Capital?").value == 1.0
    assert scored(parse_verifier("regex?file=refs.jsonl&query=text"), "Rome", "Capital?").value == 0.0
    row = {"prompt": "Say a.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    write("data.jsonl", [row])
    assert scored(parse_verifier("ifeval?file=data.jsonl"), "a, b", "Say a.").value == 0.0
    assert scored(parse_verifier("ifeval?file=data.jsonl&mode=loose"), "a, b\nc", "Say a.").value == 1.0


@pytest.mark.filterwarnings("ignore:.*on this system the code can")
@pytest.mark.skipif(sys.platform == "win32", reason="code cannot be confined on this system")
def test_code_must_be_allowed(write: Writer) -> None:
    write("tests.py", "assert x == 1")
    for spec in ("code?file=tests.py", "code?file=tests.py&allow_code=false"):
        with pytest.raises(InputError, match="add allow_code=true"):
            parse_verifier(spec)
    assert scored(parse_verifier("code?file=tests.py&allow_code=true"), "```\nx = 1\n```").value == 1.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("maths?answer=1", "Did you mean verifier:math?"),
        ("", "Known ones look like this: verifier:exact"),
        ("exact", "one of answer, file is needed, and none is given"),
        ("exact?answer=", "none is given"),
        ("exact?answer=1&file=a", "answer and file are given"),
        ("exact?anser=1", "Did you mean answer?"),
        ("exact?answer=1&answer=2", "option answer is given twice"),
        ("exact?answer=1&reveal=maybe", "reveal is 'maybe'; it must be true or false"),
        ("exact?answer=1&take=last", "auto, last-line"),
        ("math?answer=1&seconds=-1", "seconds is '-1'; a number above zero"),
        ("regex?pattern=(", "no regular expression"),
        ("ifeval?file=missing.jsonl", "missing.jsonl cannot be read: No such file"),
        ("ifeval?file=refs.json", "near: refs.jsonl"),
        ("exact?file=refs.jsonl", "line 1: no field 'answer'; it has question, wrong"),
        ("exact?file=refs.jsonl&query=prompt", "no field 'prompt'"),
        ("exact?file=bad.jsonl", "bad.jsonl, line 2: no JSON"),
        ("exact?file=list.jsonl", "list.jsonl, line 1: no JSON object"),
        ("exact?file=twice.jsonl", "line 2: the same query stands in an earlier line with another reference"),
        ("exact?file=empty.jsonl", "no queries in empty.jsonl"),
        ("exact?file=odd.jsonl", "no query among its fields"),
    ],
)
def test_bad_specs_name_what_is_wrong(write: Writer, spec: str, words: str) -> None:
    write("refs.jsonl", [{"question": "a", "wrong": "b"}])
    write("bad.jsonl", '{"question": "a", "answer": "b"}\n{')
    write("list.jsonl", "[1]")
    write("twice.jsonl", [{"question": "a", "answer": "b"}, {"question": "a ", "answer": "c"}])
    write("empty.jsonl", "\n")
    write("odd.jsonl", [{"a": "b"}])
    if spec.startswith("math") and not LIBRARIES:
        pytest.skip("pip install 'tpo[verifiers]'")
    with pytest.raises(InputError) as raised:
        parse_verifier(spec)
    assert words in str(raised.value)


def test_a_query_without_a_reference_is_an_error_that_names_it() -> None:
    table: References[Accepted] = References({"What is the capital of France?": ("Paris",)})
    with pytest.raises(RewardError) as raised:
        scored(Exact(table), "Paris", "What is the capital of Franc?")
    assert "'What is the capital of Franc?' has no reference" in str(raised.value)
    assert "nearest query there is 'What is the capital of France?'" in str(raised.value)


def test_the_last_user_message_is_the_query() -> None:
    table: References[Accepted] = References({"Second?": ("2",)})
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Second?"},
    ]
    assert table.find(answered(chat, "2")) == ("2",)


def test_names_distinguish_references_and_options_and_do_not_reveal_the_answer() -> None:
    rewards = [Exact("Paris"), Exact("Rome"), Exact("Paris", "whole"), Exact("Paris", reveal=True)]
    names = [reward.name for reward in rewards]
    assert len(set(names)) == 4
    assert names[0] == Exact("Paris").name
    assert names[0].startswith("verifier:exact@2(take=auto, references=")
    assert not any("Paris" in name for name in names)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = "{'math_verify', 'sympy', 'jsonschema', 'tpo.rewards.verifiers.sandbox'}"
    code = f"import sys, tpo.rewards.verifiers.parse; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("column", QUERY_COLUMNS)
def test_a_row_that_a_run_reads_is_a_reference_too(write: Writer, column: str) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital?"}]
    turns = [{"from": "human", "value": "Capital?"}]
    row = {column: {"messages": messages, "conversations": turns}.get(column, "Capital?"), "answer": "Paris"}
    write("refs.jsonl", [row])
    assert scored(parse_verifier("exact?file=refs.jsonl"), "Paris", question(query_of(row, None))).value == 1.0


def test_the_two_columns_of_alpaca_are_one_query(write: Writer) -> None:
    row = {"instruction": "Add.", "input": "1 and 2", "answer": "3"}
    write("refs.jsonl", [row])
    assert scored(parse_verifier("exact?file=refs.jsonl"), "3", question(query_of(row, None))).value == 1.0


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_line_separators_inside_a_query_end_no_line(write: Writer, separator: str) -> None:
    query = f"Write a poem.{separator}Use no commas."
    rows = [{"prompt": query, "answer": "3"}, {"prompt": "Other?", "answer": "4"}]
    write("refs.jsonl", "".join(f"{json.dumps(row, ensure_ascii=False)}\r\n" for row in rows))
    assert scored(parse_verifier("exact?file=refs.jsonl"), "3", query).value == 1.0
