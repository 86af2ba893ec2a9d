"""Checking JSON against a schema with jsonschema; runs in a `Worker`, since a pattern may search for ever."""

from __future__ import annotations

import json
from typing import Any

from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

_SHOWN = 5


def faults(request: dict[str, Any]) -> dict[str, Any]:
    """What in a text breaks a schema.

    Args:
        request: "text" is JSON, "schema" a valid JSON Schema (https://json-schema.org/specification).

    Returns:
        "faults", up to five in words with their paths; "total", how many there are; "unresolved", a reference
        that leads out of the schema, or None.
    """
    schema = request["schema"]
    checker = validator_for(schema)
    # The registry that jsonschema would use by itself fetches what it does not know from the network.
    validator = checker(schema, registry=REGISTRY, format_checker=checker.FORMAT_CHECKER)
    try:
        found = sorted(validator.iter_errors(json.loads(request["text"])), key=lambda error: error.json_path)
    except Unresolvable as error:
        return {"faults": [], "total": 0, "unresolved": str(error)}
    except (ValueError, ArithmeticError, RecursionError):
        return {"faults": ["it cannot be checked: too deep or too large a number"], "total": 1, "unresolved": None}
    return {"faults": [_words(error) for error in found[:_SHOWN]], "total": len(found), "unresolved": None}


def _words(error: ValidationError) -> str:
    # Of an anyOf or oneOf, the fault of the nearest alternative helps more than that none fits.
    error = best_match([error]) or error
    message = " ".join(error.message.split())
    return f"{error.json_path}: {message if len(message) <= 200 else message[:199] + '…'}"
