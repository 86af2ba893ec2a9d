"""Compare several methods on the same questions with one reward: mean reward, tokens and seconds.

python examples/compare_methods.py best-of-4 tpo-d1-n2 restate-d1-n2       (for tables with intervals: tpo eval)
"""

import asyncio
import os
import sys

import tpo
from tpo.methods.presets import parse_preset

QUESTIONS = ["How do I clean a rug?", "Why is the sky blue?"]
RULES = ["max-words=40", "bullets=3"]


async def compare(names: list[str]) -> None:
    print(f"{'method':<20}{'reward':>8}{'tokens':>8}{'seconds':>9}")
    for name in names:
        preset = parse_preset(name)
        dials = {key: value for key, value in (("width", preset.width), ("depth", preset.depth)) if value is not None}
        policy = os.environ.get("TPO_POLICY", "embedded")
        async with tpo.Session(
            policy=policy, method=preset.method, require=RULES, max_tokens=64, seed=1, **dials
        ) as session:
            results = [await session.align(question) for question in QUESTIONS]
        reward = sum(result.reward or 0.0 for result in results) / len(results)
        tokens = sum(used.completion_tokens for result in results for used in result.usage.values())
        print(f"{name:<20}{reward:>8.3f}{tokens:>8}{sum(result.seconds for result in results):>9.1f}")


if __name__ == "__main__":
    asyncio.run(compare(sys.argv[1:] or ["best-of-4", "tpo-d1-n2", "restate-d1-n2"]))
