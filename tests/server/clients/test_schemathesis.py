"""All that the OpenAPI document allows, and much that it does not: no failure of the server's own, nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from server.clients.kit import MODEL, Served

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
BOUNDED = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
# What a gateway says when nothing answers behind it.
GATEWAY = {502, 503, 504}


def known(case: Any) -> Any:
    """The case, asking for a model that is there where it asks for one: else most would end as 404."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL if len(case.body) % 3 else "small"
    return case


def leaks(text: str) -> bool:
    """Whether an answer shows the inside of the server."""
    return any(sign in text for sign in ("Traceback", 'File "', "site-packages", ".py"))


def cases(served: Served, check: Callable[[Any], None], most: int) -> None:
    """Check what the server does about so many made-up requests to each of its routes."""
    description = schemathesis.openapi.from_url(f"{served.url.removesuffix('/v1')}/openapi.json")
    operations = [result.ok() for result in description.get_all_operations()]
    assert len(operations) > 6
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(BOUNDED, max_examples=most)
        def one(case: Any) -> None:
            check(known(case))

        one()


def test_no_request_breaks_the_server(served: Served) -> None:
    def check(case: Any) -> None:
        response = case.call(timeout=20)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == 200 or not leaks(response.text)

    cases(served, check, 40)


def test_without_a_policy_it_is_the_gateway_that_is_bad(deserted: Served) -> None:
    def check(case: Any) -> None:
        response = case.call(timeout=20)
        if response.status_code not in GATEWAY:
            case.validate_response(response, checks=CHECKS)
        assert response.status_code == 200 or not leaks(response.text)

    cases(deserted, check, 5)  # it is tried several times before it is given up
