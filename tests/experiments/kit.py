"""An experiment over five prompts that forbid commas, and models for it."""

from __future__ import annotations

from pathlib import Path

from fakes import FakeModel
from tpo.experiments.definition import Experiment, read_experiment
from tpo.models.protocol import Request

FILE = """
compare = ["best-of-4"]
bank = "best-of-4"
judge = "surface"
seeds = [1, 2]

[queries]
benchmark = "ifeval"
data = "ifeval"

[options]
reward = "verifier:ifeval?file={queries}"
max-tokens = 20

[models.small]
policy = "embedded"
parameters = "135M"

[methods.best-of-4]
method = "best-of-n"
width = 4

[methods.restate]
method = "restate"
width = 2
depth = 1
"""


def rewrite(file: Path, text: str) -> None:
    file.write_text(text)


def sometimes_right() -> FakeModel:
    """A model of which every third answer keeps the rule, and every answer to a restated one does."""
    count = 0

    def answer(request: Request, index: int) -> str:
        nonlocal count
        count += 1
        asked = str(request.messages)
        return f"right {count}" if count % 3 == 0 or "comma" in asked else f"wrong, {count}"

    return FakeModel(answer, name="fake-1B")


def with_model(path: Path, model: FakeModel) -> Experiment:
    experiment = read_experiment(path)
    experiment.models["small"].options["policy"] = model
    return experiment
