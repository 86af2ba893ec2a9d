"""Does a checklist tell answers apart, and does it agree with the examples that it was made of?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tpo.checks.finding import Finding
from tpo.checks.good_and_bad import EXAMPLES
from tpo.messages import Conversation
from tpo.rewards.prefer.checklist import UNIVERSAL
from tpo.rewards.prefer.reward import KEPT, PreferReward
from tpo.scheduling.concurrency import together

# Items that differ by less over all answers are flat.
FLAT = 0.05
_ANY = "Please answer."
REWORD = "Reword these items, one thing that can be seen in an answer each, or drop them."
ELSEWHERE = (
    "These answers come with tpo and are about other things: an item of yours may have no signal here and do well on "
    "your queries. Measure it on pairs of yours: tpo check --prefer FILE --pairs PAIRS."
)


async def check_checklist(reward: PreferReward) -> list[Finding]:
    """Check a checklist on the user's own examples, or on our pairs of good and bad answers where it is a rubric.

    Args:
        reward: the reward; it is connected to.

    Raises:
        RewardError: the judge cannot be reached.
    """
    await reward.connect()
    examples = reward.preference.examples
    answers = (
        [(one.query or _ANY, one.answer, one.liked) for one in examples]
        if examples
        else [(one.question, text, good) for one in EXAMPLES for text, good in ((one.good, True), (one.bad, False))]
    )
    talks = [_talk(query, answer) for query, answer, _ in answers]
    replies = await together([reward.item_scores(talk) for talk in talks])
    table = [[item.value for item in row] for row in replies]
    findings = [Finding("checklist", "info", "; ".join(reward.items))]
    if any(value is not None for row in table for value in row):
        findings.append(_flat(reward.items, table, ours=not examples))
    else:
        found = f"the judge answers no item with yes or no: {replies[0][0].problem}"
        remedy = "Name a larger judge (judge=URL), or let one that thinks write more (max_tokens=1000)."
        findings.append(Finding("items", "fail", found, remedy))
    if examples:
        values = [_mean(row) for row in table]
        liked = [value for value, (_, _, is_liked) in zip(values, answers, strict=True) if is_liked]
        disliked = [value for value, (_, _, is_liked) in zip(values, answers, strict=True) if not is_liked]
        findings.append(_agreement(liked, disliked))
    return findings


def _talk(query: str, answer: str) -> Conversation:
    return [{"role": "user", "content": query}, {"role": "assistant", "content": answer}]


def _mean(row: Sequence[float | None]) -> float:
    read = [value for value in row if value is not None]
    return math.fsum(read) / len(read) if read else math.nan


def _flat(items: Sequence[str], table: Sequence[Sequence[float | None]], *, ours: bool) -> Finding:
    """Which items have the same verdict for every answer.

    Args:
        items: the checklist.
        table: for each answer, the probability of yes for each item.
        ours: the answers are those that come with tpo, which are about other things than the user's.
    """
    flat, unread = [], []
    for item, column in zip(items, zip(*table, strict=True), strict=True):
        read = [value for value in column if value is not None]
        if not read:
            unread.append(item)
        elif max(read) - min(read) < FLAT:
            flat.append(f"{item} (always {'yes' if read[0] >= KEPT else 'no'})")
    if len(flat) + len(unread) == len(items):
        found = f"the checklist is flat: every item has the same answer for all {len(table)} answers: {'; '.join(flat)}"
        if ours and UNIVERSAL not in items:
            return Finding("items", "warn", found, ELSEWHERE)
        # Half of our answers do not do what was requested, which a judge sees by the item that tpo adds.
        return Finding(
            "items", "fail", found, "Name a larger judge (judge=URL)." if ours else f"{REWORD} Or name a larger judge."
        )
    if flat or unread:
        parts = [f"no signal: {'; '.join(flat)}"] if flat else []
        parts += [f"never answered with yes or no: {'; '.join(unread)}"] if unread else []
        return Finding("items", "warn", f"of {len(items)} items, {'. '.join(parts)}", _remedy(flat, unread, ours=ours))
    return Finding("items", "ok", f"all {len(items)} items tell answers apart")


def _remedy(flat: Sequence[str], unread: Sequence[str], *, ours: bool) -> str:
    if all(item.startswith(UNIVERSAL) for item in [*flat, *unread]):
        why = (
            "half of these answers should fail it: name a larger judge"
            if ours
            else "all of your examples are alike in it"
        )
        return f"tpo adds this item, and {why}; universal=false leaves it out."
    return ELSEWHERE if ours and not unread else REWORD


def _agreement(liked: Sequence[float], disliked: Sequence[float]) -> Finding:
    pairs = [(one, other) for one in liked for other in disliked if not (math.isnan(one) or math.isnan(other))]
    if not pairs:
        return Finding("examples", "fail", "no pair of a liked and a disliked answer has a score")
    right = sum((one > other) + 0.5 * (one == other) for one, other in pairs) / len(pairs)
    found = f"a liked answer scores above a disliked one in {right:.0%} of {len(pairs)} pairs, a tie counting half"
    if right <= 0.5:
        remedy = "Write a rubric, one line for each item with a dash; or name a larger judge."
        return Finding("examples", "fail", f"the checklist contradicts the examples: {found}", remedy)
    return Finding("examples", "ok" if right >= 0.75 else "warn", found)
