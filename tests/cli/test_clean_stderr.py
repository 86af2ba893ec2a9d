"""Every command closes what it opened: stderr holds nothing that tpo did not write."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from models.server import Received, delta, models, response, serving, stream
from programs import program
from rewards.served.kit import CHATML, ok

PAIR = {"prompt": "How?", "chosen": "So it is, as you see.", "rejected": "No."}
REWARDS = {
    "http": "http:{}/score",
    "vllm": "vllm:{}",
    "vllm tokens": "vllm:{}?task=token_classify",
    "sglang": f"sglang:{{}}?template={CHATML}",
    "tei": "tei:{}",
    "tei rerank": "tei:{}?form=rerank",
    "llamacpp": "llamacpp:{}",
    "nim": "nim:{}",
    "judge": "judge:{}",
    "judge pairwise": "judge:{}?kind=pairwise",
    "judge listwise": "judge:{}?kind=listwise",
}
# One of each class, for the commands that open a reward just as others do.
ONE_OF_EACH = ("http", "vllm", "judge", "judge pairwise")
COMMANDS = ("align", "run", "check", "check pairs", "eval", "eval judge")
# Everything that `align` and `run` print on stderr where it is no terminal.
PRINTED = re.compile(
    r"tpo: .+|tpo \(width \d+, depth \d+\) with .+|step \d+: .+|ended \(\w+\): .+|starting|\d+/\d+ queries.*"
)


def policy(request: Received) -> bytes:
    """A model that answers, streamed or whole."""
    if request.method == "GET":
        return models("m")
    text = f"Answer {request.json.get('seed', 0) % 97}."
    if request.json.get("stream"):
        return stream(delta(text), delta(None, finish="stop"))
    count = range(request.json.get("n") or 1)
    message = {"role": "assistant", "content": text}
    return ok({"choices": [{"index": n, "message": message, "finish_reason": "stop"} for n in count]})


def reward(request: Received) -> bytes:
    """A server that scores by length in every protocol that tpo knows."""
    path = request.path.rpartition("/")[2]
    if path == "info":
        return ok({"model_id": "m", "model_type": {"classifier": {}}, "max_client_batch_size": 32})
    if request.method == "GET":
        return models("rm", owned_by="vllm")
    body = request.json
    match path:
        case "classify" if "text" in body:
            return ok([{"embedding": [float(len(text))]} for text in body["text"]])
        case "classify":
            length = float(len(body["messages"][-1]["content"]))
            return ok({"data": [{"index": 0, "probs": [length], "num_classes": 1}]})
        case "pooling":
            return ok({"data": [{"index": 0, "data": [[float(len(body["messages"][-1]["content"]))]]}]})
        case "predict":
            return ok([[{"label": "LABEL_0", "score": float(len(texts[-1]))}] for texts in body["inputs"]])
        case "rerank":
            found = [(n, float(len(text))) for n, text in enumerate(body.get("texts") or body["documents"])]
            if "texts" in body:
                return ok([{"index": n, "score": score} for n, score in found])
            return ok({"results": [{"index": n, "relevance_score": score} for n, score in found]})
        case "completions":
            message = {"role": "assistant", "content": "7"}
            return ok({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return ok({"scores": [float(len(talk[-1]["content"])) for talk in body["conversations"]]})


async def tpo(*arguments: str) -> tuple[int | None, str, str]:
    """Run the command line with every unclosed resource reported: its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(*program(), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
    )
    out, error = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), error.decode()


def command(name: str, folder: Path, policy_url: str, scored_by: str) -> list[str]:
    pairs, queries, data = folder / "pairs.jsonl", folder / "queries.jsonl", folder / "data" / "beavertails"
    pairs.write_text(json.dumps(PAIR) + "\n")
    queries.write_text('{"prompt": "How?"}\n{"prompt": "Why?"}\n')
    data.mkdir(parents=True)
    (data / "test.jsonl").write_text('{"prompt": "Harm?", "category": "violence"}\n')
    policy, steered = ["--policy", policy_url], ["--reward", scored_by]
    search = [*policy, *steered, "--width", "2", "--depth", "1"]
    return {
        "align": ["align", "How?", *search],
        "run": ["run", str(queries), "--out", str(folder / "run"), *search],
        "check": ["check", *policy, *steered],
        "check pairs": ["check", *steered, "--pairs", str(pairs)],
        "eval": [
            *("eval", "beavertails", "--data", str(folder / "data"), "--out", str(folder / "eval"), *search),
            *("--method", "best-of-n", *([] if "kind=" in scored_by else ["--held-out", scored_by])),
        ],
        "eval judge": ["eval", "judge", str(pairs), *steered],
    }[name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in COMMANDS for kind in (REWARDS if name in ("align", "eval judge") else ONE_OF_EACH)],
)
async def test_a_served_reward_is_closed(tmp_path: Path, name: str, kind: str) -> None:
    async with serving(policy) as model, serving(reward) as scorer:
        arguments = command(name, tmp_path, model.url, REWARDS[kind].format(scorer.url))
        # The verdict of the fake judge is no verdict on a pair, and `eval judge` prints that.
        loud = (kind == "http" and name in ("align", "run")) or (name == "eval judge" and "kind=" in REWARDS[kind])
        quiet = ["--quiet"] if name in ("align", "run", "eval") and not loud else []
        code, out, error = await tpo(*arguments, *quiet, *(["--no-check"] if name in ("align", "run", "eval") else []))
    assert not [line for line in error.splitlines() if not (loud and PRINTED.fullmatch(line))], out
    assert code in ((0, 2) if name == "check" else (0,)), out
    assert out.strip()


async def test_a_judge_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mt_bench"
    folder.mkdir(parents=True)
    (folder / "question.jsonl").write_text('{"question_id": 1, "category": "writing", "turns": ["A?", "B?"]}\n')
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps(PAIR) + "\n")
    async with serving(policy) as model, serving(reward) as judge:
        code, out, error = await tpo(
            *("eval", "mt_bench", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "eval"), "--quiet"),
            *("--policy", model.url, "--method", "sample", "--judge", judge.url),
        )
        assert (code, error) == (0, ""), out
        code, out, error = await tpo("eval", "judge", str(pairs), "--judge", judge.url)
    assert code == 0, out
    assert error.splitlines()[0] == "tpo: pairs.jsonl: 1 pairs, in both orders"
    assert all(line.startswith("tpo: ") for line in error.splitlines())


@pytest.mark.parametrize("name", ["check", "check pairs", "eval judge", "align", "run", "eval"])
async def test_a_reward_that_fails_is_closed_too(tmp_path: Path, name: str) -> None:
    async with serving(policy) as model, serving(lambda request: response("{}", 401)) as scorer:
        code, out, error = await tpo(*command(name, tmp_path, model.url, f"vllm:{scorer.url}"))
    assert code == 2
    assert out or error
    assert all(line.startswith("tpo: ") for line in error.splitlines())
