"""AlpacaEval 2: is a response preferred to GPT-4-turbo's? Win rate and length-controlled win rate.

Length control is the generalised linear model of Dubois et al. (2024, arXiv 2404.04475): the log-odds that a judge
prefers a model to the baseline are a constant of the model, a weight times the tanh of the standardised difference in
length, and another weight times the difficulty of the instruction. The length-controlled win rate is the mean
preference that the model predicts where the lengths are equal. docs/evaluation.md says how close this comes to the
published values, and why it is not exact.

The benchmark takes any model as judge, with the wording of tpo's pairwise judge. Its numbers are comparable with each
other, and not with the published leaderboard.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.pairs import AGAINST, ITSELF, OPPONENT, both_orders
from tpo.evals.benchmarks.protocol import NO_JUDGE, Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen, text_in
from tpo.evals.logistic import CoefficientPrior, ModelJudgements, fit, joint_difficulties, logistic
from tpo.rewards.judges.pairwise import VERDICT_TOKENS, game_of
from tpo.rewards.judges.wording import Wording
from tpo.stats import Estimate, mean_of

if TYPE_CHECKING:
    from tpo.evals.logistic import Floats


# The published fit is held together by the judged answers of two models that were prompted to be brief and to be wordy,
# with a weight of 0.2. These are not public beside the code, so their pull on the weights of length and difficulty is
# put as a normal prior, set by the published values of 43 models.
PRIOR = CoefficientPrior((0.0, 1.90, 1.135), (0.0, 11.1, 65.5))
# How firmly instructions are held to be alike; it was set together with the prior.
EVENNESS = 0.3
# The published difficulties come from the models of early 2024. Later ones would shift them much, since strong models
# fail elsewhere than weak ones; and two were made to fool the judge or the length control.
NOT_FOR_DIFFICULTY = (
    "FuseChat-Gemma-2-9B-Instruct",
    "FuseChat-Llama-3.1-8B-Instruct",
    "FuseChat-Llama-3.2-1B-Instruct",
    "FuseChat-Llama-3.2-3B-Instruct",
    "NullModel",
    "gpt4_gamed",
)


class Comparison(NamedTuple):
    """Two models on the instructions that both were judged on; positive numbers favour the first.

    Attributes:
        instructions: how many these are.
        win_rate: the difference of the win rates.
        length_controlled: the difference of the length-controlled win rates; None without difficulties.
    """

    instructions: int
    win_rate: Estimate
    length_controlled: Estimate | None


def win_rate(annotations: Sequence[Annotation]) -> Estimate:
    """How often the model is preferred: the mean preference, with its standard error over instructions.

    Raises:
        InputError: there is no annotation, or a preference is not finite.
    """
    return mean_of([one.preference for one in annotations], 100)


def difficulties(
    annotations: Mapping[str, Sequence[Annotation]], leave_out: Iterable[str] = NOT_FOR_DIFFICULTY
) -> dict[int, float]:
    """A number for each instruction, higher where models do better against the baseline; fitted jointly over models.

    The numbers have a mean of 0 and a standard deviation of 1.

    Args:
        annotations: of many models, the published ones for instance. Models that never differ from the baseline say
            nothing here and are passed over.
        leave_out: models that shall not count.

    Raises:
        InputError: numpy is missing, or no model is left.
    """
    import numpy as np

    left_out = set(leave_out)
    used = [each for model, each in annotations.items() if model not in left_out and each and not _is_baseline(each)]
    if not used:
        raise InputError("There is no model to estimate difficulties from: give the annotations of several models.")
    prompts = sorted({one.prompt for each in used for one in each})
    place = {prompt: number for number, prompt in enumerate(prompts)}
    judged = [
        ModelJudgements(np.array([place[one.prompt] for one in each]), _targets(each), _length_terms(each))
        for each in used
    ]
    numbers = joint_difficulties(judged, len(prompts), EVENNESS)
    numbers = (numbers - numbers.mean()) / max(float(numbers.std()), 1e-9)
    return dict(zip(prompts, numbers.tolist(), strict=True))


def predicted(
    annotations: Sequence[Annotation], difficulty: Mapping[int, float], *, as_published: bool = True
) -> list[float]:
    """The preference for a model that the fit predicts on each instruction if the lengths were equal.

    Args:
        annotations: the model's, at least two.
        difficulty: of each instruction.
        as_published: where judgements are missing, count instructions as the published values do: the n-th judgement
            gets the n-th difficulty, so that all after the gap are off by one. False gives each its own. It makes no
            difference for a model that was judged on every instruction.

    Raises:
        InputError: numpy is missing, there are too few annotations, or an instruction has no difficulty.
    """
    import numpy as np

    if len(annotations) < 2:
        raise InputError("Length control needs at least two judged instructions of a model.")
    ordered = sorted(annotations, key=lambda one: one.prompt)
    if _is_baseline(ordered):
        return [0.5] * len(ordered)  # by definition
    prompts = sorted(difficulty)[: len(ordered)] if as_published else [one.prompt for one in ordered]
    if len(prompts) < len(ordered) or any(one.prompt not in difficulty for one in ordered):
        raise InputError("An instruction has no difficulty: estimate them from models judged on all instructions.")
    numbers = np.array([difficulty[prompt] for prompt in prompts])
    features = np.column_stack([np.ones(len(ordered)), _length_terms(ordered), numbers])
    constant, _, weight = fit(features, _targets(ordered), PRIOR)
    return [float(value) for value in logistic(constant + weight * numbers)]


def length_controlled(
    annotations: Sequence[Annotation], difficulty: Mapping[int, float], *, as_published: bool = True
) -> Estimate:
    """The length-controlled win rate: the mean of `predicted`.

    Its standard error is the published one, over the predictions. It measures how far the instructions differ, and not
    how sure the fitted weights are, so that the truth lies outside of the interval more often than its level.
    """
    return mean_of(predicted(annotations, difficulty, as_published=as_published), 100)


def compare(
    first: Sequence[Annotation], second: Sequence[Annotation], difficulty: Mapping[int, float] | None = None
) -> Comparison:
    """Two models, paired by instruction: what makes an instruction easy for both does not blur their difference.

    Args:
        first: the annotations of one model.
        second: those of another, against the same baseline and by the same judge.
        difficulty: of each instruction, for the length-controlled difference.

    Raises:
        InputError: they share no instruction, or length control is impossible.
    """
    one, other = ({each.prompt: each for each in annotations} for annotations in (first, second))
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise InputError("The two models share no instruction, so they cannot be compared.")
    raw = mean_of([one[prompt].preference - other[prompt].preference for prompt in shared], 100)
    if difficulty is None:
        return Comparison(len(shared), raw, None)
    sides = [predicted([each[prompt] for prompt in shared], difficulty, as_published=False) for each in (one, other)]
    return Comparison(len(shared), raw, mean_of([a - b for a, b in zip(*sides, strict=True)], 100))


def _is_baseline(annotations: Sequence[Annotation]) -> bool:
    return all(one.preference == 0.5 and one.length == one.baseline_length for one in annotations)


def _targets(annotations: Sequence[Annotation]) -> Floats:
    import numpy as np

    targets = np.array([one.preference for one in annotations], dtype=np.float64)
    if not all(map(math.isfinite, targets)):
        raise InputError("A preference is no finite number: leave out what was not judged.")
    return targets


def _length_terms(annotations: Sequence[Annotation]) -> Floats:
    """tanh of the difference in length over its standard deviation, which is the model's own; the mean stays in."""
    import numpy as np

    gaps = np.array([one.length - one.baseline_length for one in annotations], dtype=np.float64)
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    return np.tanh(gaps / spread) if spread > 0 else np.zeros(len(gaps))


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
        games = [game_of(reply) for reply in replies]
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


