"""Which of a search's candidates is the answer, for rewards that are not to be trusted to the last digit.

A rule works on the candidates of any finished search. The default, "best", is the highest reward; the others give up
some reward for less of what the reward is wrong about.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods.actions import Action, Ask, BudgetSpent, Outcome, Sample, Search
from tpo.methods.kinds import kinds, similarities
from tpo.methods.pool import Pool, preference
from tpo.prompts.prompt_set import PromptSet

BEST = "best"
TEMPLATES = Path(__file__).parent / "templates" / "select"


class SelectionInput(NamedTuple):
    """What a rule chooses from.

    Attributes:
        query: the conversation that is answered.
        candidates: the answers that may be chosen, best reward first.
        value: the rule's number.
        prompts: the wording.
        rng: makes random choices.
    """

    query: Conversation
    candidates: list[Candidate]
    value: float
    prompts: PromptSet
    rng: random.Random


Choice = Generator[list[Action], Any, Candidate]


class _Rule(NamedTuple):
    """A kind of rule, its number unless given, and the bounds of that."""

    choose: Callable[[SelectionInput], Choice]
    usual: float
    least: float
    most: float


class Selection(NamedTuple):
    """A selection rule as a user names it.

    Attributes:
        name: of the rule.
        value: its number.
    """

    name: str
    value: float = 0.0

    @property
    def label(self) -> str:
        """The rule in full, with its number."""
        return self.name if self.name == BEST else f"{self.name}:{self.value:g}"

    @property
    def templates(self) -> tuple[Path, ...]:
        """The folders of templates that it brings along."""
        return (TEMPLATES,) if self.name == "knockout" else ()

    def applied(
        self,
        search: Search,
        query: Conversation,
        prompts: PromptSet,
        rng: random.Random,
        required: Collection[str] = (),
    ) -> Search:
        """A search that ends with this rule's choice among its candidates.

        Args:
            search: the search.
            query: what it answers.
            prompts: the wording.
            rng: makes random choices.
            required: parts of the reward that come before all else: only candidates that keep as many of them as the
                best one are chosen from.
        """
        return search if self.name == BEST else _choosing(search, self, query, prompts, rng, required)


def parse_selection(text: str) -> Selection:
    """Read a rule such as "best", "soft:10" or "knockout".

    Raises:
        InputError: there is no such rule, or its number is out of range.
    """
    found = re.fullmatch(r"\s*([a-z]+)\s*(?::\s*([^\s:]+)\s*)?", text)
    name = found[1] if found else text
    if found and name == BEST and found[2] is None:
        return Selection(BEST)
    if found is None or name not in _RULES:
        known = ", ".join([BEST, *(f"{name}[:{rule.usual:g}]" for name, rule in _RULES.items())])
        raise InputError(f"The selection rule is {text!r}; it must be one of {known}.")
    rule = _RULES[name]
    try:
        value = rule.usual if found[2] is None else float(found[2])
    except ValueError:
        value = math.nan
    if not rule.least <= value <= rule.most or (name == "knockout" and value % 1):
        kind = "a whole number" if name == "knockout" else "a number"
        raise InputError(f"The selection rule is {text!r}: {name} takes {kind} from {rule.least:g} to {rule.most:g}.")
    return Selection(name, value)


def _choosing(
    search: Search,
    rule: Selection,
    query: Conversation,
    prompts: PromptSet,
    rng: random.Random,
    required: Collection[str],
) -> Search:
    pool = Pool()
    outcome: Outcome
    try:
        wish = next(search)
        while True:
            try:
                results = yield wish
            except BudgetSpent as spent:
                wish = search.throw(spent)  # a method may catch it
                continue
            pairs = zip(wish, results, strict=True) if isinstance(wish, list) else [(wish, results)]
            for action, result in pairs:
                if isinstance(action, Sample):
                    pool.add(result)
            wish = search.send(results)
    except BudgetSpent:
        outcome = Outcome(pool.chosen, "budget")
    except StopIteration as end:
        outcome = end.value
    finally:
        search.close()
    scored = [one for one in pool.candidates if one.text and one.reward is not None and one.leaked is None]
    # sorted() keeps the order of equals, in reverse too.
    candidates = sorted(scored, key=preference, reverse=True)
    kept = [sum(one.parts.get(name, 0.0) for name in required) for one in candidates]
    candidates = [one for one, count in zip(candidates, kept, strict=True) if count >= max(kept)]
    if len({one.text for one in candidates}) < 2:
        return outcome
    chosen = yield from _RULES[rule.name].choose(SelectionInput(query, candidates, rule.value, prompts, rng))
    return Outcome(chosen, outcome.stop)


def _soft(given: SelectionInput) -> Choice:
    """Soft best-of-n (arXiv 2505.03156): by chance, the better the likelier."""
    yield from ()
    odds = soft_odds(quantiles([one.reward or 0.0 for one in given.candidates]), given.value)
    return given.rng.choices(given.candidates, odds)[0]


def _hedged(given: SelectionInput) -> Choice:
    """Best of Poisson (arXiv 2506.19248): the best of a random number of random answers, one at least."""
    yield from ()
    number = min(1 + _poisson(given.value, given.rng), len(given.candidates))
    return max(given.rng.sample(given.candidates, number), key=preference)


def _mbr(given: SelectionInput) -> Choice:
    """MBR-BoN (arXiv 2404.01054): reward, and similarity to the other answers."""
    yield from ()
    rewards = [one.reward or 0.0 for one in given.candidates]
    low, span = min(rewards), max(rewards) - min(rewards)
    # From 0 to 1 within the query, so that the weight means the same for every reward.
    scaled = [(reward - low) / span if span > 0 else 0.0 for reward in rewards]
    scores = mbr_scores(scaled, similarities([one.text for one in given.candidates]), given.value)
    return given.candidates[scores.index(max(scores))]


def _majority(given: SelectionInput) -> Choice:
    """Best of majority (arXiv 2510.03199): the best of the answers of a kind that is frequent enough.

    With 1 it is self-consistency (arXiv 2203.11171): the most frequent result, unless several are equally frequent.
    """
    yield from ()
    kind_of = kinds(given.candidates)
    sizes = Counter(kind_of)
    needed = max(given.value * len(kind_of), 2.0) if given.value > 0 else 1.0
    frequent = {kind for kind, size in sizes.items() if size >= needed} or {
        kind for kind, size in sizes.items() if size == max(sizes.values())
    }
    return next(one for one, kind in zip(given.candidates, kind_of, strict=True) if kind in frequent)


def _knockout(given: SelectionInput) -> Choice:
    """Knockout (PairJudge, arXiv 2501.13007): pairs are compared by the critic, and the winners again.

    Each pair is compared so often, half of the times in the other order. Texts that are equal do not meet.
    """
    from tpo.rewards.judges.verdicts import TIE, read_verdict  # judges bring an HTTP stack along

    different = {one.text: one for one in reversed(given.candidates)}
    place = {one.id: place for place, one in enumerate(given.candidates)}
    alive = sorted(different.values(), key=lambda one: place[one.id])
    given.rng.shuffle(alive)
    while len(alive) > 1:
        pairs = list(zip(alive[::2], alive[1::2], strict=False))
        games = [
            (first, second) if number % 2 == 0 else (second, first)
            for first, second in pairs
            for number in range(int(given.value))
        ]
        replies = yield [
            Ask(given.prompts.render("compare", given.query, role="critic", first=first, second=second), closing=True)
            for first, second in games
        ]
        points = dict.fromkeys(place, 0.0)
        for (first, second), reply in zip(games, replies, strict=True):
            verdict = read_verdict(str(reply)).value
            won = TIE if verdict is None else verdict
            points[first.id] += won
            points[second.id] += 1 - won
        winners = [max(pair, key=lambda one: (points[one.id], -place[one.id])) for pair in pairs]
        alive = winners + alive[2 * len(pairs) :]
    return alive[0]


_RULES: dict[str, _Rule] = {
    "soft": _Rule(_soft, 10.0, 0.0, 1000.0),
    "hedged": _Rule(_hedged, 8.0, 0.0, 500.0),
    "mbr": _Rule(_mbr, 1.0, 0.0, 1000.0),
    "majority": _Rule(_majority, 0.1, 0.0, 1.0),
    "knockout": _Rule(_knockout, 2, 1, 16),
}


def soft_odds(values: Sequence[float], sharpness: float) -> list[float]:
    """The chance of each candidate: exp(sharpness * value) over the sum."""
    top = max(values)
    weights = [math.exp(sharpness * (value - top)) for value in values]
    return [weight / sum(weights) for weight in weights]


def mbr_scores(rewards: Sequence[float], alike: Sequence[Sequence[float]], weight: float) -> list[float]:
    """Each candidate's reward, and its mean similarity to all candidates times a weight."""
    return [reward + weight * sum(row) / len(row) for reward, row in zip(rewards, alike, strict=True)]


def quantiles(rewards: Sequence[float]) -> list[float]:
    """For each reward the share of rewards that are lower, equals counting half."""
    return [
        (sum(other < reward for other in rewards) + sum(other == reward for other in rewards) / 2) / len(rewards)
        for reward in rewards
    ]


def _poisson(mean: float, rng: random.Random) -> int:
    """A draw from the Poisson distribution (Knuth's method)."""
    bar, product, number = math.exp(-mean), rng.random(), 0
    while product > bar:
        product *= rng.random()
        number += 1
    return number
