"""The word-level difference that the page shows, run as it is by Node."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import tpo

NODE = shutil.which("node")
MODULE = Path(tpo.__file__).parent / "view" / "static" / "diff.js"
SCRIPT = """
const { difference } = await import(process.argv[1]);
let text = "";
for await (const part of process.stdin) text += part;
console.log(JSON.stringify(JSON.parse(text).map(([one, other]) => difference(one, other))));
"""
WORDS = ["the", "of", "sky", "blue", "scatters", ".", ",", "\n", " ", " ", " ", " ", "日本", "é", "😀", "<b>"]

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node")


def differences(pairs: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    command = [str(NODE), "--input-type=module", "-e", SCRIPT, MODULE.as_uri()]
    ran = subprocess.run(command, input=json.dumps(pairs), capture_output=True, text=True, check=True)
    return [[(kind, text) for kind, text in runs] for runs in json.loads(ran.stdout)]


def test_nothing_is_lost_and_nothing_added() -> None:
    chance = random.Random(5)
    texts = ["".join(chance.choices(WORDS, k=chance.randrange(60))) for _ in range(400)]
    pairs = list(zip(texts, texts[1:] + ["", *texts[:-1]][:1], strict=True)) + [(text, text) for text in texts[:20]]
    for (one, other), runs in zip(pairs, differences(pairs), strict=True):
        assert "".join(text for kind, text in runs if kind != "new") == one
        assert "".join(text for kind, text in runs if kind != "gone") == other
        assert all(text for _, text in runs)
        if one == other:
            assert {kind for kind, _ in runs} <= {"same"}


def test_it_reads_like_peoples_sentences() -> None:
    reworded = ("The cat and the dog sleep.", "The cat and the bird sleep.")
    rewritten = (
        "At sunset light goes a long way through the air. It is blue.",
        "Our eyes see violet less well than anything in the sun. It is blue.",
    )
    one, other = differences([reworded, rewritten])
    assert one == [("same", "The cat and the "), ("gone", "dog"), ("new", "bird"), ("same", " sleep.")]
    # No lone words between two changes that are long.
    assert [kind for kind, _ in other] == ["gone", "new", "same"] and other[-1][1] == ". It is blue."


def test_texts_too_long_for_words_are_compared_by_lines() -> None:
    one = "\n".join(f"line {number} has some words" for number in range(2000))
    (runs,) = differences([(one, one.replace("line 700 has", "line 700 had"))])
    assert [kind for kind, _ in runs] == ["same", "gone", "new", "same"] and "700" in runs[1][1]
