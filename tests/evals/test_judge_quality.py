"""Judges and rewards compared with people: what each number means, with judges whose faults are known."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.judges import FakeJudge
from evals.kit import data
from fakes import FakeReward
from tpo.checks.preferences import Pair, preference_files, read_pairs
from tpo.cli.app import app
from tpo.errors import InputError
from tpo.evals.judge_quality import Quality, judged, quality, scored
from tpo.messages import conversation
from tpo.rewards.judges.wording import Wording

WORDING = Wording("pairwise")
GOOD, BAD = "zgood", "zbad"


def pair(first: str, second: str, human: float) -> Pair:
    """A pair about nothing in particular."""
    return Pair(conversation("Which one?"), first, second, human)


# People prefer what says "good"; in two of these it is the longer, in one the shorter.
PAIRS = [
    pair(f"{GOOD} and long", BAD, 1.0),
    pair(BAD, f"{GOOD} and long", 0.0),
    pair(GOOD, f"{BAD} and long", 1.0),
    pair("left", "right", 0.5),
]


async def measured(judge: FakeJudge, pairs: list[Pair] = PAIRS) -> Quality:
    """What is found of a judge."""
    return quality(pairs, await judged(judge, pairs, WORDING))


def better(text: str) -> str:
    """What a perfect judge says."""
    a, b = text.find(GOOD), text.find(BAD)
    if max(a, b) < 0:
        return "tie"
    return "A" if 0 <= a < b or b < 0 else "B"


async def test_a_perfect_judge() -> None:
    judge = FakeJudge(better)
    found = await measured(judge)
    assert len(judge.asked) == 2 * len(PAIRS)
    assert (found.pairs, found.ties, found.unread) == (3, 1, 0)
    assert found.agreement is not None
    assert found.agreement.value == 100
    assert found.agreement.low is not None
    assert found.agreement.low < 100
    assert found.length is not None
    assert found.length.value == pytest.approx(200 / 3)
    assert found.above_length is not None
    assert found.above_length.value == pytest.approx(100 / 3)
    assert found.on_ties is not None
    assert found.on_ties.value == 100
    assert found.flips is not None
    assert found.flips.value == 0
    assert found.weighed == found.agreement
    assert found.first_place is not None
    assert found.first_place.value == 50


async def test_a_judge_that_sees_only_the_place() -> None:
    found = await measured(FakeJudge(lambda text: "A"))
    assert found.agreement is not None
    assert found.agreement.value == 50  # both orders cancel it
    assert found.flips is not None
    assert found.flips.value == 100
    assert found.first_place is not None
    assert found.first_place.value == 100
    assert found.on_ties is not None
    assert found.on_ties.value == 100  # it contradicts itself, which is no preference


async def test_a_judge_that_names_one_place_and_is_less_sure_of_it_where_the_other_is_better() -> None:
    judge = FakeJudge(lambda text: "A", lambda text: {"A": 0.9, "B": 0.7, "tie": 0.8}[better(text)])
    found = await measured(judge)
    assert found.agreement is not None
    assert found.flips is not None
    assert found.weighed is not None
    assert found.weighed_above_length is not None
    assert (found.agreement.value, found.flips.value) == (50, 100)
    # Shown first 0.9, shown second 1 - 0.7: 0.6 for the better one.
    assert found.weighed.value == 100
    assert found.weighed_above_length.value == pytest.approx(100 / 3)


async def test_a_judge_that_cannot_be_read() -> None:
    found = await measured(FakeJudge(lambda text: "Hmm, hard to say!?"))
    assert found.unread == 2 * len(PAIRS)
    assert found.agreement is not None
    assert found.agreement.value == 50
    assert (found.flips, found.first_place) == (None, None)
    assert found.on_ties is not None
    assert found.on_ties.value == 0  # silence is not a tie


async def test_a_reward_that_only_counts_letters() -> None:
    reward = FakeReward(len)
    found = quality(PAIRS, await scored(reward, PAIRS))
    assert (found.flips, found.first_place, found.weighed) == (None, None, None)
    assert found.agreement == found.length
    assert found.above_length is not None
    assert found.above_length.value == 0
    assert found.longer_against_people is not None
    assert found.longer_against_people.value == 100
    assert found.shorter_against_people is not None
    assert found.shorter_against_people.value == 0


async def test_missing_scores_are_counted() -> None:
    reward = FakeReward(lambda text: math.nan if "long" in text else 1.0)
    found = quality(PAIRS, await scored(reward, PAIRS))
    assert found.unread == 3
    assert found.agreement is not None
    assert found.agreement.value == 50
    assert found.on_ties is not None
    assert found.on_ties.value == 100


async def test_agreement_where_lengths_are_alike() -> None:
    pairs = [pair(GOOD, "others", 1.0), pair(BAD, f"{GOOD} and much longer", 1.0)]
    found = quality(pairs, await scored(FakeReward(lambda text: float(GOOD in text)), pairs))
    assert (found.alike_pairs, found.ties, found.on_ties) == (1, 0, None)
    assert found.alike is not None
    assert found.alike.value == 100
    assert found.agreement is not None
    assert found.agreement.value == 50


def test_forms_with_ties_and_dialogues(tmp_path: Path) -> None:
    wrapped = "###The instruction to evaluate:\n{}\n\n###Response to evaluate:\n{}\n\n###Score Rubrics:\n[…]"
    talk = "Hi.\n\nAssistant:  Hello.\n\nHuman:  Why?"
    votes = [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"}]
    more = [{"role": "user", "content": "Q2"}, {"role": "assistant", "content": "A2"}]
    rows = [
        {"prompt": "P", "response 1": "a", "response 2": "b", "label": 2},
        {"chosen_instruction": wrapped.format(talk, "yes"), "rejected_instruction": wrapped.format(talk, "no")},
        {"chosen": "\n\nHuman: Hi.\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi.\n\nAssistant: No."},
        {"chosen": "\n\nHuman: Hi.\n\nAssistant: Yes.", "rejected": "\n\nHuman: Ho.\n\nAssistant: No."},
        {"conversation_a": votes + more, "conversation_b": votes + more, "winner": "model_b", "turn": 1},
        {"conversation_a": votes + more, "conversation_b": votes + more, "winner": "tie", "turn": 2},
        {"instruction": "I", "input": "", "response1": "a", "response2": "b"}
        | {"annotator1": 0, "annotator2": 0, "annotator3": 2},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    autoj, hhh, hh, first, second, pandalm = read_pairs(path, ties=True)
    assert [one.human for one in (autoj, hhh, hh, first, second, pandalm)] == [0.5, 1.0, 1.0, 0.0, 0.5, 0.5]
    assert [m["role"] for m in hhh.query] == ["user", "assistant", "user"]
    assert (hhh.first, hhh.second, hh.first) == ("yes", "no", "Yes.")
    assert first.first == "A1"
    assert second.first == "A1\n\n[user] Q2\n\nA2"
    assert [one.tied for one in read_pairs(path)] == [False] * 3


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    row = {"chosen": "\n\nHuman: Hi.\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi.\n\nAssistant: No."}
    path = tmp_path / "test.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert preference_files(tmp_path) == [path]
    assert [one.second for one in read_pairs(path)] == ["No."]
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(path)


def test_folders_are_looked_through_for_what_holds_preferences(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pairs.json").write_text('[{"input": "q", "output_1": "a", "output_2": "b", "label": 1}]')
    (tmp_path / "other.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text("[]")
    assert preference_files(tmp_path) == [tmp_path / "sub" / "pairs.json"]
    (tmp_path / "sub" / "pairs.json").unlink()
    with pytest.raises(InputError, match="No file under"):
        preference_files(tmp_path)


def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command line."""
    ran = CliRunner().invoke(app, ["eval", "judge", *arguments])
    return ran.exit_code, ran.stdout, ran.stderr


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": "Why is the sky blue?", "chosen": "Because air scatters blue light most.", "rejected": "Sky."}
    ] * 3
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    code, out, _ = run(str(path), "--reward", "surface", "--json", "--limit", "2")
    assert code == 0
    (found,) = json.loads(out)["sets"].values()
    assert (found["pairs"], found["agreement"]["value"], found["flips"]) == (2, 100.0, None)
    code, out, _ = run(str(path), str(tmp_path), "--reward", "surface")
    assert code == 0
    assert "pairs.jsonl" in out
    assert "100.0" in out


