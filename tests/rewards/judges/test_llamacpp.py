"""Judges on llama.cpp: what it answered once, always; and what it answers now, where the embedded model runs.

With TPO_RECORD=1 the embedded test writes the exchanges down anew.
"""

from __future__ import annotations

import math
import os

import pytest

from rewards.judges.kit import DATA, without_paths
from rewards.judges.story import Story, judged
from servers.recorded import recording, replaying
from tpo.models.embedded import EmbeddedServer

SOURCE = "llama.cpp's server in this process (xllamacpp), SmolLM2-135M-Instruct Q8_0, by test_llamacpp.py"


def check(story: Story) -> None:
    """What holds for any model that follows the wording, to the letter or not."""
    assert story.name.startswith("judge:SmolLM2-135M-Instruct.Q8_0@http://127.0.0.1")
    four, ten = story.critiques
    # The digits of 10 are two tokens here.
    assert four.value == pytest.approx(4, abs=0.5)
    assert ten.value == pytest.approx(10, abs=1.0)
    assert ten.parts["grade"] == 10
    assert four.parts["on_grades"] > 0.5
    assert four.feedback == "It is too short."
    one, two = story.compared
    # A small model may say nothing readable in one of the two orders.
    assert one.parts["games"] == two.parts["games"] >= 1
    # Not whole numbers: the verdicts are read from probabilities.
    assert 0 < one.parts["wins"] < one.parts["games"]
    assert one.parts["wins"] % 1 > 0
    assert one.parts["wins"] + two.parts["wins"] == pytest.approx(one.parts["games"])
    assert one.value == pytest.approx(-two.value)


async def test_recorded() -> None:
    async with replaying(DATA / "llamacpp.json") as url:
        story = await judged(url)
    check(story)


@pytest.mark.embedded
async def test_real(embedded_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPO_JUDGE_API_KEY", embedded_server.api_key)
    if os.environ.get("TPO_RECORD"):
        async with recording(
            embedded_server.url, DATA / "llamacpp.json", SOURCE, without_paths, embedded_server.api_key
        ) as url:
            story = await judged(url)
    else:
        story = await judged(embedded_server.url)
    print(story)
    check(story)
    assert all(math.isfinite(score.value) for score in story.compared)
