"""AlpacaEval 2: win rate, length-controlled win rate, and two models against each other.

Length control is the generalised linear model of Dubois et al. (2024, arXiv 2404.04475): the log-odds that a judge
prefers a model to the baseline are a constant of the model, a weight times the tanh of the standardised difference in
length, and another weight times the difficulty of the instruction. The length-controlled win rate is the mean
preference that the model predicts where the lengths are equal. docs/evaluation.md says how close this comes to the
published values, and why it is not exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tpo.errors import InputError
from tpo.evals.annotations import Annotation
from tpo.evals.logistic import Judged, Prior, fit, joint_difficulties, logistic
from tpo.stats import Estimate, mean_of

if TYPE_CHECKING:
    from tpo.evals.logistic import Floats

# The published fit is held together by the judged answers of two models that were told to be brief and to be wordy,
# with a weight of 0.2. These are not public beside the code, so their pull on the weights of length and difficulty is
# put as a normal prior, set by the published values of 43 models.
PRIOR = Prior((0.0, 1.90, 1.135), (0.0, 11.1, 65.5))
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
        Judged(np.array([place[one.prompt] for one in each]), _targets(each), _length_terms(each)) for each in used
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

    Its standard error is the published one, over the predictions. It says how far the instructions differ, and not
    how sure the fitted weights are, so that the truth lies outside of the interval more often than it says.
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
