"""The two benchmarks that the paper measures in mean reward: HH-RLHF and BeaverTails.

The paper's reward model there is the one that steered the answers, so that its scores of them are partly of its own
making. It stands here beside a reward that nothing was steered by.
"""

from __future__ import annotations

from tpo.evals.benchmarks.protocol import (
    NO_HELD_OUT,
    NO_REWARD,
    AnswerScorer,
    Benchmark,
    Column,
    Grade,
    Graders,
    Response,
    Row,
)

NO_SCORE = "the reward gave no finite number"


def reward_columns(title: str) -> tuple[Column, ...]:
    """The columns of a benchmark that is measured in mean reward."""
    return (
        Column("reward", title, "reward", "mean of the reward that steered, as in the paper"),
        Column("held_out", f"{title} held out", "reward", "mean of a reward that nothing was steered by"),
    )


class Rewarded(Benchmark):
    """A benchmark that is measured in mean reward."""

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`."""
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        if response.reward is not None:
            values["reward"] = response.reward
        else:
            await _score("reward", graders.reward, NO_REWARD, row, response, values, missing)
        await _score("held_out", graders.held_out, NO_HELD_OUT, row, response, values, missing)
        return Grade(values, missing)


async def _score(
    name: str,
    scorer: AnswerScorer | None,
    without: str,
    row: Row,
    response: Response,
    values: dict[str, float],
    missing: dict[str, str],
) -> None:
    score = await scorer.score(row.messages, response.text) if scorer is not None else None
    if score is not None:
        values[name] = score
    else:
        missing[name] = without if scorer is None else NO_SCORE