def test_files_of_the_same_name_are_sets_of_their_own(tmp_path: Path) -> None:
    places = [tmp_path / "helpful", tmp_path / "harmless"]
    for count, place in enumerate(places, 1):
        place.mkdir()
        (place / "test.jsonl").write_text('{"prompt": "q", "chosen": "Yes, of course.", "rejected": "No."}\n' * count)
    pairs = {"helpful/test.jsonl": 1, "harmless/test.jsonl": 2, "all": 3}
    for given in (places, [tmp_path], [place / "test.jsonl" for place in places], [*places, tmp_path]):
        code, out, err = run(*map(str, given), "--reward", "surface", "--json")
        assert code == 0, err
        assert {name: one["pairs"] for name, one in json.loads(out)["sets"].items()} == pairs


def test_a_file_may_be_called_like_the_row_of_all(tmp_path: Path) -> None:
    for name in ("all", "other"):
        (tmp_path / name).write_text('{"prompt": "q", "chosen": "Yes, of course.", "rejected": "No."}\n')
    code, out, err = run(str(tmp_path / "all"), str(tmp_path / "other"), "--reward", "surface", "--json")
    assert code == 0, err
    found = {name: one["pairs"] for name, one in json.loads(out)["sets"].items()}
    assert found == {f"{tmp_path.name}/all": 1, "other": 1, "all": 2}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "either a judge"),
        (["--judge", "http://localhost:1/v1", "--reward", "surface"], "either a judge"),
        (["--reward", "none"], "nothing to measure"),
        (["--reward", "surface", "--rubric", "x.md"], "--rubric needs a judge"),
        (["--judge", "surface"], "is no judge"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    code, out, err = run(str(path), *arguments)
    assert (code, out) == (2, "")
    assert complaint in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "pairs", "ties"),
    [("hhh", 221, 0), ("llmbar", 504, 0), ("pandalm", 894, 105), ("autoj", 1019, 373)],
)
def test_the_published_sets_are_read_whole(name: str, pairs: int, ties: int) -> None:
    found = [one for file in preference_files(data(name)) for one in read_pairs(file, ties=True)]
    assert (sum(not one.tied for one in found), sum(one.tied for one in found)) == (pairs, ties)
    assert all(one.query[-1]["role"] == "user" for one in found)
