"""AlpacaEval 2 as a benchmark: is a response preferred to GPT-4-turbo's (Dubois et al., 2024, arXiv 2404.04475)?

The judge is any model, and is asked with the wording of tpo's own pairwise judge, so that numbers are comparable with
each other and not with the published leaderboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import msgspec

from tpo.errors import InputError
from tpo.evals.alpaca_eval import difficulties, predicted
from tpo.evals.annotations import Annotation, read_annotations
from tpo.evals.benchmarks.pairs import AGAINST, ITSELF, OPPONENT, both_orders
from tpo.evals.benchmarks.protocol import NO_JUDGE, Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.rewards.judges.pairwise import VERDICT_TOKENS, game_of
from tpo.rewards.judges.wording import Wording
from tpo.stats import mean_of

WHERE = "https://huggingface.co/datasets/tatsu-lab/alpaca_eval (alpaca_eval_gpt4_baseline.json)"
DATA = Published(
    "alpaca_eval",
    QUERIES,
    ("alpaca_eval_gpt4_baseline.json", "prompts.jsonl", "*prompts*.json*", "*instructions*.json*"),
    ("instruction",),
    WHERE,
)
OUTPUTS = Published(
    "alpaca_eval",
    "the baseline's outputs",
    ("alpaca_eval_gpt4_baseline.json", "gpt4_1106_preview.jsonl.gz", "*baseline*.json*", "model_outputs.json"),
    ("output",),
    WHERE,
)
ANNOTATIONS = Published(
    "alpaca_eval",
    "the annotations of several models",
    ("annotations_v2.csv.gz", "annotations*.csv*"),
    ("prompt_id",),
    "https://github.com/tatsu-lab/alpaca_eval (results/*/weighted_alpaca_eval_gpt4_turbo/annotations.json, as CSV with "
    "prompt_id, model, preference, length_model, length_baseline)",
)

NO_OPPONENT = f"needs the baseline's outputs beside the prompts ({WHERE}), or --against METHOD"
OTHER_BASELINE = "is known only against the published baseline, whose instructions' difficulties are known"
NO_DIFFICULTY = f"needs the annotations of several models beside the prompts ({ANNOTATIONS.files[0]})"


class AlpacaEval(Benchmark):
    """805 instructions; the paper reports both numbers, by GPT-4-turbo."""

    name = "alpaca_eval"
    columns = (
        Column("length_controlled", "AlpacaEval 2 LC", "%", "win rate against the baseline if lengths were equal"),
        Column("win_rate", "AlpacaEval 2 WR", "%", "how far the judge prefers the response to the baseline's"),
        Column("length", "AlpacaEval 2 length", "characters", "mean length of a response", main=False),
    )

    @cached_property
    def _wording(self) -> Wording:
        return Wording("pairwise")

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        outputs = _outputs(source)
        difficulty: dict[int, float] = {}
        if source.holds(ANNOTATIONS):
            difficulty = difficulties(read_annotations(source.paths(ANNOTATIONS)[0]))
        rows = []
        for number, fields in enumerate(source.records(DATA)):
            instruction = str(fields["instruction"])
            place = int(fields.get("id", number)) if str(fields.get("id", number)).isdecimal() else number
            about = {"number": place, "dataset": text_in(fields, "dataset")}
            opponent = outputs.get(instruction, outputs.get(str(place)))
            about |= {OPPONENT: opponent} if opponent is not None else {}
            about |= {"difficulty": difficulty[place]} if place in difficulty else {}
            rows.append(Row(f"alpaca-{place}", [{"role": "user", "content": instruction}], about))
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        values = {"length": float(len(response.text))}
        opponent = row.metadata.get(OPPONENT)
        if opponent is None or graders.judge is None:
            unmatched = ITSELF if AGAINST in row.metadata else NO_OPPONENT
            why = NO_JUDGE if graders.judge is None else unmatched
            return Grade(values, {"win_rate": why, "length_controlled": why})
        replies = await both_orders(
            graders.judge,
            lambda a, b: self._wording.messages(row.messages, answer_a=a, answer_b=b),
            response.text,
            opponent,
            VERDICT_TOKENS,
            logprobs=True,
        )
        games = [game_of(said) for said in replies]
        problems = [game.problem for game in games if game.problem]
        won = [game.won for game in games if game.won is not None]
        if len(won) < 2:
            return Grade(values, {"win_rate": problems[0] or "", "length_controlled": problems[0] or ""})
        preference = (won[0] + 1.0 - won[1]) / 2
        return Grade(values | {"win_rate": preference}, {}, {"as_a": won[0], "as_b": 1.0 - won[1]})

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; the length-controlled number is fitted over all responses."""
        found = averaged(self.columns, rows, grades)
        judged = [row for row in rows if row.id in found.values.get("win_rate", {})]
        if not judged:
            return found
        gone = {name: why for name, why in found.missing.items() if name != "length_controlled"}
        if any("difficulty" not in row.metadata or AGAINST in row.metadata for row in judged):
            why = OTHER_BASELINE if any(AGAINST in row.metadata for row in judged) else NO_DIFFICULTY
            return msgspec.structs.replace(found, missing=gone | {"length_controlled": why})
        try:
            values = _length_controlled(judged, found.values)
        except InputError as error:
            return msgspec.structs.replace(found, missing=gone | {"length_controlled": str(error)})
        return Summary(
            found.estimates | {"length_controlled": mean_of(list(values.values()), 100)},
            found.values | {"length_controlled": values},
            gone,
            found.unread | ({"length_controlled": found.unread["win_rate"]} if "win_rate" in found.unread else {}),
        )


def _length_controlled(rows: Sequence[Row], values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    rows = sorted(rows, key=lambda row: int(row.metadata["number"]))
    annotations = [
        Annotation(
            row.metadata["number"],
            values["win_rate"][row.id],
            int(values["length"][row.id]),
            len(row.metadata[OPPONENT]),
        )
        for row in rows
    ]
    difficulty = {row.metadata["number"]: row.metadata["difficulty"] for row in rows}
    shares = predicted(annotations, difficulty, as_published=False)
    return dict(zip((row.id for row in rows), shares, strict=True))


def _outputs(source: Source) -> dict[str, str]:
    """The baseline's outputs, by instruction or by its number."""
    if not source.holds(OUTPUTS):
        return {}
    found = {}
    for number, fields in enumerate(source.records(OUTPUTS)):
        key = text_in(fields, "instruction") or text_in(fields, "prompt_id") or str(number)
        found[key] = str(fields["output"])
    return found
