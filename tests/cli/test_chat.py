"""`tpo chat`: signals while it waits for a question, and a question in another encoding."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal

import pytest

from cli.test_align import answering, tpo
from models.server import serving
from programs import program

# Seconds after which a chat counts as hanging.
LONGEST = 60.0


async def shown(terminal: int, pattern: bytes) -> None:
    """Wait until a terminal shows something."""
    seen = b""
    async with asyncio.timeout(LONGEST):
        while not re.search(pattern, seen):
            seen += await asyncio.to_thread(os.read, terminal, 65536)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("questions", [0, 1])
async def test_a_signal_at_the_prompt_ends_the_chat(how: signal.Signals, questions: int) -> None:
    async with serving(answering) as server:
        leader, follower = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(*program(), "chat", "--policy", server.url, "--method", "sample", "--quiet"),
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        try:
            await shown(leader, b"> ")
            for _ in range(questions):
                os.write(leader, b"How?\n")
                await shown(leader, rb"Answer \d+\.\r\n> ")
            process.send_signal(how)
            code = await asyncio.wait_for(process.wait(), LONGEST)
        finally:
            if process.returncode is None:
                process.kill()
            os.close(leader)
    assert code == 128 + how


async def test_a_question_in_another_encoding_is_an_error_and_the_chat_goes_on() -> None:
    async with serving(answering) as server:
        ran = await tpo(
            *("chat", "--policy", server.url, "--method", "sample", "--quiet"),
            stdin=b"caf\xe9?\nHow?\n",
        )
    assert ran.code == 0 and ran.out.startswith("Answer ") and ran.out.count("\n") == 1
    assert "error: Message 0 (user) holds bytes that are not UTF-8" in ran.err and "bug" not in ran.err
