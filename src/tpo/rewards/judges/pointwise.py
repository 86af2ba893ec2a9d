"""Each answer gets a grade of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tpo.errors import InputError
from tpo.messages import Conversation, text_of
from tpo.rewards.judges.client import JudgeClient
from tpo.rewards.judges.grades import ReadGrade, Scale, critique_in, read_grade
from tpo.rewards.judges.judge import JudgeReply, JudgeReward
from tpo.rewards.judges.labels import LabelExpectation, expected, place_of
from tpo.rewards.judges.wording import Wording
from tpo.rewards.protocol import Score
from tpo.scheduling.concurrency import together

# A grade and some markup; a critique of a few sentences and a grade.
GRADE_TOKENS, CRITIQUE_TOKENS = 8, 512


class PointwiseJudge(JudgeReward):
    """Grades answers on a scale, one call each (G-Eval, arXiv 2303.16634).

    Args:
        url: an OpenAI-compatible API; its key is in `TPO_JUDGE_API_KEY` or `TPO_API_KEY`.
        model: the model's name there; found by itself where one is served.
        rubric: a file that describes a good answer.
        templates: a folder with templates that replace the default wording.
        scale: "10" for grades from 1 to 10, or both ends ("0-4").
        critique: have the judge write a critique before it grades; it becomes the score's feedback.
        max_tokens: most tokens of a reply, thinking included.
        parallel: most calls in flight.
        logprobs: whether to make use of the probabilities of tokens.
        constrain: let the server allow no reply but a grade (vLLM, SGLang, llama.cpp); a model cannot think then.

    Raises:
        InputError: an argument cannot be used.
        PromptError: a template cannot.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        rubric: str | None = None,
        templates: str | None = None,
        scale: str = "10",
        critique: bool = False,
        max_tokens: int | None = None,
        parallel: int | None = None,
        logprobs: bool = True,
        constrain: bool = False,
    ) -> None:
        if constrain and critique:
            raise InputError("constrain=true leaves a judge nothing but its grade, so that it writes no critique.")
        self.scale = Scale.parse(scale)
        self.critique = critique
        super().__init__(
            "pointwise",
            JudgeClient(url, model, parallel=parallel, logprobs=logprobs),
            Wording("critique" if critique else "pointwise", self.scale, rubric, templates),
            (CRITIQUE_TOKENS if critique else GRADE_TOKENS) if max_tokens is None else max_tokens,
            one_of=self.scale.labels if constrain else (),
            scale=self.scale,
            critique=critique,
            logprobs=None if logprobs else "false",
        )

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Grade the last message of each conversation as the answer to those before it.

        Returns:
            A score for each conversation: its value on the scale, the expectation where the server reports
            probabilities and else the grade as it was written. Its parts are then the written `grade` and the
            probability `on_grades`. NaN, with the reason as feedback, where no grade can be read.

        Raises:
            RewardError: the server refuses, or answers no completion.
            RewardUnavailable: it may answer later.
        """
        return await together(self._score(conversation) for conversation in conversations)

    async def _score(self, conversation: Conversation) -> Score:
        reply = await self._call(conversation[:-1], answer=text_of(conversation[-1]))
        grade = read_grade(reply.text, self.scale)
        reading = self._expectation(reply, grade)
        words = critique_in(reply.text, grade) if self.critique else None
        if reading is not None:
            parts = {"grade": grade.value, "on_grades": reading.mass}
            return Score(reading.value, {n: x for n, x in parts.items() if math.isfinite(x)}, words)
        if math.isnan(grade.value):
            return Score(math.nan, {}, reply.unread(grade.problem or "the judge gave no grade"))
        return Score(grade.value, {}, words)

    def _expectation(self, reply: JudgeReply, grade: ReadGrade) -> LabelExpectation | None:
        if not reply.tokens or (self.critique and grade.start is None):
            return None
        if grade.start is not None and (math.isnan(grade.value) or not grade.value.is_integer()):
            return None  # it grades by a scale of its own, or with decimals
        place = place_of(reply.text, grade.start or 0, reply.tokens)
        spoken = None if math.isnan(grade.value) else grade.value
        return None if place is None else expected(reply.tokens, place, self.scale.labels, spoken)
