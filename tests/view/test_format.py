"""Words and numbers of the page, run as they are by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import tpo

NODE = shutil.which("node")
MODULE = Path(tpo.__file__).parent / "view" / "static" / "format.js"
SCRIPT = """
const { ended } = await import(process.argv[1]);
console.log(JSON.stringify(["depth", "context"].map(ended)));
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node")


def test_why_a_search_ended_is_in_words_where_its_name_says_too_little() -> None:
    command = [str(NODE), "--input-type=module", "-e", SCRIPT, MODULE.as_uri()]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == ["ended: depth", "ended: the next prompt does not fit the model's context"]
