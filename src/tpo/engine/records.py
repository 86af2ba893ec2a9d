"""The records of a journal, one per line, in the order in which things happened.

A record's place in the search is `turn` (how many times the method had yielded before), `action` (which of the
actions yielded together) and, for samples, `index`. The method is deterministic, so the place is enough to find the
result again when the journal is fed to a new generator.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tpo.candidate import Rank, rank
from tpo.messages import Conversation
from tpo.methods.lifts import Lift
from tpo.models.protocol import Usage
from tpo.options import default
from tpo.prompts.prompt import Role

# The role of a held-out judge's calls.
JUDGE = "judge"


class SamplingSettings(msgspec.Struct, frozen=True):
    """Sampling settings, which all roles share.

    Attributes:
        temperature: sampling temperature.
        top_p: nucleus mass.
        max_tokens: completion tokens per answer.
        critic_max_tokens: completion tokens per critique.
        seed: seed of the run; None for a different result each time.
        quorum: answers of a step that suffice to go on; the rest is cancelled. None waits for all.
        extra: further fields of the requests for answers (tools, stop, response_format, …), which critiques do not get.
    """

    temperature: float = default("temperature")
    top_p: float = default("top_p")
    max_tokens: int = default("max_tokens")
    critic_max_tokens: int = default("max_tokens")
    seed: int | None = None
    quorum: int | None = None
    extra: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that decides the result: two runs with the same plan may share a journal.

    Attributes:
        query: the conversation to answer.
        method: the method's name.
        width: N.
        depth: D.
        settings: how text is sampled.
        prompts: the prompt set's name, which holds a hash of its wording.
        models: the model of each role.
        reward: the reward's name; None where the method needs none.
        method_settings: the method's own settings, those that differ from its defaults.
        method_code: a hash of the source of a method that is named by its place in Python code.
        judge: the name of the held-out judge; it decides no answer, and the same run is not measured by two.
        select: the rule that chooses the answer among the candidates.
    """

    query: Conversation
    method: str
    width: int
    depth: int
    settings: SamplingSettings
    prompts: str
    models: dict[Role, str]
    reward: str | None
    method_settings: dict[str, Any] = {}
    method_code: str = ""
    judge: str | None = None
    select: str = "best"


class Started(msgspec.Struct, frozen=True, omit_defaults=True, tag="started", tag_field="record"):
    """A run began.

    Attributes:
        plan: what it is going to do.
        version: tpo's version.
        at: wall-clock time, ISO 8601; for people only.
        lifts: by how much the answers to a prompt exceed plain ones, as the queries of the run that were over by then
            showed; as the method got it.
    """

    plan: Plan
    version: str
    at: str
    lifts: dict[str, Lift] = {}


class Resumed(msgspec.Struct, frozen=True, tag="resumed", tag_field="record"):
    """The run continues in another process.

    Attributes:
        seconds: how long the run had taken until then.
        at: wall-clock time, ISO 8601.
    """

    seconds: float
    at: str


class Prompted(msgspec.Struct, frozen=True, tag="prompted", tag_field="record"):
    """An action began: these messages are being sent.

    Attributes:
        step: the step that the action works towards.
        name: the prompt's name (answer, loss, …).
        role: which model.
        messages: what is sent.
        chosen: id of the candidate shown as the better one.
        rejected: id of the candidate shown as the worse one.
        width: how many answers are drawn; None for a single reply to the method.
        sampling: what the method decided about sampling itself: temperature, stop, max_tokens, seed, prefix.
    """

    turn: int
    action: int
    step: int
    name: str
    role: Role
    messages: Conversation
    chosen: str | None = None
    rejected: str | None = None
    width: int | None = None
    sampling: dict[str, Any] | None = None


# The error of a call that was cancelled before its end.
CALL_CUT_SHORT = "cut short"


