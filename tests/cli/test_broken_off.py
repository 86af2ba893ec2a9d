"""A search that fails after it has answers: the best so far goes to stdout, the error to stderr."""

from __future__ import annotations

import json

import pytest

from cli.test_align import tpo
from models.server import Received, delta, error, models, serving, stream


def no_critic(request: Received) -> bytes:
    """A server that answers questions of one word, and takes its key for nothing longer."""
    if request.method == "GET":
        return models("m")
    if len(request.json["messages"][-1]["content"].split()) > 1:
        return error("this key has expired", 401)
    return stream(delta("An answer."), delta(None, finish="stop"))


SEARCH = ("--method", "tpo", "--width", "2", "--depth", "1", "--quiet")


@pytest.mark.parametrize("as_json", [False, True])
async def test_align_prints_the_best_answer_so_far(as_json: bool) -> None:
    async with serving(no_critic) as server:
        flags = ("--json",) if as_json else ()
        ran = await tpo("align", "How?", "--policy", server.url, "--reward", "surface", *SEARCH, *flags)
    assert ran.code == 2
    if as_json:
        result = json.loads(ran.out)
        assert (result["answer"], result["stop"]) == ("An answer.", "error")
    else:
        assert ran.out == "An answer.\n"
    (why,) = ran.err.splitlines()
    assert why.startswith("tpo: error: ") and "expired" in why


async def test_without_quiet_a_note_says_what_the_answer_is() -> None:
    async with serving(no_critic) as server:
        ran = await tpo("align", "How?", "--policy", server.url, "--reward", "surface", *SEARCH[:-1])
    assert (ran.code, ran.out) == (2, "An answer.\n")
    *_, broke, why = ran.err.splitlines()
    assert "best so far" in broke
    assert why.startswith("tpo: error: ")


async def test_a_chat_goes_on_with_the_best_answer_so_far() -> None:
    async with serving(no_critic) as server:
        ran = await tpo("chat", "--policy", server.url, "--reward", "surface", *SEARCH, stdin=b"How?\nWhy?\n")
    assert ran.out == "An answer.\nAn answer.\n"
    assert ran.err.count("expired") == 2
    turns = [body["messages"] for body in server.bodies() if len(body["messages"]) == 3]
    assert {"role": "assistant", "content": "An answer."} in turns[0]
