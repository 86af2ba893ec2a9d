"""Make preference pairs for DPO: answer questions in a run, which continues after any stop, and export its answers.

python examples/training_pairs.py OUT     (leaves OUT/run and OUT/pairs.jsonl; TRL trains on them: docs/runs.md)
"""

import json
import os
import sys
from pathlib import Path

import tpo
from tpo.options import ExportFormat, ExportOptions
from tpo.runs.export import Export, write_file
from tpo.runs.history import histories

QUESTIONS = ["How do I clean a rug?", "Why is the sky blue?", "Plan a weekend in Rome."]


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    data = out / "questions.jsonl"
    data.write_text("".join(json.dumps({"prompt": question}) + "\n" for question in QUESTIONS))
    policy = os.environ.get("TPO_POLICY", "embedded")
    run = out / "run"
    report = tpo.run_dataset_sync(data, run, policy=policy, width=3, depth=1, max_tokens=64, seed=1)
    print(f"{report.summary.done} queries answered")
    options = ExportOptions(format=ExportFormat.DPO)
    export = Export(options)
    pairs = out / "pairs.jsonl"
    write_file(export.of(histories(run)), pairs, options, run)
    print(f"{export.rows} pairs in {pairs}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "pairs"))
