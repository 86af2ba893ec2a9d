"""Align one answer, and print the rewards of each step.

python examples/quickstart.py                                                      (the built-in model, offline)
TPO_POLICY=http://localhost:8000/v1 python examples/quickstart.py                  (your server)
"""

import os

import tpo


def main() -> None:
    result = tpo.align_sync(
        "How do I take care of a wooden table?",
        policy=os.environ.get("TPO_POLICY", "embedded"),
        require=["max-words=40"],
        width=3,
        depth=1,
        max_tokens=96,
        seed=7,
    )
    for step in result.steps:
        print(f"step {step.step}: rewards {[candidate.reward for candidate in step.candidates]}")
    print(result.answer)


if __name__ == "__main__":
    main()
