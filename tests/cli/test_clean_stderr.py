"""What a command opened it closes: stderr holds nothing that tpo did not write."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from models.server import Received, models, response, serving

PAIR = {"prompt": "How?", "chosen": "So it is, as you see.", "rejected": "No."}


def respond(request: Received) -> bytes:
    if request.method == "GET":
        return models("rm", owned_by="vllm")
    if request.path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": "7"}
        return response(json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))
    body = request.json
    if request.path.endswith("/classify"):
        probs = [float(len(body["messages"][-1]["content"]))]
        return response(json.dumps({"data": [{"index": 0, "probs": probs, "num_classes": 1}]}))
    scores = [float(len(talk[-1]["content"])) for talk in body["conversations"]]
    return response(json.dumps({"scores": scores}))


@pytest.mark.parametrize("kind", ["http:", "vllm:", "judge:"])
@pytest.mark.parametrize("command", ["check", "check pairs", "eval judge"])
async def test_a_served_reward_is_closed(tmp_path: Path, kind: str, command: str) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps(PAIR) + "\n")
    async with serving(respond) as server:
        reward = ["--reward", f"{kind}{server.url}"]
        arguments = {
            "check": ["check", "--policy", "none", *reward],
            "check pairs": ["check", *reward, "--pairs", str(pairs)],
            "eval judge": ["eval", "judge", str(pairs), *reward],
        }[command]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error::ResourceWarning", "-m", "tpo", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
    assert error.decode() == "", out.decode()
    assert process.returncode in (0, 2)
    assert out
