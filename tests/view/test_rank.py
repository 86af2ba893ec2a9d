"""The order of answers on the page, run as it is by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import tpo

NODE = shutil.which("node")
MODULE = Path(tpo.__file__).parent / "view" / "static" / "rank.js"
SCRIPT = """
const { bestOf, byRank } = await import(process.argv[1]);
const answers = JSON.parse(process.argv[2]);
console.log(JSON.stringify([bestOf(answers)?.id ?? null, [...answers].sort(byRank).map((one) => one.id)]));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node")


def ranked(*answers: tuple[str, float | None, str | None]) -> tuple[str | None, str]:
    """The best, and all in their order."""
    told = json.dumps([{"id": id, "reward": reward, "leaked": leaked} for id, reward, leaked in answers])
    command = [str(NODE), "--input-type=module", "-e", SCRIPT, MODULE.as_uri(), told]
    best, order = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return best, "".join(order)


def test_answers_with_words_of_ours_come_after_all_others_with_a_reward() -> None:
    some = [("a", None, None), ("b", 9.0, "Answer 2"), ("c", -1.0, None), ("d", 2.0, None), ("e", 2.0, None)]
    assert ranked(*some) == ("d", "decba")
    assert ranked(("a", None, None), ("b", 9.0, "Answer 2"), ("c", 10.0, "Answer 2")) == ("c", "cba")
    assert ranked(("a", None, None)) == (None, "a")
    assert ranked() == (None, "")
