"""The main job on the real built-in model: in the process, and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import tpo
from tpo.engine.calls import TAG_TOKENS
from tpo.models.embedded import EmbeddedServer

pytestmark = pytest.mark.embedded

RUN = (
    *("align", "How do I take care of a wooden table?"),
    *("--max-tokens", "16", "--critic-max-tokens", "16", "--seed", "7"),
)
D2_N5 = ("--width", "5", "--depth", "2")
# Enough to see that it repeats, at a third of the time.
D1_N3 = ("--width", "3", "--depth", "1")


def whole(result: dict[str, Any], width: int, depth: int) -> None:
    """A complete run: all answers scored, both critiques of each step there, every token accounted for."""
    assert [len(step["candidates"]) for step in result["steps"]] == [width] * (depth + 1)
    assert [bool(step["loss"] and step["gradient"]) for step in result["steps"]] == [False] + [True] * depth
    candidates = {c["id"]: c for step in result["steps"] for c in step["candidates"]}
    assert all(c["error"] is None and c["reward"] is not None for c in candidates.values() if c["text"])
    assert result["reward"] == max(c["reward"] for c in candidates.values() if c["reward"] is not None)
    assert result["answer"] == candidates[result["chosen"]]["text"]
    assert result["stop"] == "depth"
    usage = result["usage"]
    drawn = [[c["tokens"] for c in step["candidates"]] for step in result["steps"]]
    assert usage["policy"]["completion_tokens"] == sum(drawn[0])
    assert usage["editor"]["completion_tokens"] == sum(map(sum, drawn[1:]))
    assert all(1 <= tokens <= 16 for tokens in drawn[0])
    # An update has room for its tags.
    assert all(1 <= tokens <= 16 + TAG_TOKENS for step in drawn[1:] for tokens in step)
    assert (usage["policy"]["calls"], usage["critic"]["calls"], usage["editor"]["calls"]) == (1, 2 * depth, depth)


async def test_a_run_in_the_process_repeats_and_replays(tmp_path: Path) -> None:
    first = await tpo(*RUN, *D1_N3, "--json", "--quiet", "--trace", str(tmp_path / "trace.jsonl"))
    assert first.code == 0, first.err
    result = json.loads(first.out)
    whole(result, 3, 1)
    again = json.loads((await tpo(*RUN, *D1_N3, "--json", "--quiet")).out)
    assert again["answer"] == result["answer"]
    assert again["steps"] == result["steps"]
    replayed = await tpo("replay", str(tmp_path / "trace.jsonl"), "--json")
    assert json.loads(replayed.out) == result


async def test_the_papers_width_and_depth_over_http(embedded_server: EmbeddedServer) -> None:
    served = ("--policy", embedded_server.url)
    ran = await tpo(*RUN, *D2_N5, "--json", "--quiet", *served, TPO_API_KEY=embedded_server.api_key)
    assert ran.code == 0, ran.err
    whole(json.loads(ran.out), 5, 2)


async def test_a_wrong_key_is_one_clear_line(embedded_server: EmbeddedServer) -> None:
    ran = await tpo(*RUN, "--policy", embedded_server.url, TPO_API_KEY="wrong")
    assert ran.code == 2
    assert "refused the key" in ran.err
    assert "TPO_API_KEY" in ran.err


async def test_a_prompt_that_does_not_fit_is_an_error(embedded_server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("hello " * 9000)
    ran = await tpo(
        *("align", "--file", str(tmp_path / "long.txt"), "--method", "sample", "--policy", embedded_server.url),
        TPO_API_KEY=embedded_server.api_key,
    )
    assert ran.code == 2
    assert "9031 tokens" in ran.err
    assert "8192" in ran.err


async def test_checking_the_built_in_model(embedded_server: EmbeddedServer) -> None:
    ran = await tpo("check", "--policy", embedded_server.url, "--json", TPO_API_KEY=embedded_server.api_key)
    assert ran.code == 0, ran.out
    findings = {f["what"]: f for f in json.loads(ran.out)["reports"][0]["findings"]}
    assert findings["seeds"]["state"] == "ok"
    assert findings["choices per request"]["said"] == "2 for n=2"
    assert "8192" in findings["context"]["said"]
    assert findings["logprobs"]["said"] == "offered"
