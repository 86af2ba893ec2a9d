"""Runs for the documentation's pictures: a pretended policy whose answers are put together from sentences."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import chdir
from pathlib import Path
from typing import Any

import tpo
from server.policy import Said, critic, policy

NAME = "example-8b"
# What can be said to a question; what comes first says the most.
SENTENCES = {
    "Why is the sky blue?": [
        "Air scatters blue light far more than red, so blue reaches the eye from everywhere.",
        "The strength of this scattering grows with the fourth power of the light's frequency.",
        "Violet is scattered even more, but the sun sends less of it and our eyes see it less.",
        "At sunset the light's way through the air is long, and what is left of it is red.",
        "The sky is blue because it reflects the sea, which is blue.",
        "That is a great question!",
    ],
    "How do I take care of a wooden table?": [
        "Wipe it with a cloth that is barely damp, along the grain, and dry it at once.",
        "Oil or wax it every few months, when drops of water no longer stand on it.",
        "Put something under hot pots and wet glasses, and keep it away from radiators.",
        "Rub small scratches with a wax stick of its colour.",
        "Wood is a natural material that many people like.",
        "Scrub it with plenty of water and a hard brush.",
    ],
    "How can I fall asleep faster?": [
        "Get up at the same hour every day, also after a bad night.",
        "Keep the bedroom cool and dark, and leave the telephone outside.",
        "If sleep does not come within twenty minutes, get up and read until it does.",
        "Coffee after noon is still at work at midnight.",
        "Sleep is important for everybody.",
        "A large meal with wine just before bed always helps.",
    ],
    "What does a compiler do?": [
        "It translates a program from the language people write into one that a machine runs.",
        "It reads the text into a tree, checks types, rewrites the tree and writes instructions.",
        "What it rejects would have failed later, in front of a user.",
        "Most of its work is making the result fast without changing what it does.",
        "Compilers are used by many programmers.",
        "It is the same thing as an interpreter.",
    ],
    "How do vaccines work?": [
        "They show the immune system a harmless part of a germ before the germ itself comes.",
        "Some cells remember that part for years, and antibodies are there within days.",
        "A mild fever afterwards is the immune system at work.",
        "Where most people are immune, those who cannot be vaccinated are protected too.",
        "Vaccines are a topic that many people talk about.",
        "They kill all germs in the blood directly.",
    ],
    "Plan a weekend in Rome.": [
        "Saturday: the Forum and the Colosseum at opening time, lunch in Monti, the Pantheon at dusk.",
        "Sunday: the Vatican museums with a ticket for eight o'clock, then Trastevere on foot.",
        "Buy tickets a week ahead, since the queues take half a day.",
        "Walk: nearly everything is within forty minutes of the Pantheon.",
        "Rome is a city in Italy with a long history.",
        "You can see all of Italy in one weekend if you hurry.",
    ],
}
WORTH = [1.0, 0.8, 0.6, 0.5, -0.3, -0.9]
WAYS = [
    "{}",
    "{} Answer for a child.",
    "Please tell me: {}",
    "{} In two sentences.",
    "My friend asks: {}",
    "{} Be exact.",
]
LOSS = (
    "The chosen answer names the cause and says how strong it is, which can be checked. The rejected answer opens with "
    "a compliment, repeats a common mistake as if it were a fact, and leaves the reader with nothing to go on."
)
GRADIENT = (
    "Begin with the cause in one sentence. Drop the opening, which says nothing. Replace the claim that is wrong by "
    "what follows from the cause, and end with a case in which something else is seen."
)


async def helpfulness(conversations: list[Any]) -> list[float]:
    """What the sentences of an answer are worth, and a little noise that is always the same."""
    worth = {said: value for known in SENTENCES.values() for said, value in zip(known, WORTH, strict=True)}
    return [
        sum(value for said, value in worth.items() if said in text) + random.Random(text).gauss(0, 0.15)
        for text in (str(conversation[-1]["content"]) for conversation in conversations)
    ]


async def answer(body: dict[str, Any], number: int) -> Said:
    """Some sentences; better ones where there is advice."""
    text = str(body["messages"])
    chance = random.Random(f"{text}{number}")
    if critic(body):
        return LOSS if "<gradient" not in text and LOSS not in text else GRADIENT
    advised = "improved_answer" in text
    # Later requests about the same thing carry the advice: what is wrong is said less often.
    known = next(said for asked, said in SENTENCES.items() if asked in text)
    likely = [0.85, 0.7, 0.6, 0.5, 0.1, 0.05] if advised else [0.6, 0.35, 0.3, 0.25, 0.4, 0.25]
    said = [one for one, share in zip(known, likely, strict=True) if chance.random() < share] or [known[4]]
    chance.shuffle(said)
    told = " ".join(said)
    return f"<improved_answer>{told}</improved_answer>" if advised else told


async def slowly(body: dict[str, Any], number: int) -> Said:
    """The same, at a pace that can be watched."""
    await asyncio.sleep(0.25 + 0.15 * (number % 4))
    return await answer(body, number)


async def make(folder: Path) -> Path:
    """Two runs over the same questions: tpo, and best-of-n at about the same cost."""
    rows = [
        {"id": f"{at:02}", "prompt": way.format(asked)}
        for at, (way, asked) in enumerate((way, asked) for way in WAYS for asked in SENTENCES)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chdir(folder):  # so that the data has a name without a place
        async with policy(answer, (NAME,)) as behind:
            options: Any = {"policy": behind.url, "reward": helpfulness, "check": False, "seed": 1}
            await tpo.run_dataset("questions.jsonl", "runs/tpo-d2-n5", **options, width=5, depth=2)
            await tpo.run_dataset("questions.jsonl", "runs/best-of-15", **options, width=15, method="best-of-n")
    return folder / "runs"
