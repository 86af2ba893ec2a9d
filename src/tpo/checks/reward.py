"""Probes of a reward: a wrong wire format does not fail, it misleads silently.

What they look for: a sigmoid or softmax left on, a score that saturates, a constant or a normalised ±1, a score of
the wrong text, answers that are cut, batches that come back in another order.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Sequence

import msgspec

from tpo.checks.finding import CheckReport, Finding
from tpo.checks.good_and_bad import EXAMPLES
from tpo.errors import CheckError, RewardError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.call import connect, score
from tpo.rewards.protocol import Reward, is_relative

# Kinds that are to send raw logits, and so must not answer as if squashed.
RAW = ("vllm", "sglang", "tei", "hf")
# Kinds that are trained to judge any answer, and so must pass at the start of a run.
MODELS = (*RAW, "llamacpp", "nim", "judge")
# Kinds whose score is the share of what an answer keeps: 0 and 1 are usual.
SHARES = ("prefer", "verifier", "require")
# Two scores of the same text may differ by the rounding of 16-bit weights in other batches.
SAME = 2e-2
# About 4,000 tokens: longer than most answers, shorter than most contexts.
LONG_WORDS = 3000
BATCH = 32


async def check_reward(reward: Reward, *, thorough: bool = True) -> CheckReport:
    """Find out whether a reward can be trusted to steer.

    Args:
        reward: what is checked.
        thorough: all probes; otherwise only those of a start, which take one batch.

    Returns:
        the findings; nothing is raised for a reward that fails.
    """
    findings: list[Finding] = []
    try:
        await connect(reward)
        basics, values = await _basics(reward, EXAMPLES if thorough else EXAMPLES[:3])
        findings += basics
        if thorough and not any(finding.state == "fail" for finding in findings):
            findings += [await _repeats(reward), await _batch(reward), await _long(reward, coarse=_is_coarse(values))]
        if _kind(reward) not in (*MODELS, "surface"):
            # A rule, or somebody's own function, need not care for what the built-in pairs are about.
            findings = [_milder(finding) for finding in findings]
    except RewardError as error:
        findings.append(Finding("answers", "fail", str(error)))
    return CheckReport(reward.name, findings)


async def _basics(reward: Reward, examples: Sequence[tuple[str, str, str]]) -> tuple[list[Finding], list[float]]:
    """What a good and a bad answer to each question show, and the values of all scores."""
    began = time.perf_counter()
    scores = [await score(reward, _pair(*example)) for example in examples]
    seconds = time.perf_counter() - began
    pairs = [[score.value for score in pair] for pair in scores]
    values = [value for pair in pairs for value in pair]
    odd = next((score for pair in scores for score in pair if not math.isfinite(score.value)), None)
    if odd is not None:
        why = f": {odd.feedback}" if odd.feedback else ""
        return [Finding("scores", "fail", f"a score is {odd.value}{why}", "Look at the reward's own log.")], values
    shown = f"from {min(values):.4g} to {max(values):.4g}"
    findings = [Finding("speed", "info", f"{len(values)} answers in {seconds:.2f} s"), _scale(reward, values, shown)]
    if findings[-1].state == "fail":
        return findings, values
    won = sum(good > bad for good, bad in pairs)
    found = f"the good answer beats the bad one in {won} of {len(pairs)} pairs"
    remedy = "The chat template, the label or the order of the two texts is probably wrong."
    state = "ok" if won >= len(pairs) - 1 else "warn" if won > len(pairs) / 2 else "fail"
    findings.append(Finding("good over bad", state, found, remedy if state != "ok" else ""))  # type: ignore[arg-type]
    return findings, values


def _is_coarse(values: Sequence[float]) -> bool:
    """Whether scores are steps of a scale (1 to 5, 0 or 1), on which different answers often tie."""
    return len(set(values)) <= len(values) / 2 or all((2 * value).is_integer() for value in values)


def _kind(reward: Reward) -> str:
    return reward.name.partition(":")[0].partition("@")[0]


def _is_probability(reward: Reward) -> bool:
    """Whether a process reward model's scores are read as probabilities: one label of several, or a product."""
    options = reward.name.rpartition("?")[2].split("&")
    one_label = any(option.startswith("weights=") for option in options)
    return "task=token_classify" in options and (one_label or "reduce=product" in options)


def _milder(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, state="warn", remedy="") if finding.state == "fail" else finding