FIELDS = ("prompt_id", "model", "preference", "length_model", "length_baseline")


class Annotation(NamedTuple):
    """One judgement of a model's answer against the baseline's.

    Attributes:
        prompt: the number of the instruction in the benchmark's order, from 0.
        preference: how far the model's answer was preferred, 0 to 1.
        length: characters of the model's answer.
        baseline_length: characters of the baseline's answer.
    """

    prompt: int
    preference: float
    length: int
    baseline_length: int


def read_annotations(path: Path) -> dict[str, list[Annotation]]:
    """Read judgements, in the benchmark's order and each once.

    Args:
        path: CSV, gzipped or not, with the columns of `FIELDS`. A preference is written as published: from 1 (the
            baseline's answer) to 2 (the model's), 0 for a tie; rows without one are left out.

    Returns:
        The judgements of each model.

    Raises:
        InputError: the file cannot be read, a column is missing, a row cannot be used, or a model has two different
            judgements of an instruction.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"The annotations {path} cannot be read: {error}.") from error
    reader = csv.DictReader(io.StringIO(text))
    if missing := [name for name in FIELDS if name not in (reader.fieldnames or ())]:
        raise InputError(f"The annotations {path} have no column {missing[0]}; they need {', '.join(FIELDS)}.")
    found: dict[str, dict[int, Annotation]] = {}
    for number, row in enumerate(reader, 2):
        try:
            one = _annotation(row)
            if one is not None and found.setdefault(row["model"], {}).setdefault(one.prompt, one) != one:
                raise ValueError(f"{row['model']} has another judgement of instruction {one.prompt}")
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}, line {number}: {error}.") from error
    return {model: [by_prompt[prompt] for prompt in sorted(by_prompt)] for model, by_prompt in found.items()}


def _annotation(row: Mapping[str, str]) -> Annotation | None:
    if any(row[name] is None for name in FIELDS):
        raise ValueError("the row is too short")
    if row["preference"].strip().lower() in ("", "nan"):
        return None
    preference = float(row["preference"])
    if preference != 0 and not 1 <= preference <= 2:
        raise ValueError(f"the preference {preference:g} is neither 0 nor from 1 to 2")
    one = Annotation(
        int(row["prompt_id"]), preference - 1 if preference else 0.5, *(int(row[name]) for name in FIELDS[3:])
    )
    if min(one.prompt, one.length, one.baseline_length) < 0:
        raise ValueError("a number or length is below zero")
    return one
