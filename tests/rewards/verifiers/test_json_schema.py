"""`verifier:json-schema`: JSON or not, faults with their paths, schemas that misbehave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("jsonschema", reason="jsonschema is not installed (pip install 'tpo[verifiers]')")

from rewards.verifiers.kit import scored
from tpo.candidate import Candidate
from tpo.errors import InputError, RewardError
from tpo.methods.unmet import unmet
from tpo.rewards.verifiers.json_schema import JsonSchema

SCHEMA = {
    "type": "object",
    "required": ["name", "age"],
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    },
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def reward() -> JsonSchema:
    return JsonSchema(SCHEMA)


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "a", "age": 1}',
        '```json\n{"name": "a", "age": 1, "tags": ["x", 2]}\n```',
        '```\n{"name": "a", "age": 1, "born": "1990-02-28"}```',
    ],
)
def test_kept(reward: JsonSchema, answer: str) -> None:
    score = scored(reward, answer)
    assert (score.value, score.parts) == (1.0, {"json": 1.0, "schema": 1.0})
    assert score.feedback == "the JSON keeps the schema"
    assert unmet(Candidate("0.0", 0, answer, feedback=score.feedback)) == ""


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"name": "a"}', "$: 'age' is a required property"),
        ('{"name": 1, "age": 1}', "$.name: 1 is not of type 'string'"),
        ('{"name": "a", "age": -1}', "$.age: -1 is less than the minimum of 0"),
        ('{"name": "a", "age": 1, "x": 2}', "$: Additional properties are not allowed ('x' was unexpected)"),
        ('{"name": "a", "age": 1, "tags": ["x", null]}', "$.tags[1]: None is not"),
        ('{"name": "a", "age": 1, "born": "soon"}', "$.born: 'soon' is not a 'date'"),
        ("[]", "$: [] is not of type 'object'"),
        ('```json\n```\n{"a": 1}\n```\n```', "the answer is no JSON"),
    ],
)
def test_broken(reward: JsonSchema, answer: str, fault: str) -> None:
    score = scored(reward, answer)
    assert fault in str(score.feedback)
    assert score.parts["schema"] == 0.0
    assert score.value == score.parts["json"] / 2


@pytest.mark.parametrize("answer", ["", "Here: {}", '{"a": 1,}', "[NaN]", "[" * 100_000, "9" * 10_000])
def test_no_json(reward: JsonSchema, answer: str) -> None:
    score = scored(reward, answer)
    assert score.value == 0.0
    assert str(score.feedback).startswith("the answer is ")


@pytest.mark.parametrize("answer", ['{"x": 1e400}', '{"x": 1' + "0" * 400 + "}", '{"r": "a{99999999999999999999}"}'])
def test_numbers_beyond_all_floats_break_a_schema_and_end_nothing(answer: str) -> None:
    fields = {"x": {"multipleOf": 0.01}, "r": {"format": "regex"}}
    score = scored(JsonSchema({"properties": fields}), answer)
    assert (score.value, score.parts["schema"]) == (0.5, 0.0)
    assert "it cannot be checked: too deep or too large a number" in str(score.feedback)


def test_only_the_first_faults_are_reported(reward: JsonSchema) -> None:
    answer = json.dumps({"name": "a", "age": 1, "tags": [None] * 9})
    feedback = str(scored(reward, answer).feedback)
    assert feedback.count("$.tags") == 5
    assert feedback.endswith("; and 4 more")


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps)))
def test_no_text_breaks_it(reward: JsonSchema, text: str) -> None:
    assert reward.check(text, SCHEMA).value in (0.0, 0.5)


def test_a_costly_pattern_is_stopped_and_the_next_answer_is_judged() -> None:
    reward = JsonSchema({"type": "string", "pattern": "^(a|aa)+$"}, seconds=1.0)
    score = scored(reward, json.dumps("a" * 200 + "!"))
    assert "could not be checked in time" in str(score.feedback)
    assert scored(reward, '"aaa"').value == 1.0


@pytest.mark.parametrize("schema", [{"type": "objekt"}, "text", 3, {"minimum": "a"}])
def test_a_schema_that_is_none_is_an_error(schema: object) -> None:
    with pytest.raises(InputError, match=r"no valid JSON schema: \$"):
        JsonSchema(schema)  # type: ignore[arg-type]


def test_nothing_is_fetched() -> None:
    reward = JsonSchema({"$ref": "http://localhost:9/schema.json"})
    with pytest.raises(RewardError, match=r"outside itself .*put it under \$defs"):
        scored(reward, "{}")
    assert scored(JsonSchema({"$ref": "https://json-schema.org/draft/2020-12/schema"}), "{}").value == 1.0
