"""Names of rewards as people read them."""

from __future__ import annotations

import pytest

from tpo.rewards.gate import Gate
from tpo.rewards.require import Requirements
from tpo.rewards.surface import Surface
from tpo.view.labels import reward_label


def test_a_gate_is_read_as_a_sentence() -> None:
    assert reward_label(Gate(Requirements(["max-words=60"]), Surface()).name) == "surface, with at most 60 words first"
    assert reward_label(Requirements(["max-words=60", "json"]).name).startswith("at most 60 words and ")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("vllm:fake@127.0.0.1:8001?pooling=last", "vllm:fake"),
        ("surface@1", "surface"),
        ("python:my_rewards:length@0f50ad17", "length (my_rewards)"),
        ("combine@1(1*vllm:a@host:1?x=(1,2), 0.5*surface@1)", "combine of 1 × vllm:a, 0.5 × surface"),
        ("judge:gpt@host?kind=pair", "judge:gpt"),
        ("my own reward", "my own reward"),
        ("@", "@"),
        ("gate@1(require@1(/a; b/), surface@1)", "surface, with /a and b/ first"),
    ],
)
def test_a_name_loses_its_address_and_hashes(name: str, label: str) -> None:
    assert reward_label(name) == label
