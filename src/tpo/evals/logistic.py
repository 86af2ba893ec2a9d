"""Logistic regression on shares: the fits that length control needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_STEPS = 100
_STILL = 1e-9
_LONGEST = 2.0  # of one step: Newton's overshoots where the curve is flat
_ROUNDS = 200  # of the joint fit, which settles after about thirty
_SETTLED = 1e-5


class CoefficientPrior(NamedTuple):
    """What is held of coefficients beforehand: a normal distribution for each.

    Attributes:
        centre: the likeliest value of each.
        precision: how firmly it is held; 0 for not at all.
    """

    centre: tuple[float, ...]
    precision: tuple[float, ...]


class ModelJudgements(NamedTuple):
    """One model's judgements, as the joint fit takes them.

    Attributes:
        places: which instruction each is about, counted from 0.
        targets: how far the model was preferred, 0 to 1.
        lengths: the length term of each.
    """

    places: Places
    targets: Floats
    lengths: Floats


def logistic(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), written so that it does not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), dtype=np.float64)


def fit(features: Floats, targets: Floats, prior: CoefficientPrior, offset: Floats | float = 0.0) -> Floats:
    """The likeliest coefficients (Newton's method; the likelihood is concave).

    Args:
        features: a row for each case.
        targets: the share of successes of each case, 0 to 1.
        prior: what is held of the coefficients.
        offset: a part of the log-odds that is known.
    """
    centre, precision = np.array(prior.centre), np.array(prior.precision)
    values = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        shares = logistic(offset + features @ values)
        slope = features.T @ (targets - shares) - precision * (values - centre)
        weighted = features * (shares * (1.0 - shares))[:, None]
        curve = weighted.T @ features + np.diag(precision + 1e-9)
        step = np.linalg.solve(curve, slope)
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-12))
        values = values + step
        if np.abs(step).max() < _STILL:
            break
    return values


def joint_difficulties(models: Sequence[ModelJudgements], count: int, precision: float) -> Floats:
    """How much easier each instruction is for all models alike.

    The log-odds that a model is preferred are its own constant, its own weight times the length term, and the
    instruction's number, which all models share. Models and instructions are fitted in turn until nothing moves.

    Args:
        models: the judgements of each model.
        count: how many instructions there are.
        precision: how firmly an instruction is held to be like the others; it keeps those finite that are always won
            or always lost.
    """
    numbers = np.zeros(count)
    loose = CoefficientPrior((0.0, 0.0), (0.0, 0.0))
    features = [np.column_stack([np.ones(len(one.targets)), one.lengths]) for one in models]
    for _ in range(_ROUNDS):
        before = numbers
        known = [
            each @ fit(each, one.targets, loose, offset=numbers[one.places])
            for one, each in zip(models, features, strict=True)
        ]
        for _ in range(3):
            slope, curve = -precision * numbers, np.full(count, precision)
            for one, part in zip(models, known, strict=True):
                shares = logistic(part + numbers[one.places])
                np.add.at(slope, one.places, one.targets - shares)
                np.add.at(curve, one.places, shares * (1.0 - shares))
            numbers = numbers + np.clip(slope / curve, -1.0, 1.0)
        if np.abs(numbers - before).max() < _SETTLED:
            break
    return numbers
