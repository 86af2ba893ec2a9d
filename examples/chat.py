"""A conversation over several turns on one session: each answer is aligned and becomes part of the next query.

python examples/chat.py "How do I clean a rug?" "And if it is silk?"
"""

import asyncio
import os
import sys

import tpo
from tpo.messages import Message


async def chat(questions: list[str]) -> None:
    messages: list[Message] = []
    policy = os.environ.get("TPO_POLICY", "embedded")
    async with tpo.Session(policy=policy, width=2, depth=1, max_tokens=96, seed=1) as session:
        for question in questions:
            messages.append({"role": "user", "content": question})
            result = await session.align(messages)
            messages.append({"role": "assistant", "content": result.answer})
            print(f"> {question}\n{result.answer}\n")


if __name__ == "__main__":
    asyncio.run(chat(sys.argv[1:] or ["How do I clean a rug?", "And if it is silk?"]))
