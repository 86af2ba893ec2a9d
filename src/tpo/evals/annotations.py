"""Reading AlpacaEval's annotations: which answer a judge preferred, and how long the two were."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tpo.errors import InputError

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
