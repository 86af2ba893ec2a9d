"""A search whose candidates are all failures has no answer: exit 2 with the reason, and a failed row in a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import tpo
from models.server import Received, delta, models, response, serving, stream

Respond = Callable[[Received], bytes]


def always(content: str | None, finish: str = "stop", **more: Any) -> Respond:
    """A server whose every reply has that content, streamed or whole."""

    def respond(request: Received) -> bytes:
        if request.method == "GET":
            return models("m")
        if request.json.get("stream"):
            return stream(delta(content, **more), delta(None, finish=finish))
        message = {"role": "assistant", "content": content, **more}
        choices = [{"index": n, "message": message, "finish_reason": finish} for n in range(request.json.get("n") or 1)]
        return response(json.dumps({"choices": choices}))

    return respond


def out_of_order(request: Received) -> bytes:
    """A server that lists its model and fails at everything else, to be tried again at once."""
    if request.method == "GET":
        return models("m")
    return response('{"error": {"message": "out of order"}}', 500, Retry_After="0.01")


def gone(request: Received) -> bytes:
    """A server that lists its model, and then has nobody behind its gateway for an hour."""
    if request.method == "GET":
        return models("m")
    return response('{"error": {"message": "no upstream"}}', 503, Retry_After="3600")


SERVERS: dict[str, tuple[Respond, str]] = {
    "null": (always(None), "empty"),
    "nothing": (always(""), "empty"),
    "whitespace": (always(" \n\t "), "empty"),
    "reasoning only": (always(None, reasoning_content="Let me think."), "reasoning"),
    "filtered": (always(None, "content_filter"), "filter"),
    "500": (out_of_order, "out of order"),
}


@pytest.mark.parametrize("method", ["tpo", "sample"])
@pytest.mark.parametrize("kind", SERVERS)
async def test_align_without_an_answer_fails_with_the_reason(kind: str, method: str) -> None:
    respond, reason = SERVERS[kind]
    async with serving(respond) as server:
        ran = await tpo(
            *("align", "How?", "--policy", server.url, "--method", method, "--width", "2", "--depth", "1", "--quiet")
        )
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("tpo: error: ") and reason in line


@pytest.mark.parametrize("kind", SERVERS)
async def test_run_records_a_failed_row_with_the_reason(tmp_path: Path, kind: str) -> None:
    respond, reason = SERVERS[kind]
    (tmp_path / "queries.jsonl").write_text('{"prompt": "How?"}\n')
    async with serving(respond) as server:
        ran = await tpo(
            *("run", str(tmp_path / "queries.jsonl"), "--out", str(tmp_path / "run"), "--policy", server.url),
            *("--width", "2", "--depth", "1", "--patience", "0", "--quiet"),
        )
    assert ran.code == 3, ran.err
    (row,) = map(json.loads, (tmp_path / "run" / "answers.jsonl").read_text().splitlines())
    assert not row["answer"]
    assert reason in row["error"]
    assert "1 failed" in ran.out


async def test_a_deadline_while_the_server_is_gone_is_reported(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"prompt": "How?"}\n')
    run = ("run", str(tmp_path / "queries.jsonl"), "--out", str(tmp_path / "run"), "--patience", "60")
    async with serving(gone) as server:
        for command in (("align", "How?"), run):  # nobody is there for any query, so that the run cannot go on either
            ran = await tpo(*command, "--policy", server.url, "--budget-seconds", "0.5", "--quiet")
            assert (ran.code, ran.out) == (2, "")
            (line,) = ran.err.splitlines()
            assert "no upstream" in line
