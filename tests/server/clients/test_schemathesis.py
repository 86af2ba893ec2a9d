"""All that the OpenAPI document allows, and much that it does not: no failure of the server's own, nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
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
HI = [{"role": "user", "content": "Hi"}]
# A request to each route that is made up too seldom.
PLAIN: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": HI, "max_tokens": 9},
    "/v1/messages/count_tokens": {"messages": HI},
    "/v1/completions": {"prompt": "Hi"},
}
# What a gateway says when nothing answers behind it.
GATEWAY = {502, 503, 504}


def known(case: Any, stored: str | None) -> Any:
    """The case, naming a model or a response that is there where it names one: else most would end as 404."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL if len(case.body) % 3 else "small"
        if "previous_response_id" in case.body:
            case.body["previous_response_id"] = stored
    if "id" in (case.path_parameters or {}) and stored is not None:
        case.path_parameters["id"] = stored
    return case


def leaks(text: str) -> bool:
    """Whether an answer shows the inside of the server."""
    return any(sign in text for sign in ("Traceback", 'File "', "site-packages", ".py"))


def begun(served: Served) -> str:
    """The id of a response that is made in the background."""
    body = {"model": MODEL, "input": "Hi", "background": True}
    return str(httpx.post(f"{served.url}/responses", json=body).json()["id"])


def cases(served: Served, check: Callable[[Any, str], None], most: int, only: str = "") -> None:
    """Check what the server does about so many made-up requests to each of its routes."""
    description = schemathesis.openapi.from_url(f"{served.url.removesuffix('/v1')}/openapi.json")
    operations = [result.ok() for result in description.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        if only in operation.path:
            _cases(served, check, most, operation)


def _cases(served: Served, check: Callable[[Any, str], None], most: int, operation: Any) -> None:
    of_one = "{id}" in operation.path
    stored = begun(served) if of_one and operation.method != "delete" else None

    @given(case=operation.as_strategy())
    @settings(BOUNDED, max_examples=most)
    def one(case: Any) -> None:
        check(known(case, begun(served) if of_one and stored is None else stored), operation.label)

    one()
    if operation.path in PLAIN:
        check(operation.Case(body={"model": MODEL, **PLAIN[operation.path]}), operation.label)


def test_no_request_breaks_the_server_and_every_operation_succeeds(served: Served) -> None:
    succeeded: dict[str, bool] = {}

    def check(case: Any, label: str) -> None:
        response = case.call(timeout=20)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == 200 or not leaks(response.text)
        succeeded[label] = succeeded.get(label, False) or 200 <= response.status_code < 300

    cases(served, check, 20)
    assert len(succeeded) > 10 and [label for label, once in succeeded.items() if not once] == []


def test_without_a_policy_it_is_the_gateway_that_is_bad(deserted: Served) -> None:
    def check(case: Any, label: str) -> None:
        response = case.call(timeout=20)
        if response.status_code not in GATEWAY:
            case.validate_response(response, checks=CHECKS)
        assert response.status_code == 200 or not leaks(response.text)

    # Only what asks the policy.
    for path in ("/chat/completions", "/responses", "/messages", "/completions"):
        cases(deserted, check, 2, path)
