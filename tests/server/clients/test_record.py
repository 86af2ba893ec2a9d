"""The record of clients and features: what it names is there, and a feature with a failed test is none."""

from __future__ import annotations

import json

from server.clients.record import FEATURES, RECORD, entries, js_feature, unknown


def test_the_record_names_tests_that_are_there() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert unknown(record) == [], "`make test-clients` makes it anew"
    assert {feature for entry in record.values() for feature in entry["features"]} == set(FEATURES)
    assert all(entry["versions"] for entry in record.values())


def test_a_test_that_is_gone_is_seen() -> None:
    gone = {"OpenAI, Python": {"features": {"chat": ["test_openai_python.py::test_gone"]}}}
    assert unknown(gone) == ["OpenAI, Python, chat: test_openai_python.py::test_gone"]
    other = {"LangChain": {"features": {"chat": ["test_openai_python.py::test_chat"]}}}
    assert unknown(other) == ["LangChain, chat: test_openai_python.py::test_chat"]


def test_a_feature_is_recorded_when_all_its_tests_passed() -> None:
    client = "OpenAI, Python"
    made = entries([(client, "chat", "a", True), (client, "chat", "b", False), (client, "stream", "c", True)])
    assert made[client]["features"] == {"stream": ["c"]}


def test_tests_for_javascript_say_whose_feature_they_show() -> None:
    assert js_feature("openai", "chat, as a response") == ("OpenAI, JavaScript", "chat")
    vercel = js_feature("vercel", "@ai-sdk/openai, responses: tools over several steps")
    assert vercel == ("Vercel AI, @ai-sdk/openai", "tools")
    assert js_feature("openai", "errors") is None
