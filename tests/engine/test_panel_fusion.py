"""`fusion` on a panel whose arms die when the drafts are there: no answer is lost, and the accounts are true."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

import tpo
from fakes import FakeModel, FakeReward, said
from tpo.engine.records import Called, Prompted
from tpo.errors import ModelError, ModelUnavailable
from tpo.models.protocol import Receiver, Request


def gone() -> ModelError:
    error = ModelUnavailable("The connection was refused.", 0.0)
    error.down = True
    return error


def refused() -> ModelError:
    return ModelError("It refuses.")


def broken_off() -> ModelError:
    return ModelUnavailable("It broke off.", 0.0)


class Mortal(FakeModel):
    """An arm that counts the words that it wrote; in its last moments it writes two before it fails.

    Args:
        name: of the arm; its answers are all different.
        dies_of: makes the error of each call that shows drafts; None for an arm that lives.
    """

    def __init__(self, name: str, dies_of: Callable[[], ModelError] | None) -> None:
        super().__init__(
            lambda request, index: f"{name} wrote {'more ' * (len(self.requests) % 3)}{self.spent}", name=name
        )
        self.spent = 0
        self._dies_of = dies_of

    async def generate(self, request: Request, receiver: Receiver) -> None:
        before = receiver.usage.completion_tokens
        try:
            if self._dies_of is not None and "Draft 1:" in said(request):
                self.requests.append(request)
                for word in ("Last", "words"):
                    receiver.usage.completion_tokens += 1
                    receiver.on_text(0, word)
                    await asyncio.sleep(0)
                raise self._dies_of()
            await super().generate(request, receiver)
        finally:
            self.spent += receiver.usage.completion_tokens - before


@pytest.mark.parametrize("error", [gone, refused, broken_off])
@pytest.mark.parametrize("victim", ["a", "b", "both but c"])
@pytest.mark.parametrize("merges", [1, 3])
@pytest.mark.parametrize("analysis", [False, True])
async def test_an_arm_that_dies_between_drafts_and_merge_costs_no_answer(
    analysis: bool, merges: int, victim: str, error: Callable[[], ModelError]
) -> None:
    names = ["a", "b", "c"] if victim == "both but c" else ["a", "b"]
    dead = set("ab") if victim == "both but c" else {victim}
    arms = {name: Mortal(name, error if name in dead else None) for name in names}
    notes: list[str] = []
    result = await tpo.align(
        "How?",
        policy=arms,
        method="fusion",
        settings={"analysis": analysis, "merges": merges},
        width=6,
        reward=FakeReward(lambda text: float(len(text))),
        check=False,
        on_note=notes.append,
    )
    drafts, merged = result.candidates[:6], result.candidates[6:]
    assert [one.error for one in result.candidates] == [None] * (6 + merges)
    assert all(one.text for one in result.candidates)
    assert Counter(one.arm for one in drafts) == dict.fromkeys(names, 6 // len(names))
    alive = next(name for name in names if name not in dead)
    assert [one.arm for one in merged] == [alive] * merges

    stages = [record.name for record in result.trace if isinstance(record, Prompted)]
    assert stages == ["answer", *(["fuse_analysis"] if analysis else []), "fuse"]
    assert (len(result.steps), result.stop) == (2, "depth")

    for name, model in arms.items():
        used = result.arms[name]
        assert (used.calls, used.completion_tokens) == (len(model.requests), model.spent)
        assert used.answers == sum(one.arm == name for one in result.candidates)
        # Who was never called again was never missed.
        called = any("Draft 1:" in said(request) for request in model.requests)
        assert any(f"arm {name} of the panel" in note for note in notes) == (name in dead and called)
    assert sum(used.wins for used in result.arms.values()) == 1
    failed = [record for record in result.trace if isinstance(record, Called) and record.error is not None]
    assert {record.arm for record in failed} <= dead
    assert all(record.usage.completion_tokens == 2 for record in failed if not record.cut_short)
    assert "a" not in dead or failed  # the lead is asked first
