"""Probes of a model: what its server can do, and whether it does what tpo relies on."""

from __future__ import annotations

import time

from tpo.checks.finding import CheckReport, Finding
from tpo.errors import ModelError
from tpo.messages import conversation
from tpo.models.openai import OpenAIModel
from tpo.models.protocol import Choice, Model, Receiver, Request, Usage

QUESTION = "Name one thing that floats on water, and say in a sentence why."


async def check_model(model: Model) -> CheckReport:
    """Find out what a model's server can do.

    Args:
        model: an opened model.

    Returns:
        the findings; nothing is raised for a server that fails.
    """
    findings = [Finding("server", "info", f"{model.profile.name}, answers drawn as {_drawn(model)}")]
    context = getattr(model, "context", None)
    if context:
        findings.append(Finding("context", "info", f"{context} tokens"))
    try:
        findings += await _answers(model)
        findings += [await _choices(model), await _seeds(model)]
        if isinstance(model, OpenAIModel):
            offered = "offered" if await model.offers_logprobs() else "not offered: a judge's grades are parsed instead"
            findings.append(Finding("logprobs", "info", offered))
    except ModelError as error:
        findings.append(Finding("answers", "fail", str(error)))
    return CheckReport(model.name, findings)


async def _answers(model: Model) -> list[Finding]:
    began = time.perf_counter()
    choices, usage = await _call(model)
    seconds = time.perf_counter() - began
    speed = f"{usage.completion_tokens} tokens in {seconds:.2f} s"
    text = choices[0].text.strip() if choices else ""
    if not text:
        thought = " (all of it reasoning)" if choices and choices[0].reasoning else ""
        return [Finding("answers", "warn", f"the answer is empty{thought}: {speed}", "Raise --max-tokens.")]
    findings = [Finding("answers", "ok", speed)]
    if not usage.prompt_tokens:
        findings.append(Finding("token counts", "warn", "the server does not count tokens; chunks are counted instead"))
    _, again = await _call(model)
    cached = f"{again.cached_tokens} of {again.prompt_tokens} prompt tokens from the cache at the second call"
    findings.append(Finding("prefix cache", "info", cached if again.cached_tokens else "none is reported"))
    return findings


async def _choices(model: Model) -> Finding:
    choices, _ = await _call(model, n=2)
    found = f"{len(choices)} for n=2"
    if len(choices) < 2 and model.profile.choices == "n":
        return Finding("choices per request", "warn", f"{found}; the rest is requested one by one")
    return Finding("choices per request", "info", found)


async def _seeds(model: Model) -> Finding:
    if not model.profile.seeds:
        return Finding("seeds", "warn", f"not sent: {model.profile.name} cannot handle them")
    texts = [(await _call(model, seed=11))[0][0].text for _ in range(2)]
    if texts[0] == texts[1]:
        return Finding("seeds", "ok", "the same seed gives the same answer")
    return Finding("seeds", "warn", "the same seed gave two different answers, so runs will not repeat exactly")


async def _call(model: Model, n: int = 1, seed: int | None = None) -> tuple[list[Choice], Usage]:
    choices: list[Choice] = []
    usage = Usage()
    request = Request(conversation(QUESTION), n=n, max_tokens=48, seed=seed)
    await model.generate(request, Receiver(usage, choices.append))
    return choices, usage


def _drawn(model: Model) -> str:
    if model.profile.choices == "n":
        return f"one request of up to {model.profile.max_choices} choices"
    return "separate requests"
