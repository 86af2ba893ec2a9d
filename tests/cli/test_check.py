"""`tpo check` on the command line, and the refusal at the start of a run."""

from __future__ import annotations

import json
from pathlib import Path

from cli.test_align import answering, tpo
from models.server import Received, models, response, serving


def squashing(request: Received) -> bytes:
    """A vLLM whose reward model answers through a sigmoid, whatever it was asked for."""
    if request.path.endswith("/models"):
        return models("rm", owned_by="vllm")
    if request.path.endswith("/classify"):
        data = [{"index": 0, "label": "LABEL_0", "probs": [0.5 + len(request.body) % 83 / 1000], "num_classes": 1}]
        return response(json.dumps({"object": "list", "data": data, "usage": {}}))
    return response('{"detail":"Not Found"}', 404)


async def test_a_working_setup_is_a_table_and_exit_code_0() -> None:
    async with serving(answering) as server:
        ran = await tpo("check", "--policy", server.url)
    assert ran.code == 0, ran.out + ran.err
    for words in ("policy: m @", "choices per request", "seeds", "good over bad", "6 of 6 pairs"):
        assert words in ran.out


async def test_a_squashed_reward_is_found_and_the_exit_code_is_reported() -> None:
    async with serving(squashing) as server:
        ran = await tpo("check", "--policy", "none", "--reward", f"vllm:{server.url.removesuffix('/v1')}", "--json")
    assert ran.code == 2
    findings = json.loads(ran.out)["reports"][0]["findings"]
    assert any(
        f["state"] == "fail" and "sigmoid is left on" in f["said"] and "use_activation" in f["remedy"] for f in findings
    )


async def test_align_refuses_it_before_anything_is_paid_and_no_check_overrides() -> None:
    async with serving(answering) as policy, serving(squashing) as reward:
        common = (
            *("align", "How?", "--policy", policy.url, "--reward", f"vllm:{reward.url.removesuffix('/v1')}"),
            *("--seed", "1", "--depth", "0", "--quiet"),
        )
        refused = await tpo(*common)
        assert refused.code == 2
        assert "sigmoid is left on" in refused.err
        assert "--no-check" in refused.err
        assert policy.bodies() == []
        assert (await tpo(*common, "--no-check")).code == 0


async def test_accuracy_on_human_preferences(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Why is the sky blue?", "chosen": "Air scatters blue light most.", "rejected": "no no no no no"}
    ] * 4
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ran = await tpo("check", "--pairs", "pairs.jsonl", "--json", cwd=tmp_path)
    assert ran.code == 0
    said = json.loads(ran.out)["rows"][0]
    assert (said["n"], said["reward"][:5]) == (4, "100.0")
    assert (await tpo("check", "--pairs", "nowhere.jsonl", cwd=tmp_path)).code == 2


async def test_a_preference_that_is_flat_is_found(tmp_path: Path) -> None:
    (tmp_path / "rubric.txt").write_text("- is polite\n- is short\n")

    def always_yes(request: Received) -> bytes:
        if request.path.endswith("/models"):
            return models("m")
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
        return response(json.dumps({"object": "chat.completion", "choices": [choice], "usage": {}}))

    async with serving(always_yes) as server:
        judge = ("--reward", f"judge:{server.url}")
        ran = await tpo("check", "--policy", "none", "--prefer", "rubric.txt", *judge, "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(ran.out)["reports"][0]["findings"]}
    assert ran.code == 2
    assert findings["checklist"]["said"].startswith("is polite; is short; Does the answer")
    assert "the checklist is flat" in findings["items"]["said"]


async def test_the_arms_of_a_panel_are_checked_and_so_is_the_policy_of_the_file(tmp_path: Path) -> None:
    async with serving(answering) as server:
        (tmp_path / "tpo.toml").write_text(f'policy = "{server.url}"\n')
        ran = await tpo("check", "--json", cwd=tmp_path)
        assert [one["subject"].partition(":")[0] for one in json.loads(ran.out)["reports"]] == ["policy", "reward"]
        (tmp_path / "tpo.toml").write_text(f'[policy]\na = "{server.url}"\nb = "m@{server.url}"\n')
        ran = await tpo("check", "--json", cwd=tmp_path)
    subjects = [one["subject"].partition(":")[0] for one in json.loads(ran.out)["reports"]]
    assert subjects == ["policy a", "policy b", "reward"], ran.err
