"""From token probabilities to a number: the expectation over the labels that the judge might have written.

A judge that writes a grade puts its doubt into the probabilities of the grades that it did not give. Their
expectation separates answers that get the same grade (G-Eval, arXiv 2303.16634, weighs grades in this way).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tpo.rewards.judges.tokens import Token

# Less than this share of the probability on labels means that the judge is about to write something else.
ENOUGH = 0.5

# What may stand around a label within one token: spaces (as tokenizers write them, too), markup, quotes, brackets.
_BEFORE = r"[\s▁Ġ*_\"'`‘“(\[{<>:#=]*"


class LabelExpectation(NamedTuple):
    """The expectation over labels.

    Attributes:
        value: the expected value of the label.
        mass: the share of the probability that was on labels, 0 to 1.
    """

    value: float
    mass: float


def place_of(text: str, start: int, tokens: Sequence[Token]) -> int | None:
    """Which token holds the character at `start` of the text.

    The tokens may hold more than the text (such as reasoning that is reported apart), and bytes that no text shows;
    what counts is that both end alike.
    """
    whole = "".join(token.text for token in tokens)
    at = whole.rfind(text[start:].rstrip())
    if at < 0 or not text[start:].strip():
        return None
    for place, token in enumerate(tokens):
        at -= len(token.text)
        if at < 0:
            return place
    return None


def expected(
    tokens: Sequence[Token], place: int, labels: Mapping[str, float], spoken: float | None
) -> LabelExpectation | None:
    """The expectation over labels at one place of a reply.

    Args:
        tokens: the reply's tokens.
        place: index of the token at which the label begins.
        labels: the value of each label.
        spoken: the value that the judge settled on, as read from its text; None where nothing could be read.

    Returns:
        The reading; None where less than half of the probability is on labels.
    """
    if spoken is None and _label_text(tokens[place].text, "") in labels:
        return None  # it looks like a label, and is the beginning of something else: "A good answer would …"
    mass: defaultdict[str, float] = defaultdict(float)
    _spread(tokens, place, "", 1.0, labels, spoken, mass)
    total = sum(mass.values())
    if total < ENOUGH:
        return None
    value = sum(share * labels[label] for label, share in mass.items()) / total
    return LabelExpectation(value, min(total, 1.0))


def _spread(
    tokens: Sequence[Token],
    place: int,
    begun: str,
    share: float,
    labels: Mapping[str, float],
    spoken: float | None,
    mass: defaultdict[str, float],
) -> None:
    """Spread a share of the probability over the labels that begin with the text that was read so far."""
    sampled, top = tokens[place]
    labelled = [(token, _label_text(token, begun), p * share) for token, p in top]
    whole = {text for _, text, _ in labelled if text in labels}
    for token, text, p in labelled:
        if text is None:
            if begun in labels:  # it ended, and something else follows
                mass[begun] += p
            continue
        longer = [label for label in labels if label.startswith(text) and label != text]
        if longer and token == sampled and place + 1 < len(tokens):
            _spread(tokens, place + 1, text, p, labels, spoken, mass)
            continue
        # A tokenizer that has "10" as one token would have used it: there, "1" means 1.
        if not longer or any(label in whole for label in longer):
            ends = [text] if text in labels else []
        else:
            ends = longer + [text] * (text in labels)
        if len(ends) > 1 and spoken is not None:
            # Nobody knows how it would have gone on. A judge wavers between neighbours, so it is taken to mean the
            # label nearest to the one that it settled on: beside a 9, "1" is the beginning of 10.
            ends = [min(ends, key=lambda label: abs(labels[label] - spoken))]
        if len({labels[label] for label in ends}) == 1:
            mass[ends[0]] += p


def _label_text(token: str, begun: str) -> str | None:
    """A label, or the beginning of one, that a token brings; None where it brings neither."""
    if not begun:
        token = re.sub(f"^{_BEFORE}", "", token)
    letters = re.match(r"[^\W_]+", token)
    if letters is None:
        return None
    # A decimal is no label: "7.5" is not 7.
    if re.match(r"[.,]\d", token[letters.end() :]):
        return None
    return begun + letters[0]
