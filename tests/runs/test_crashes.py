"""`tpo run` as a process of its own, on its worst days: killed, interrupted, on a full disk, left by its server.

However it ends, the same command again comes to what an undisturbed run comes to, and no result is paid for twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from programs import program
from runs.counting import CountingServer, counting
from tpo.engine.records import Replied, Sampled
from tpo.runs.answers import Answer, read_answers
from tpo.runs.store import read_lines

QUERIES = 10
KILLS = 20
REWARD = """
def reward(conversations):
    return [int(messages[-1]["content"].split()[1][:6], 16) for messages in conversations]
"""


async def begin(
    folder: Path, out: str, url: str, *more: str, before: Callable[[], None] | None = None
) -> asyncio.subprocess.Process:
    arguments = ["run", "queries.jsonl", "--out", out, "--policy", url, "--reward", "python:marks:reward"]
    arguments += ["--no-check", "--seed", "3", "--width", "3", "--quiet", "--json", *more]
    return await asyncio.create_subprocess_exec(
        *(*(program() if before is None else (sys.executable, "-m", "tpo")), *arguments),
        cwd=folder,
        # Python itself does not notice when it writes half of a compiled file, and all later tests would import that.
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=before,
    )


def prepare(folder: Path) -> None:
    (folder / "marks.py").write_text(REWARD)
    rows = [json.dumps({"id": f"q{number}", "prompt": f"Question {number}?"}) for number in range(QUERIES)]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")


def paid_for(out: Path) -> set[str]:
    """The marks of the replies that are in the journal."""
    records = [line.record for line in read_lines(out / "journal.jsonl", lambda key: True)]
    texts = [record.text for record in records if isinstance(record, Sampled | Replied)]
    return {text.split()[1] for text in texts if text}


def essence(out: Path) -> dict[str, Any]:
    """The answers without times, and without the calls that a kill cut short."""

    def of(answer: Answer) -> tuple[Any, ...]:
        return answer.answer, answer.reward, answer.tokens, answer.first, answer.steps, answer.stop, answer.error

    answers = list(read_answers(out / "answers.jsonl"))
    assert len({answer.id for answer in answers}) == len(answers)
    return {answer.id: of(answer) for answer in answers}


async def undisturbed(folder: Path, server: CountingServer) -> int:
    """Run it as it should be; returns how many calls that takes, and has the server forget them."""
    prepare(folder)
    process = await begin(folder, "whole", server.url)
    await process.communicate()
    assert process.returncode == 0
    calls = len(server.asked)
    server.asked.clear()
    return calls


async def goes_on(folder: Path, server: CountingServer) -> None:
    """The same command again: it asks for nothing that is there, and comes to the same end."""
    paid, before = paid_for(folder / "out"), len(server.asked)
    process = await begin(folder, "out", server.url)
    printed, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert not paid & set(server.asked[before:])
    assert json.loads(printed)["done"] == QUERIES
    assert essence(folder / "out") == essence(folder / "whole")


async def reached(process: asyncio.subprocess.Process, server: CountingServer, calls: int) -> None:
    """Wait until the server was asked so often."""
    while process.returncode is None and len(server.asked) < calls:  # noqa: ASYNC110 -- a process sets no event
        await asyncio.sleep(0.001)


async def test_killed_at_random_moments_it_comes_to_the_same_end(tmp_path: Path) -> None:
    chance = random.Random(20)
    out = tmp_path / "out"
    async with counting() as server:
        whole = await undisturbed(tmp_path, server)
        killed = 0
        while killed < KILLS:
            paid, before = paid_for(out), len(server.asked)
            process = await begin(tmp_path, "out", server.url)
            # A little work each time: from nothing at all to a good part of what is left.
            await reached(process, server, before + chance.randrange(whole // 8))
            await asyncio.sleep(chance.uniform(0, 0.02))
            if process.returncode is None:
                process.kill()
                killed += 1
            await process.communicate()
            assert not paid & set(server.asked[before:])
            if process.returncode == 0:  # done before its time: begin anew
                assert essence(out) == essence(tmp_path / "whole")
                out.rename(tmp_path / f"done-{killed}")
        await goes_on(tmp_path, server)
    # Each reply is in the journal once, whatever was repeated because it was in flight.
    lines = list(read_lines(out / "journal.jsonl", lambda key: True))
    replies = [(line.key, line.record.turn, line.record.action) for line in lines if isinstance(line.record, Replied)]
    assert len(replies) == len(set(replies)) == 4 * QUERIES


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_interrupted_it_keeps_what_is_done_and_is_reported(tmp_path: Path, name: str) -> None:
    async with counting() as server:
        whole = await undisturbed(tmp_path, server)
        process = await begin(tmp_path, "out", server.url, "--concurrency", "4")  # slow enough to be interrupted
        await reached(process, server, whole // 2)
        process.send_signal(getattr(signal, name))
        printed, said = await process.communicate()
        assert (process.returncode, said) == (130, b"")
        assert 0 < json.loads(printed)["left"] <= QUERIES
        await goes_on(tmp_path, server)


async def test_a_disk_that_fills_up_in_the_middle_of_a_line_loses_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    async with counting() as server:
        await undisturbed(tmp_path, server)
        size = (tmp_path / "whole" / "journal.jsonl").stat().st_size // 2
        limit = (size, size)
        process = await begin(
            tmp_path, "out", server.url, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        )
        _, said = await process.communicate()
        assert process.returncode == 2
        assert b"cannot be written: File too large. What it holds is kept" in said
        assert (tmp_path / "out" / "journal.jsonl").read_bytes().endswith(b"\n")
        assert paid_for(tmp_path / "out")
        await goes_on(tmp_path, server)


async def test_a_server_that_goes_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    async with counting() as server:
        whole = await undisturbed(tmp_path, server)
        process = await begin(tmp_path, "out", server.url)
        await reached(process, server, whole // 2)
        await server.go()
        await asyncio.sleep(1)
        await server.come()
        printed, _ = await process.communicate()
        assert process.returncode == 0
        assert json.loads(printed)["retries"] > 0
        assert essence(tmp_path / "out") == essence(tmp_path / "whole")


async def test_a_server_that_stays_away_ends_the_run_with_a_line_and_later_it_goes_on(tmp_path: Path) -> None:
    async with counting() as server:
        whole = await undisturbed(tmp_path, server)
        process = await begin(tmp_path, "out", server.url, "--patience", "1")
        await reached(process, server, whole // 2)
        await server.go()
        _, said = await process.communicate()
        assert process.returncode == 2
        assert said.count(b"\n") == 1 and b"is the server running there?" in said
        assert not [answer for answer in read_answers(tmp_path / "out" / "answers.jsonl") if answer.error]
        await server.come()
        await goes_on(tmp_path, server)


async def test_when_one_of_two_servers_dies_the_other_does_it_all(tmp_path: Path) -> None:
    async with counting() as server, counting() as other:
        whole = await undisturbed(tmp_path, server)
        process = await begin(tmp_path, "out", f"{server.url},{other.url}")
        await reached(process, server, whole // 4)
        assert other.asked
        await server.go()
        await process.communicate()
        assert process.returncode == 0
        assert essence(tmp_path / "out") == essence(tmp_path / "whole")
        await server.come()
        await goes_on(tmp_path, server)  # and with one server alone it is the same run
