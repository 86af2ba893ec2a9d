"""What a method costs for a query, and what training the same policy would cost.

FLOPs are reckoned from parameter counts: a token that is read or written takes 2 per parameter of the model
(arXiv 2001.08361, section 2.1). The paper (arXiv 2501.12895) gives two figures for a policy of 70 billion parameters
without a derivation: 72,840 PFLOPs for DPO on 64,000 samples of 2,048 tokens, and 9.3 PFLOPs for a query
of TPO at D2-N5 with 4,096 tokens of context. 8 FLOPs per parameter and token (forward and backward pass, and a forward
pass of the reference model) give the first to within 1 %; the 15 answers alone, without critiques and reward, but with
their attention, give the second. Here all tokens of all roles count that were really read and written; attention,
which adds 8 % at 4,096 tokens to a model of that size, does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from tpo.engine.records import JUDGE
from tpo.engine.result import RoleUsage
from tpo.errors import InputError
from tpo.models.sizes import count_of, parameters_in

FORWARD = 2.0
TRAINING = 8.0
# The DPO run that the paper holds TPO against.
TRAINING_SAMPLES, TRAINING_LENGTH = 64_000, 2_048
PETA = 1e15

ROLES = ("policy", "critic", "editor", "reward")
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)([MBT]?)", re.IGNORECASE)


class MeanCost(msgspec.Struct, frozen=True):
    """What a query cost, on average.

    Attributes:
        queries: over how many.
        calls: requests to policy, critic and editor, repeated ones included.
        prompt_tokens: tokens sent, by all roles.
        completion_tokens: tokens generated, by all roles.
        seconds: from a query's first call to its end, under the load that there was.
        flops: of all roles; None where a parameter count is not known.
        unknown: the roles without a parameter count.
    """

    queries: int
    calls: float
    prompt_tokens: float
    completion_tokens: float
    seconds: float
    flops: float | None
    unknown: list[str] = []

    @property
    def tokens(self) -> float:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


class Training(msgspec.Struct, frozen=True):
    """What aligning the policy by training would cost, at the size of the paper's DPO run.

    Attributes:
        parameters: of the policy.
        flops: of the training.
        queries: by method, after how many queries it has cost as much as the training.
    """

    parameters: float
    flops: float
    queries: dict[str, float]


def cost_of(
    usages: Iterable[Mapping[str, RoleUsage]], seconds: float, queries: int, parameters: Mapping[str, float]
) -> MeanCost | None:
    """What a query cost.

    Args:
        usages: what the roles of some runs cost; a held-out judge measures, and is no part of it.
        seconds: what their queries took, added up.
        queries: how many these are; a conversation of two turns is one.
        parameters: of the model in each role.

    Returns:
        The average; None without a query.
    """
    if not queries:
        return None
    calls = prompt = completion = 0
    flops = 0.0
    unknown: list[str] = []
    for usage in usages:
        for role, used in usage.items():
            if role == JUDGE:
                continue
            calls += used.calls if role != "reward" else 0  # there a call is a score
            prompt += used.prompt_tokens
            completion += used.completion_tokens
            computed = used.prompt_tokens - used.cached_tokens + used.completion_tokens
            if role in parameters:
                flops += FORWARD * parameters[role] * computed
            elif computed and role not in unknown:
                unknown.append(role)
    known = None if unknown else flops / queries
    return MeanCost(queries, calls / queries, prompt / queries, completion / queries, seconds / queries, known, unknown)


def training_of(parameters: Mapping[str, float], costs: Mapping[str, MeanCost]) -> Training | None:
    """What training would cost instead.

    Args:
        parameters: of the model in each role.
        costs: of a query, by method.
    """
    policy = parameters.get("policy")
    if policy is None:
        return None
    flops = TRAINING * policy * TRAINING_SAMPLES * TRAINING_LENGTH
    return Training(policy, flops, {name: flops / cost.flops for name, cost in costs.items() if cost.flops})


def parse_parameters(given: Iterable[str]) -> dict[str, float]:
    """Parameter counts as they are written: `ROLE=COUNT`, such as policy=70B.

    Raises:
        InputError: one is malformed.
    """
    found: dict[str, float] = {}
    for text in given:
        role, _, number = text.partition("=")
        written = _WRITTEN.fullmatch(number.strip())
        if role not in ROLES or written is None or not (count := count_of(*written.groups())):
            raise InputError(
                f"The parameter count {text!r} is not understood: write ROLE=COUNT, such as policy=70B; roles are "
                f"{', '.join(ROLES)}."
            )
        found[role] = count
    return found


def parameters_of(given: Mapping[str, float], models: Mapping[str, str]) -> dict[str, float]:
    """The parameter counts of all roles: as given, of the same model in another role, or as the model's name has it.

    Args:
        given: by role.
        models: the model's name in each role.
    """
    found = dict(given)
    for role, name in models.items():
        same = [given[other] for other, its in models.items() if its == name and other in given]
        count = same[0] if same else parameters_in(name)
        if role not in found and count is not None:
            found[role] = count
    return found