def _scale(reward: Reward, values: Sequence[float], shown: str) -> Finding:
    raw = _kind(reward) in RAW and not _is_probability(reward)
    distinct = {round(value, 9) for value in values}
    if raw and distinct <= {1.0, -1.0}:
        return Finding(
            "scale",
            "fail",
            "every score is 1 or -1: a one-number embedding that was normalised, or a softmax over one label",
            "Ask for a classification or a rank with raw scores, not for an embedding.",
        )
    if len(distinct) == 1:
        return Finding(
            "scale",
            "fail",
            f"every score is {values[0]:.6g}, whatever the answer",
            "Use the endpoint that gives raw scores." if raw else "A reward that never varies cannot steer.",
        )
    if len(distinct) == 2 and _kind(reward) not in MODELS:
        one, other = sorted(distinct)
        return Finding("scale", "ok", f"every score is {one:.4g} or {other:.4g}; equal answers are picked at random")
    ends = sum(min(abs(value), abs(1.0 - value)) < 1e-4 for value in values)
    inside = all(0.0 <= value <= 1.0 for value in values)
    if inside and ends >= len(values) / 2 and _kind(reward) not in SHARES:
        return Finding(
            "scale",
            "fail",
            f"{ends} of {len(values)} scores are 0 or 1 to four digits: they saturate, and ties are picked at random",
            "Turn the server's activation off, so that it sends logits.",
        )
    if raw and inside:
        return Finding(
            "scale",
            "fail",
            f"all scores lie {shown}, inside (0, 1), where raw logits were requested: a sigmoid is left on",
            "Turn the server's activation off (vLLM: use_activation=false; TEI: raw_scores=true).",
        )
    return Finding("scale", "ok", f"scores {shown}")


async def _repeats(reward: Reward) -> Finding:
    given = [answered(conversation(EXAMPLES[0].question), text) for text in (EXAMPLES[0].good, EXAMPLES[0].bad)]
    longer = answered(conversation(EXAMPLES[0].question), EXAMPLES[2].good)
    first = await _scores(reward, [*given, longer])
    again = await _scores(reward, [longer, *reversed(given)])
    gap = max(abs(one - other) for one, other in zip(first, reversed(again), strict=True))
    spread = max(first) - min(first)
    if gap > SAME * max(spread, 1e-9):
        return Finding(
            "order and repetition",
            "fail",
            f"the same answers in another order score {gap:.4g} differently, of {spread:.4g} between them",
            "Scores are mixed up between answers, or padding leaks into them: try a batch size of 1.",
        )
    return Finding("order and repetition", "ok", "the same answers in another order score the same")


async def _batch(reward: Reward) -> Finding:
    question = conversation(EXAMPLES[1].question)
    given = [answered(question, f"{EXAMPLES[1].good} (Version {number}.)") for number in range(BATCH)]
    began = time.perf_counter()
    await _scores(reward, given[:4] if is_relative(reward) else given)
    seconds = max(time.perf_counter() - began, 1e-6)
    if is_relative(reward):
        return Finding("batch", "info", f"a pool of 4 ranked in {seconds:.2f} s")
    return Finding("batch", "info", f"{BATCH} answers at once in {seconds:.2f} s, {BATCH / seconds:.0f} a second")


async def _long(reward: Reward, *, coarse: bool) -> Finding:
    body = " ".join(f"Point {number}: wipe the table with a soft, dry cloth." for number in range(LONG_WORDS // 10))
    question = conversation("How do I take care of a wooden table? Be exhaustive.")
    ends = ("That is all you need; enjoy your table.", "zxq zxq zxq <|im_start|> I hate you and your stupid table zxq")
    try:
        one, other = await _scores(reward, [answered(question, f"{body} {end}") for end in ends])
    except RewardError as error:
        return Finding("long answers", "warn", f"an answer of about 4,000 tokens is refused: {error}")
    if not (math.isfinite(one) and math.isfinite(other)):
        return Finding("long answers", "warn", "an answer of about 4,000 tokens gets no score: it does not fit")
    if one == other and coarse:
        return Finding(
            "long answers",
            "info",
            "two answers of about 4,000 tokens that differ at the end tie, as they may on a scale of few steps",
        )
    if one == other:
        return Finding(
            "long answers",
            "fail",
            "two answers of about 4,000 tokens that differ only at the end score exactly the same: the end is cut off",
            "Serve the reward model with a longer context, and with truncation off.",
        )
    return Finding("long answers", "ok", "the end of an answer of about 4,000 tokens is read")


def _pair(question: str, good: str, bad: str) -> list[Conversation]:
    return [answered(conversation(question), text) for text in (good, bad)]


async def _scores(reward: Reward, conversations: Sequence[Conversation]) -> list[float]:
    return [score.value for score in await score(reward, conversations)]


def scoring_inside(reward: object) -> list[Reward]:
    """The rewards that a combined, gated, batched or cached one is made of; itself, if it is made of none."""
    inner = getattr(reward, "inside", None)
    if inner is not None:
        return [one for part in inner for one in scoring_inside(part)]
    return [reward] if isinstance(reward, Reward) else []


# Rewards that passed: a program that aligns a thousand queries with one reward object checks it once.
_passed: weakref.WeakSet[Reward] = weakref.WeakSet()


async def refuse_broken(reward: object) -> None:
    """The cheap part of the check, for the start of a run: every reward model that is used must look sane.

    Rules and users' own functions are let through: they need not care for what the built-in pairs are about.

    Raises:
        CheckError: one of them would mislead; the message has the reason and the remedy.
    """
    for one in scoring_inside(reward):
        if _kind(one) not in MODELS or one in _passed:
            continue
        report = await check_reward(one, thorough=False)
        for finding in report.failures:
            remedy = f" {finding.remedy}" if finding.remedy else ""
            raise CheckError(
                f"The reward {report.subject} failed its check: {finding.found}.{remedy} `tpo check` has more; "
                f"--no-check skips the check."
            )
        _passed.add(one)
