"""`verifier:json-schema`: the answer is JSON that keeps a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TypeAlias

from tpo.errors import InputError, RewardError
from tpo.rewards.protocol import Score
from tpo.rewards.rules import parse_rule
from tpo.rewards.verifiers.answers import clipped, unfenced
from tpo.rewards.verifiers.references import References
from tpo.rewards.verifiers.verifier import Verifier
from tpo.rewards.verifiers.worker import Worker, WorkerStopped

Schema: TypeAlias = Mapping[str, Any] | bool


class JsonSchema(Verifier[Schema]):
    """Whether an answer is JSON and nothing else (one fence around it is fine), and keeps a schema.

    The value is 0 for no JSON, 0.5 for JSON that breaks the schema, 1 for JSON that keeps it. Formats such as
    "date" are checked where jsonschema can; a `$ref` out of the schema is never fetched.

    Args:
        schema: a JSON Schema (https://json-schema.org/specification) of any draft, or one for each query.
        seconds: how long one check may take; an answer that takes longer breaks the schema.

    Raises:
        InputError: jsonschema is not installed, or a schema is none.
    """

    def __init__(self, schema: Schema | References[Schema], *, seconds: float = 5.0) -> None:
        needed()
        references: References[Schema] = schema if isinstance(schema, References) else References.one(_valid(schema))
        super().__init__("json-schema", references)
        self._json = parse_rule("json")
        self._worker = Worker("tpo.rewards.verifiers.schema_task:faults", seconds)

    def check(self, answer: str, reference: Schema) -> Score:
        """Check one answer."""
        body = unfenced(answer)
        # The rule would take off another fence.
        fault = (
            "the answer is no JSON: it has a fence in a fence" if body.startswith("```") else self._json.broken(body)
        )
        if fault:
            return Score(0.0, {"json": 0.0, "schema": 0.0}, fault, {"json": fault})
        faults = self._faults(body, reference)
        if not faults:
            return Score(1.0, {"json": 1.0, "schema": 1.0}, "the JSON keeps the schema")
        missing = {f"schema ({number})": one for number, one in enumerate(faults, 1)}
        return Score(0.5, {"json": 1.0, "schema": 0.0}, f"the JSON breaks the schema; {'; '.join(faults)}", missing)

    def _faults(self, text: str, schema: Schema) -> list[str]:
        try:
            verdict = self._worker({"text": text, "schema": schema})
        except WorkerStopped:
            return ["it could not be checked in time: it is too large, or a pattern too costly"]
        if verdict["unresolved"]:
            raise RewardError(
                f"The JSON schema refers to something outside itself ({clipped(verdict['unresolved'])}): "
                "put it under $defs of the same schema."
            )
        more = verdict["total"] - len(verdict["faults"])
        return [*verdict["faults"], *([f"and {more} more"] if more > 0 else [])]


def needed() -> None:
    """Make sure that jsonschema is installed.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("jsonschema") is None:
        raise InputError("verifier:json-schema needs the package jsonschema: pip install 'tpo[verifiers]'.")


def schema_of(value: Any) -> Schema:
    """A schema from a file.

    Raises:
        ValueError: it is no valid JSON Schema.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(value if isinstance(value, Mapping) else {}).check_schema(value)
    except (SchemaError, RecursionError) as error:
        where = getattr(error, "json_path", "$")
        raise ValueError(f"no valid JSON schema: {where}: {clipped(getattr(error, 'message', str(error)))}") from error
    schema: Schema = value
    return schema


def _valid(schema: Any) -> Schema:
    try:
        return schema_of(schema)
    except ValueError as error:
        raise InputError(f"The JSON schema cannot be used: {error}.") from error