class Called(msgspec.Struct, frozen=True, tag="called", tag_field="record"):
    """One call of a backend, successful or not.

    Attributes:
        role: policy, critic, editor, reward or judge.
        began: seconds from the start of the run.
        seconds: how long the call took, from when it was sent.
        usage: tokens that it took.
        retry: this call repeats a failed one.
        error: why it failed, or that it was cut short.
        waited: seconds before that in which it waited for other calls.
        arm: the arm of a panel that was called.
    """

    turn: int
    action: int
    role: str
    began: float
    seconds: float
    usage: Usage
    retry: bool = False
    error: str | None = None
    waited: float = 0.0
    arm: str | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the call was cancelled before its end."""
        return self.error == CALL_CUT_SHORT


class Sampled(msgspec.Struct, frozen=True, tag="sampled", tag_field="record"):
    """An answer landed, or failed to.

    Attributes:
        id: the candidate's id.
        text: the answer as the reward will see it.
        reply: the model's whole reply, where it differs from the text.
        reasoning: the model's reasoning, where the server sends it separately.
        error: why there is no answer.
        message: the assistant's message where it is more than text: its tool calls, its refusal.
        logprobs: as the server sent them, where they were requested.
        leaked: words of our prompt that the answer repeats, inside it or as all of it; what it repeated at an end is
            cut off.
        arm: the arm of a panel that wrote it.
    """

    turn: int
    action: int
    index: int
    step: int
    id: str
    text: str
    finish_reason: str
    tokens: int
    reply: str | None = None
    reasoning: str | None = None
    error: str | None = None
    message: dict[str, Any] | None = None
    logprobs: dict[str, Any] | None = None
    leaked: str | None = None
    arm: str | None = None


class Scored(msgspec.Struct, frozen=True, tag="scored", tag_field="record"):
    """An answer got its reward, or why it got none.

    Attributes:
        fault: why the answer ranks below all others with a reward, whatever its own is.
    """

    turn: int
    action: int
    index: int
    id: str
    reward: float | None
    parts: dict[str, float] = {}
    feedback: str | None = None
    error: str | None = None
    fault: str | None = None
    missing: dict[str, str] = {}

    @property
    def rank(self) -> Rank:
        """What answers are ordered by: the better has the larger."""
        return rank(self.reward, leaked=self.fault is not None)


class Replied(msgspec.Struct, frozen=True, tag="replied", tag_field="record"):
    """The method's question was answered (a loss, a gradient, …).

    Attributes:
        text: the reply as the method gets it.
        reply: the model's whole reply, where it differs from the text.
        reasoning: the model's reasoning, where the server sends it separately.
        tokens: completion tokens that the reply took.
    """

    turn: int
    action: int
    step: int
    name: str
    text: str
    reply: str | None = None
    reasoning: str | None = None
    tokens: int = 0


class Rated(msgspec.Struct, frozen=True, tag="rated", tag_field="record"):
    """A text that is no answer of the query, a part of one for instance, got its reward, or why it got none.

    Attributes:
        index: its place among the texts that were scored together.
        text: what was scored.
    """

    turn: int
    action: int
    index: int
    text: str
    reward: float | None
    parts: dict[str, float] = {}
    feedback: str | None = None
    error: str | None = None


class Paused(msgspec.Struct, frozen=True, tag="paused", tag_field="record"):
    """The answers of a turn are all there, and whether the search draws more is decided for the whole run.

    From here on nothing of the turn is tried again, so that the decision is the same when the run is continued.
    """

    turn: int


class Judged(msgspec.Struct, frozen=True, tag="judged", tag_field="record"):
    """A held-out judge, by which nothing was chosen, scored the first sample and the answer.

    Attributes:
        judge: its name.
        first: id of the first sample.
        chosen: id of the answer.
        first_score: the first sample's score; None where it has none.
        chosen_score: the answer's score; None where it has none.
        error: why a score is missing.
    """

    judge: str
    first: str
    chosen: str
    first_score: float | None = None
    chosen_score: float | None = None
    error: str | None = None


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="record"):
    """The run is over.

    Attributes:
        stop: why: depth, converged, enough, budget, context, deadline, interrupt, or error.
        chosen: id of the answer, if there is one.
        seconds: how long it took.
        error: what went wrong, for `stop` "error".
    """

    stop: str
    chosen: str | None
    seconds: float
    error: str | None = None


Record: TypeAlias = Started | Resumed | Prompted | Called | Sampled | Scored | Replied | Rated | Paused | Judged | Ended
