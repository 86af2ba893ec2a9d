"""A scratch home for a block: the page's own files, some data, and finished runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from docs.blocks import ROOT
from docs.servers import with_servers

TOKENIZER = ROOT / "tests" / "rewards" / "served" / "data" / "chatml"
FILES = re.compile(r"^```\w+\n# (\w+\.(?:py|toml))\n(.*?)^```", re.DOTALL | re.MULTILINE)
SAVED = re.compile(r"Save this as `(\w+\.py)`:\n\n(?:<!--[^\n]+-->\n)?```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
# A file of a page, as it is for people with hours, and here.
SMALLER = {
    '"hub:"': '"data"',
    '"embedded"': '"http://localhost:8000/v1"',
    "limit = 40": "limit = 1",
    "held-out = 100": "held-out = 1",
    "seeds = [1, 2, 3]": "seeds = [1]",
    "width = 15": "width = 3",
}
PLACEHOLDERS = {
    "API_KEY=…": "API_KEY=key",
    "tpo serve …": "tpo serve",
    "PATH_OF_THE_TOKENIZER": str(TOKENIZER),
    "DATA_DIR": "data",
    "--data DIR": "--data data",
    "-T data=DIR": "-T data=data",
    "0.0.0.0": "127.0.0.1",
}
POLITENESS = """
class Politeness:
    def __init__(self, url: str = "", weight: float = 1.0) -> None:
        self.name, self.weight = f"politeness@{url}", weight

    async def score(self, conversations):
        return [self.weight * len(messages[-1]["content"]) for messages in conversations]
"""
RUNS = """
for name in first tpo best-of-n; do
  tpo run two.jsonl --out runs/$name --width 2 --depth 1 --reward surface --quiet
done
tpo align Why? --width 2 --depth 1 --reward surface --trace trace.jsonl --quiet
tpo eval xstest --data data --reward surface --method sample --method best-of-2 --out evals/first --quiet
"""


def environment(home: Path, programs: Path | None = None, **more: str) -> dict[str, str]:
    """The variables of a shell in a home that knows nothing of this one."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TPO_")}
    here = {"HOME": str(home), "TPO_CACHE": str(home / "cache"), "PATH": f"{programs}:{path}" if programs else path}
    return {**kept, **here, **more}


def fill(home: Path, page: Path, servers: str) -> None:
    """Put the files that a page names into a home."""
    for text in ((ROOT / "README.md").read_text(encoding="utf-8"), page.read_text(encoding="utf-8")):
        for name, code in [*FILES.findall(text), *SAVED.findall(text)]:
            (home / name).write_text(with_servers(replaced(code, SMALLER), servers) if name.endswith("toml") else code)
    rows = [json.dumps({"id": f"q{number}", "prompt": f"How do I clean rug {number}?"}) + "\n" for number in range(8)]
    (home / "prompts.jsonl").write_text("".join(rows))
    (home / "two.jsonl").write_text("".join(rows[:2]))
    (home / "questions.csv").write_text("id,prompt,answer\nq0,What is 6 times 7?,42\n")
    (home / "answers.jsonl").write_text('{"id": "q0", "prompt": "What is 6 times 7?", "answer": "42"}\n')
    pair = {"prompt": "Why is the sky blue?", "chosen": "Light is scattered by air.", "rejected": "It is."}
    for name in ("llmbar", "pandalm", "autoj"):
        (home / name).write_text(json.dumps(pair) + "\n")
    for path in (ROOT / "recipes" / "laptop" / "data").rglob("*.*"):
        copy = home / "data" / path.relative_to(ROOT / "recipes" / "laptop" / "data")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:2]))
    shutil.copytree(ROOT / "packaging" / "etc", home / "packaging" / "etc")
    shutil.copytree(ROOT / "examples", home / "examples")
    shutil.copytree(ROOT / "examples" / "merge_templates", home / "merge_templates")
    # A package of somebody else's, which registers a reward.
    (home / "politeness.py").write_text(POLITENESS)
    package = home / "politeness-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: politeness\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[tpo.rewards]\npoliteness = politeness:Politeness\n")


def replaced(code: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        code = code.replace(old, new)
    return code
