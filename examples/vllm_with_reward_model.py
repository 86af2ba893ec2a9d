"""Answer a question with a policy and a reward model, each behind its own vLLM server.

vllm serve Qwen/Qwen3-8B --port 8000
vllm serve Skywork/Skywork-Reward-V2-Qwen3-0.6B --port 8001 --runner pooling
python examples/vllm_with_reward_model.py "Plan a weekend in Rome."
"""

import os
import sys

import tpo

POLICY = os.environ.get("TPO_POLICY", "http://localhost:8000/v1")
REWARD = os.environ.get("TPO_REWARD", "vllm:http://localhost:8001")


def main(question: str) -> None:
    try:
        # Opening the session tests the reward model, and raises if it cannot tell a good answer from a bad one.
        result = tpo.align_sync(question, policy=POLICY, reward=REWARD, width=5, depth=2, max_tokens=1024)
    except tpo.TPOError as error:
        raise SystemExit(f"{error}\nBoth servers must run; docs/reward-servers.md has their commands.") from None
    for step in result.steps:
        print(f"step {step.step}: rewards {[candidate.reward for candidate in step.candidates]}")
    print(result.answer)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "Plan a weekend in Rome.")
