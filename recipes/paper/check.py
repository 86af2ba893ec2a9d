"""Check that the servers of a recipe serve the models of the paper, before the first paid call.

python3 recipes/paper/check.py recipes/paper/NAME/tpo.toml

It compares what a server reports: the model's name, the repository or folder of its weights, and the longest context.
It cannot see whether weights in a folder are the published ones; then it prints a line.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

# Of arXiv 2501.12895, section 4: policies and reward models, by the names of their repositories.
POLICIES = {
    "allenai/Llama-3.1-Tulu-3-70B-SFT",
    "meta-llama/Llama-3.1-70B-Instruct",
    "mistralai/Mistral-Small-Instruct-2409",
}
REWARDS = {"fsfairx": "sfairXC/FsfairX-LLaMA3-RM-v0.1", "tulu3-rm": "allenai/Llama-3.1-Tulu-3-8B-RM"}
# Tokens: a prompt of the loss holds the query and two answers, and the reward reads one.
POLICY_CONTEXT, REWARD_CONTEXT = 16384, 8192


def served(address: str) -> list[dict[str, Any]]:
    """The models that a server lists."""
    url = f"{address.rstrip('/').removesuffix('/v1')}/v1/models"
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
            found: list[dict[str, Any]] = json.load(response)["data"]
            return found
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"error: {url} lists no models ({error}): does serve.sh run, and is it ready?") from None


def problems(role: str, address: str, wanted: str, context: int) -> list[str]:
    """What is wrong with a server, in lines for people; prints what was found."""
    models = served(address)
    found = next((model for model in models if wanted in (model.get("id"), model.get("root"))), None)
    if found is None:
        names = ", ".join(str(model.get("id")) for model in models) or "nothing"
        return [f"the {role} at {address} serves {names}, and the paper used {wanted}"]
    root, longest = found.get("root") or found["id"], found.get("max_model_len")
    print(f"{role}: {wanted} at {address}, weights from {root}, context {longest or 'not reported'}")
    if root != wanted:
        print(f"  the weights come from {root}: that they are those of {wanted} cannot be seen from here")
    if longest and longest < context:
        return [f"the {role} at {address} takes {longest} tokens, and {context} are needed: --max-model-len {context}"]
    return []


def main() -> int:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    path = Path(sys.argv[1])
    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    policy = settings["policy-model"]
    reward = next(name for end, name in REWARDS.items() if path.resolve().parent.name.endswith(end))
    wrong = [] if policy in POLICIES else [f"{path} names the policy {policy}, which the paper did not use"]
    wrong += problems("policy", settings["policy"], policy, POLICY_CONTEXT)
    wrong += problems("reward", settings["reward"].removeprefix("vllm:"), reward, REWARD_CONTEXT)
    if settings["temperature"] != 0.7 or settings["top-p"] != 0.95:
        wrong.append(f"{path} samples with other settings than the paper's temperature 0.7 and top-p 0.95")
    if "judge" in settings and not (os.environ.get("TPO_JUDGE_API_KEY") or os.environ.get("OPENAI_API_KEY")):
        wrong.append("the judge needs a key: set TPO_JUDGE_API_KEY, or remove judge from tpo.toml to go without")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong:
        print("TPO_ANY_MODEL=1 continues anyway; the table is then not the paper's.", file=sys.stderr)
    return 2 if wrong and not os.environ.get("TPO_ANY_MODEL") else 0


if __name__ == "__main__":
    sys.exit(main())
