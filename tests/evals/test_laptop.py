"""The laptop recipe, at a tiny size: all benchmarks on the embedded model, from the queries to the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.test_align import tpo
from tpo.evals.benchmarks import BENCHMARKS, find_benchmark
from tpo.evals.data import Source

RECIPE = Path(__file__).parents[2] / "recipes" / "laptop"
TINY = (
    *("--limit", "1", "--width", "2", "--depth", "1", "--quiet", "--json"),
    *("--max-tokens", "16", "--critic-max-tokens", "16", "--judge-max-tokens", "4"),
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_recipe_has_rows_for_every_benchmark(name: str) -> None:
    assert len(find_benchmark(name).rows(Source([str(RECIPE / "data")]))) == 6


@pytest.mark.embedded
async def test_the_laptop_recipe(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (
        *("--config", str(RECIPE / "tpo.toml"), "eval", *BENCHMARKS, "--data", str(RECIPE / "data")),
        *("--method", "sample", "--method", "tpo", "--against", "sample", "--out", str(out), *TINY),
    )
    ran = await tpo(*command)
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    cells = {(cell["task"], cell["method"]): cell for cell in found["cells"]}
    assert len(cells) == 2 * len(BENCHMARKS)
    for cell in cells.values():
        assert cell["failed"] == 0
        assert cell["cost"]["completion_tokens"] > 0
    for task in ("math500", "gsm8k", "ifeval"):
        column = found["tasks"][list(BENCHMARKS).index(task)]["columns"][0]["name"]
        assert cells[task, "tpo"]["numbers"][column]["value"] in (0.0, 100.0)
    for task in ("hh_rlhf", "beavertails"):
        assert 0 < cells[task, "tpo"]["numbers"]["reward"]["value"] <= 1
        assert "--held-out" in cells[task, "tpo"]["missing"]["held_out"]
    assert found["judge"]["asked"] > 0
    assert found["training"]["parameters"] == 135e6
    for file in ("table.md", "table.csv", "table.tex", "table.html"):
        assert (out / file).stat().st_size > 500
    again = await tpo(*command)
    assert json.loads(again.out) == found
