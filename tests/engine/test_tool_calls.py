"""Answers that call tools: asked for with the answers alone, seen by critic and reward, kept as they came."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kit import drive
from fakes import FakeReward, said
from tpo.engine.journal import read_journal
from tpo.engine.records import Sampled
from tpo.errors import InputError
from tpo.models.profiles import GENERIC
from tpo.models.protocol import Choice, Receiver, Request
from tpo.session.spec import specified

TOOLS = [{"type": "function", "function": {"name": "weather"}}]


class Caller:
    """Answers by calling a tool, and criticises in words."""

    profile = GENERIC
    name = "caller"

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def generate(self, request: Request, receiver: Receiver) -> None:
        self.requests.append(request)
        for index in range(request.n):
            if not request.extra:
                receiver.on_choice(Choice(index, "Rome is better."))
                continue
            function = {"name": "weather", "arguments": f'{{"city": "{"x" * len(self.requests)}{index}"}}'}
            message = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": function}]}
            receiver.on_choice(Choice(index, "", finish_reason="tool_calls", message=message, logprobs={"content": []}))

    async def aclose(self) -> None:
        pass


async def test_a_search_over_tool_calls(tmp_path: Path) -> None:
    model, reward = Caller(), FakeReward(lambda text: float(len(text)))
    path = tmp_path / "trace.jsonl"
    result = await drive(model, reward, width=2, depth=1, path=path, extra={"tools": TOOLS})
    critiques = [request for request in model.requests if not request.extra]
    assert len(critiques) == 2
    assert '<tool_call>{"name": "weather"' in said(critiques[0])
    assert all(text.startswith("<tool_call>") for text in reward.scored)
    best = next(candidate for candidate in result.candidates if candidate.id == result.chosen)
    assert best.message is not None
    arguments = best.message["tool_calls"][0]["function"]["arguments"]
    assert arguments in best.text
    kept = [record for record in read_journal(path)[0] if isinstance(record, Sampled)]
    assert best.message in [record.message for record in kept]
    assert all(record.logprobs == {"content": []} for record in kept)


def test_fields_that_are_decided_elsewhere_are_refused() -> None:
    with pytest.raises(InputError, match="extra has n, seed, which tpo sets by itself"):
        specified({"extra": {"seed": 1, "n": 2, "stop": "x"}})
