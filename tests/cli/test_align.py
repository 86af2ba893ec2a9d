"""`tpo align` as a user meets it: a process of its own, real HTTP, stdout, stderr and exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from models.server import Received, delta, error, models, response, serving, stream
from programs import program

# Seconds after which a command counts as hanging.
LONGEST = 300.0
USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}


class Ran(NamedTuple):
    code: int
    out: str
    err: str


async def tpo(*arguments: str, stdin: bytes = b"", cwd: Path | None = None, **environment: str) -> Ran:
    """Run the command line."""
    process = await asyncio.create_subprocess_exec(
        *program(),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "300", **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), LONGEST)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def answering(request: Received) -> bytes:
    """A server whose answers differ, and whose critic and editor keep the format."""
    if request.path.endswith("/models"):
        return models("m")
    asked = request.json["messages"][-1]["content"]
    if "<improved_answer>" in asked:
        return reply(f"<improved_answer>Better {request.json['seed'] % 97}.</improved_answer>")
    if "short instructions" in asked or "Explain in two or three" in asked:
        return reply("Say more.")
    return reply(f"Answer {request.json.get('seed', 0) % 97}.")


def reply(text: str) -> bytes:
    return stream(delta(text), delta(None, finish="stop"), USAGE)


async def test_the_answer_alone_goes_to_stdout() -> None:
    async with serving(answering) as server:
        ran = await tpo("align", "How?", "--policy", server.url, "--seed", "1", "--method", "best-of-n")
    assert ran.code == 0
    assert ran.out.startswith("Answer ")
    assert ran.out.count("\n") == 1
    assert "demonstration" in ran.err
    assert "step 0: 0.4 reward" in ran.err


async def test_json_is_one_object_of_the_documented_shape_and_replay_gives_it_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    async with serving(answering) as server:
        ran = await tpo(
            *("align", "How?", "--policy", server.url, "--seed", "1", "--width", "3", "--depth", "2"),
            *("--json", "--quiet", "--trace", str(trace)),
        )
        calls = len(server.received)
    assert (ran.code, ran.err) == (0, "")
    result = json.loads(ran.out)
    assert calls == 1 + 3 + 2 * (2 + 3)
    assert {"answer", "reward", "method", "width", "depth", "stop", "steps", "usage", "seconds"} <= result.keys()
    assert [len(step["candidates"]) for step in result["steps"]] == [3, 3, 3]
    assert {"id", "text", "reward", "finish_reason", "tokens", "error"} <= result["steps"][0]["candidates"][0].keys()
    assert {"step", "loss", "gradient", "chosen", "rejected", "candidates"} == result["steps"][0].keys()
    assert result["usage"].keys() == {"policy", "critic", "editor", "reward"}
    for role, made in (("policy", 3), ("critic", 4), ("editor", 6)):
        counts = result["usage"][role]
        assert (counts["calls"], counts["prompt_tokens"], counts["completion_tokens"]) == (made, 9 * made, 3 * made)
        assert counts.keys() >= {"cached_tokens", "seconds"}
    again = await tpo("replay", str(trace), "--json")
    assert json.loads(again.out) == result
    assert (await tpo("replay", str(trace))).out.strip() == result["answer"]


async def test_the_query_may_come_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("From a file?", encoding="utf-8")
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "From a chat?"}]
    (tmp_path / "chat.json").write_text(json.dumps({"messages": chat}))
    async with serving(answering) as server:
        common = ("--policy", server.url, "--method", "sample", "--quiet")
        for arguments, stdin in (
            (["--file", str(tmp_path / "q.txt")], b""),
            (["-"], b"Von der Eingabe?"),
            (["--messages", str(tmp_path / "chat.json")], b""),
        ):
            assert (await tpo("align", *arguments, *common, stdin=stdin)).code == 0
        sent = [body["messages"] for body in server.bodies()]
    assert [messages[-1]["content"] for messages in sent] == ["From a file?", "Von der Eingabe?", "From a chat?"]
    assert sent[2] == chat


async def test_roles_may_be_served_elsewhere(tmp_path: Path) -> None:
    async with serving(answering) as policy, serving(answering) as critic:
        ran = await tpo(
            *("align", "How?", "--policy", policy.url, "--critic", critic.url, "--depth", "1", "--width", "2"),
            *("--seed", "1", "--quiet"),
        )
        assert ran.code == 0
        assert len(critic.bodies()) == 2
        assert len(policy.bodies()) == 4


BAD_FILES = {
    "latin.txt": b"caf\xe9",
    "no.json": b"{",
    "empty.json": b"[]",
    "text.json": b'"hello"',
    "roles.json": b'[{"role": "robot", "content": "hi"}]',
    "last.json": b'[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]',
    "raises.py": b"def score(conversations):\n    raise ValueError('no such thing')\n",
    "counts.py": b"def score(conversations):\n    return []\n",
    "kinds.py": b"def score(conversations):\n    return ['good' for _ in conversations]\n",
    "prompts/loss.user.jinja": b"{{ choosen }}",
}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([""], "prompt is empty"),
        ([" "], "prompt is empty"),
        ([], "There is no prompt"),
        (["hi", "--file", "latin.txt"], "more than one prompt"),
        (["--file", "nowhere.txt"], "nowhere.txt cannot be read: No such file"),
        (["--file", "latin.txt"], "latin.txt is not UTF-8 (byte 3)"),
        (["--messages", "no.json"], "no.json, line 1: this is not JSON"),
        (["--messages", "empty.json"], "messages are empty"),
        (["--messages", "text.json"], "text.json holds no chat messages"),
        (["--messages", "roles.json"], "role 'robot'"),
        (["--messages", "last.json"], "must end where an answer is due"),
        (["hi", "--width", "0"], "width is 0"),
        (["hi", "--width", "-3"], "width is -3"),
        (["hi", "--depth", "-1"], "depth is -1"),
        (["hi", "--width", "many"], "Invalid value for '--width'"),
        (["hi", "--effort", "hihg"], "Invalid value for '--effort': 'hihg' is not one of 'low'"),
        (["hi", "--method", "best-of-m"], "no method 'best-of-m'"),
        (["hi", "--reward", "surfce"], "'surfce' is unknown"),
        (["hi", "--reward", "python:nowhere:f"], "no module named 'nowhere'"),
        (["hi", "--reward", "python:raises:f"], "raises has no 'f'"),
        (["hi", "--reward", "python:raises:score"], "raised ValueError: no such thing (raises.py:2)"),
        (["hi", "--reward", "python:counts:score"], "0 scores for 1 conversation"),
        (["hi", "--reward", "python:kinds:score"], "entry 0 is str 'good'"),
        (["hi", "--require", "max-wrds=3"], "'max-wrds=3' is unknown"),
        (["hi", "--prompts", "nowhere"], "no folder, and none of default, small, auto"),
        (["hi", "--prompts", "prompts"], "names choosen"),
        (["hi", "--temperature", "-1"], "temperature is -1"),
        (["hi", "--top-p", "0"], "top-p is 0"),
        (["hi", "--max-tokens", "0"], "max-tokens is 0"),
        (["hi", "--seed", "-1"], "seed is -1"),
        (["hi", "--budget-tokens", "0"], "budget-tokens is 0"),
        (["hi", "--budget-seconds", "-2"], "budget-seconds is -2"),
        (["hi", "--trace", "."], "trace . cannot be written"),
        (["hi", "--policy", "gpt-4"], "'gpt-4' is not a model"),
        (["hi", "--policy", "gguf:nowhere.gguf"], "nowhere.gguf"),
        (["hi", "--nonsense"], "nonsense"),
    ],
)
async def test_a_users_mistake_is_one_clear_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    for name, data in BAD_FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    async with serving(answering) as server:
        policy = [] if "--policy" in arguments else ["--policy", server.url]
        ran = await tpo("align", *arguments, *policy, "--quiet", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (error("wrong key", 401), "refused the key (401: wrong key). Put the right one into TPO_API_KEY."),
        (error("no such model", 404), "answered 404: no such model (it lists m; 'x' was requested)"),
        (response("<title>Welcome</title>", kind="text/html"), "a web page titled 'Welcome'"),
        (response("{broken"), "broken JSON"),
        (response('{"choices": []}'), "without any choice"),
        (error("request (9031 tokens) exceeds the available context size (8192 tokens)"), "9031 tokens and x @"),
    ],
)
async def test_a_misbehaving_server_is_one_clear_line(tmp_path: Path, answer: bytes, complaint: str) -> None:
    async with serving(lambda r: models("m") if r.path.endswith("/models") else answer) as server:
        ran = await tpo("align", "hi", "--policy", server.url, "--policy-model", "x", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert "Traceback" not in ran.err


async def test_a_server_that_closes_mid_answer_keeps_what_was_paid_for(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"

    def respond(request: Received) -> bytes:
        if request.path.endswith("/models") or len(request.json["messages"]) == 1:
            return answering(request)
        return stream(delta("half a critique"), done=False, short=50)

    async with serving(respond) as server:
        ran = await tpo("align", "hi", "--policy", server.url, "--width", "2", "--seed", "1", "--trace", str(trace))
        assert ran.code == 2
        assert "broke off in the middle of its answer" in ran.err
        kept = await tpo("replay", str(trace), "--json")
        assert kept.code == 0
        result = json.loads(kept.out)
        assert (result["stop"], len(result["steps"][0]["candidates"])) == ("error", 2)
        assert ran.out == f"{result['answer']}\n"
        assert result["usage"]["critic"]["retries"] > 0
    # The same command, with a server that behaves, goes on from there.
    async with serving(answering) as server:
        port_of = ["--policy", server.url]
        ran = await tpo("align", "hi", *port_of, "--width", "2", "--seed", "1", "--trace", str(trace))
        assert ran.code == 0


async def test_the_error_of_an_unreachable_server_has_its_address() -> None:
    ran = await tpo("align", "hi", "--policy", "http://127.0.0.1:9/v1", "--quiet")
    assert ran.code == 2
    assert "No connection to http://127.0.0.1:9/v1/models" in ran.err
    assert "Tried 3 times" in ran.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_prints_the_best_so_far(tmp_path: Path, how: signal.Signals) -> None:
    stuck = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length:")[2].split("\r\n")[0] or 0)
        body = await reader.readexactly(length)
        request = Received("POST", head.split(" ")[1], {}, body)
        if request.path.endswith("/models") or len(request.json["messages"]) == 1:
            writer.write(answering(request))
            writer.close()
        else:
            stuck.set()  # and never answer

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        process = await asyncio.create_subprocess_exec(
            *(*program(), "align", "hi", "--policy", url, "--seed", "1", "--json", "--quiet"),
            *("--trace", str(tmp_path / "trace.jsonl")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await asyncio.wait_for(stuck.wait(), 60)
        process.send_signal(how)
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (130, b"")
    result = json.loads(out)
    assert result["stop"] == "interrupt"
    assert result["answer"].startswith("Answer ")
    replayed = await tpo("replay", str(tmp_path / "trace.jsonl"), "--json")
    assert json.loads(replayed.out) == result


async def test_no_secret_reaches_output_or_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    async with serving(answering) as server:
        url = server.url.replace("http://", "http://me:hunter2@")
        ran = await tpo("align", "hi", "--policy", url, "--seed", "1", "--trace", str(trace), TPO_API_KEY="sk-secret")
    assert ran.code == 0
    for secret in ("hunter2", "sk-secret"):
        assert secret not in ran.out + ran.err + trace.read_text()


async def test_requirements_rank_before_the_reward() -> None:
    def respond(request: Received) -> bytes:
        if request.path.endswith("/models"):
            return models("m")
        return reply("One two three four five." if request.json["seed"] % 2 else "One two.")

    async with serving(respond) as server:
        ran = await tpo(
            *("align", "hi", "--policy", server.url, "--seed", "3", "--method", "best-of-n", "--width", "6"),
            *("--require", "max-words=3", "--json", "--quiet"),
        )
    result = json.loads(ran.out)
    assert result["answer"] == "One two."
    best = next(c for c in result["steps"][0]["candidates"] if c["id"] == result["chosen"])
    assert best["parts"]["max-words=3"] == 1.0
    assert "surface" in best["parts"]
    assert best["feedback"].startswith("kept the requirement")


async def test_version_and_help() -> None:
    assert (await tpo("--version")).out.startswith("tpo ")
    ran = await tpo("align", "--help")
    assert ran.code == 0
    assert "--require" in ran.out
    assert (await tpo("nonsense")).code == 2
    assert (await tpo("replay", "nowhere.jsonl")).code == 2


async def test_several_policies_with_names_are_a_panel(tmp_path: Path) -> None:
    async with serving(answering) as one, serving(answering) as two:
        flags = ("--policy", f"a={one.url}", "--policy", f"b={two.url}", "--method", "best-of-n", "--width", "4")
        ran = await tpo("align", "How?", *flags, "--json", "--quiet")
        assert ran.code == 0, ran.err
        arms = json.loads(ran.out)["arms"]
        assert {name: used["answers"] for name, used in arms.items()} == {"a": 2, "b": 2}
        (tmp_path / "tpo.toml").write_text(f'method = "best-of-n"\n[policy]\nx = "{one.url}"\ny = "{two.url}"\n')
        ran = await tpo("align", "How?", "--width", "2", "--json", "--quiet", cwd=tmp_path)
        assert json.loads(ran.out)["arms"].keys() == {"x", "y"}, ran.err
        ran = await tpo("align", "How?", *flags[4:], "--json", "--quiet", TPO_POLICY=f"a={one.url} b={two.url}")
        assert json.loads(ran.out)["arms"].keys() == {"a", "b"}, ran.err
        ran = await tpo("align", "How?", "--policy", f"a={one.url}", "--policy", two.url)
        assert ran.code == 2 and "has no name" in ran.err
