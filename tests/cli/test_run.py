"""`tpo run` as a user meets it: a process of its own, real HTTP, stdout, stderr, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import answering, tpo
from models.server import Received, error, response, serving
from tpo.cli.progress import duration

ROWS = [{"id": f"q{number}", "prompt": f"Question {number}?"} for number in range(4)]
QUICK = ("--width", "2", "--depth", "1", "--seed", "1")


def whole(request: Received) -> bytes:
    """The answers of `answering` in one piece, as runs ask for them, with prices to count."""
    if request.path.endswith("/models"):
        return answering(request)
    text = f"Answer {request.json.get('seed', 0) % 97}."
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    details = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 50}}
    return response(json.dumps({"choices": [choice], "usage": details}))


def data(folder: Path, rows: list[dict[str, Any]] | None = None) -> str:
    lines = [json.dumps(row) for row in rows or ROWS]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    return "data.jsonl"


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "answers.jsonl").read_text().splitlines()]


async def test_a_run_writes_its_answers_and_prints_its_summary(tmp_path: Path) -> None:
    async with serving(whole) as server:
        command = ("run", data(tmp_path), "--out", "out", "--policy", server.url, *QUICK)
        ran = await tpo(*command, "--price", "policy=1/10/0.5", cwd=tmp_path)
        assert ran.code == 0
        assert "4 queries: 4 answered" in ran.out
        assert "50% of the prompt tokens came from the servers' caches" in ran.out
        # 24 calls, 100 prompt tokens each, half of them cached, and 10 completion tokens.
        assert f"cost {24 * (50 * 1 + 50 * 0.5 + 10 * 10) / 1e6:.4f}" in ran.out
        assert "4/4 queries, 0 open" in ran.err
        assert [body.get("stream") for body in server.bodies()] == [None] * 24
        again = await tpo(*command, "--quiet", "--json", cwd=tmp_path)
        assert (again.code, again.err) == (0, "")
        assert len(server.bodies()) == 24
    assert json.loads(again.out)["done"] == 4
    assert sorted(answer["id"] for answer in answers(tmp_path)) == ["q0", "q1", "q2", "q3"]


async def test_text_from_standard_input_is_kept_for_going_on(tmp_path: Path) -> None:
    async with serving(whole) as server:
        command = ("run", "-", "--out", "out", "--policy", server.url, *QUICK, "--quiet", "--json")
        ran = await tpo(*command, stdin=b"Why?\nHow?\n", cwd=tmp_path)
        assert (ran.code, json.loads(ran.out)["done"]) == (0, 2)
        again = await tpo(*command, stdin=b"", cwd=tmp_path)
        anew = await tpo(*command, "--fresh", stdin=b"Who?\n", cwd=tmp_path)
    assert (again.code, json.loads(again.out)["done"]) == (0, 2)
    assert anew.code == 0, anew.err
    assert json.loads(anew.out)["done"] == 1
    assert (tmp_path / "out" / "before-1" / "stdin.data").read_bytes() == b"Why?\nHow?\n"


async def test_failed_queries_show_in_the_exit_code_and_can_be_tried_again(tmp_path: Path) -> None:
    def refusing(request: Received) -> bytes:
        if b"Question 2?" in request.body:
            return error("this model does not discuss two", 400)
        return whole(request)

    async with serving(refusing) as server:
        command = ("run", data(tmp_path), "--out", "out", "--policy", server.url, *QUICK)
        ran = await tpo(*command, "--quiet", cwd=tmp_path)
    assert ran.code == 3
    assert "3 answered, 1 failed" in ran.out
    assert "does not discuss two" in ran.out
    (failed,) = [answer for answer in answers(tmp_path) if answer["error"]]
    assert failed["id"] == "q2"
    async with serving(whole) as server:
        command = ("run", "data.jsonl", "--out", "out", "--policy", server.url, *QUICK)
        ran = await tpo(*command, "--quiet", "--retry-failed", cwd=tmp_path)
        # The server has moved to another port, which is the same run.
        assert (ran.code, len(server.bodies())) == (0, 6)


async def test_what_a_search_of_the_same_query_and_seed_finds_is_what_the_run_finds(tmp_path: Path) -> None:
    async with serving(whole) as server:
        await tpo("run", data(tmp_path), "--out", "out", "--policy", server.url, *QUICK, "--quiet", cwd=tmp_path)
        ran = await tpo("align", "Question 1?", "--policy", server.url, *QUICK, "--quiet", cwd=tmp_path)
    (one,) = [answer for answer in answers(tmp_path) if answer["id"] == "q1"]
    assert ran.out == one["answer"] + "\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere.jsonl", "--out", "out"), "nowhere.jsonl"),
        (("bad.jsonl", "--out", "out"), "bad.jsonl, line 2"),
        (("data.jsonl", "--out", "data.jsonl"), "cannot be written"),
        (("data.jsonl", "--out", "out", "--concurrency", "0"), "concurrency is 0"),
        (("data.jsonl", "--out", "out", "--width", "0"), "width is 0"),
        (("data.jsonl", "--out", "out", "--quorum", "9"), "quorum is 9; it must be from 1 to the width"),
        (("data.jsonl", "--out", "out", "--extra", "[1]"), "--extra is '[1]'; a JSON object is expected"),
        (("data.jsonl", "--out", "out", "--extra", '{"seed": 1}'), "extra has seed, which tpo sets by itself"),
        (("data.jsonl", "--out", "out", "--price", "policy=cheap"), "'policy=cheap' is not understood"),
        (("data.jsonl", "--out", "out", "--column", "text"), "text"),
        (("data.jsonl", "--out", "out", "--policy", "http://127.0.0.1:9/v1"), "is the server running there?"),
        (("data.jsonl", "--out", "out", "--policy", ","), "The policy is ','"),
        (("data.jsonl", "--out", "out", "--reward", "nonsense"), "reward 'nonsense' is unknown"),
    ],
)
async def test_a_mistake_is_one_clear_line_and_no_call_is_made(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    data(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Why?"}\n{"prompt": 7}\n')
    async with serving(whole) as server:
        policy = () if "--policy" in arguments else ("--policy", server.url)
        ran = await tpo("run", *arguments, *policy, "--quiet", cwd=tmp_path)
        assert not server.bodies()
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert "Traceback" not in ran.err


def test_seconds_in_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 61, 3599, 3660, 90_000)] == [
        *("0 s", "59 s", "1 min 01 s", "59 min 59 s", "1 h 01 min", "25 h 00 min"),
    ]
