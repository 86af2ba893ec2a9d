"""AlpacaEval 2: win rate, length-controlled win rate, and two models against each other.

Length control is the generalised linear model of Dubois et al. (2024, arXiv 2404.04475): the log-odds that a judge
prefers a model to the baseline are a constant of the model, a weight times the tanh of the standardised difference in
length, and another weight times the difficulty of the instruction. The length-controlled win rate is the mean
preference that the model predicts where the lengths are equal. docs/evaluation.md says how close this comes to the
published values, and why it is not exact.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tpo.errors import InputError
from tpo.evals.estimates import Estimate, mean_of
from tpo.evals.logistic import Judged, Prior, fit, joint_difficulties, logistic, needed

if TYPE_CHECKING:
    from tpo.evals.logistic import Floats

FIELDS = ("prompt_id", "model", "preference", "length_model", "length_baseline")

# The published fit is held together by the judged answers of two models that were told to be brief and to be wordy,
# with a weight of 0.2. Those answers are not public in the repository, so their pull on the weights of length and
# difficulty is put as a normal prior, set by the published values of the models in shared/data.
PRIOR = Prior((0.0, 1.90, 0.835), (0.0, 11.1, 121.0))
# How firmly instructions are held to be alike; it was set together with the prior, which depends on their scale.
EVENNESS = 0.3
# Made to fool the judge or length control, so that they say nothing of how difficult an instruction is.
ADVERSARIAL = ("NullModel", "gpt4_gamed")


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


class Comparison(NamedTuple):
    """Two models on the instructions that both were judged on; positive numbers favour the first.

    Attributes:
        count: how many instructions these are.
        win_rate: the difference of the win rates.
        length_controlled: the difference of the length-controlled win rates; None without difficulties.
    """

    count: int
    win_rate: Estimate
    length_controlled: Estimate | None


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
    if row["preference"].strip().lower() in ("", "nan"):
        return None
    said = float(row["preference"])
    if said != 0 and not 1 <= said <= 2:
        raise ValueError(f"the preference {said:g} is neither 0 nor from 1 to 2")
    one = Annotation(int(row["prompt_id"]), said - 1 if said else 0.5, *(int(row[name]) for name in FIELDS[3:]))
    if min(one.prompt, one.length, one.baseline_length) < 0:
        raise ValueError("a number or length is below zero")
    return one


def win_rate(annotations: Sequence[Annotation]) -> Estimate:
    """How often the model is preferred: the mean preference, with its standard error over instructions.

    Raises:
        InputError: there is no annotation, or a preference is not finite.
    """
    return mean_of([one.preference for one in annotations])


def difficulties(
    annotations: Mapping[str, Sequence[Annotation]], leave_out: Iterable[str] = ADVERSARIAL
) -> dict[int, float]:
    """A number for each instruction, higher where models do better against the baseline; fitted jointly over models.

    Args:
        annotations: of many models, the published ones for instance. Models that never differ from the baseline say
            nothing here and are passed over.
        leave_out: models that shall not count.

    Raises:
        InputError: numpy is missing, or no model is left.
    """
    needed()
    import numpy as np

    left_out = set(leave_out)
    used = [each for model, each in annotations.items() if model not in left_out and each and not _is_baseline(each)]
    if not used:
        raise InputError("There is no model to estimate difficulties from: give the annotations of several models.")
    prompts = sorted({one.prompt for each in used for one in each})
    place = {prompt: number for number, prompt in enumerate(prompts)}
    judged = [
        Judged(np.array([place[one.prompt] for one in each]), _targets(each), _length_terms(each)) for each in used
    ]
    numbers = joint_difficulties(judged, len(prompts), EVENNESS)
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
    needed()
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

    Its standard error is the published one, over the predictions. It says how far the instructions differ, and not
    how sure the fitted weights are, so that the truth lies outside of the interval more often than it says.
    """
    return mean_of(predicted(annotations, difficulty, as_published=as_published))


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
    raw = mean_of([one[prompt].preference - other[prompt].preference for prompt in shared])
    if difficulty is None:
        return Comparison(len(shared), raw, None)
    sides = [predicted([each[prompt] for prompt in shared], difficulty, as_published=False) for each in (one, other)]
    return Comparison(len(shared), raw, mean_of([a - b for a, b in zip(*sides, strict=True)]))


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
