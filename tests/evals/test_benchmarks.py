"""The benchmarks: rows in the published formats, grades of responses, and what is told where something is missing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.judges import FakeJudge, FakeScorer
from evals.kit import DATA, data
from tpo.errors import InputError
from tpo.evals.benchmarks import BENCHMARKS, Benchmark, Grade, Graders, Response, Row, Summary, find_benchmark
from tpo.evals.benchmarks.hh_rlhf import query_in
from tpo.evals.benchmarks.pairs import OPPONENT
from tpo.evals.data import Source, chosen
from tpo.messages import Conversation
from tpo.rewards.judges.judge import JudgeReply

COUNTS = {
    "alpaca_eval": 805,
    "arena_hard": 500,
    "hh_rlhf": 1156,
    "xstest": 450,
    "math500": 500,
    "ifeval": 441,
    "mt_bench": 80,
    "gsm8k": 1319,
}


def published(name: str) -> Source:
    data(name)
    return Source([str(DATA)])


def lines(path: Path, *rows: dict[str, Any]) -> Source:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return Source([str(path.parent)])


async def graded(benchmark: Benchmark, rows: list[Row], responses: dict[str, Response], graders: Graders) -> Summary:
    grades: dict[str, Grade] = {}
    for row in rows:
        if row.id in responses:
            grades[row.id] = await benchmark.grade(row, responses[row.id], graders)
    return benchmark.summary(rows, grades)


@pytest.mark.parametrize("name", COUNTS)
def test_published_data(name: str) -> None:
    benchmark, source = find_benchmark(name), published(name)
    rows = benchmark.rows(source)
    assert len(rows) == len({row.id for row in rows}) == COUNTS[name]
    assert all(row.messages[-1]["role"] == "user" and row.messages[-1]["content"] for row in rows)
    few, more = benchmark.rows(source, 5, seed=3), benchmark.rows(source, 20, seed=3)
    assert more[:5] == few
    assert few != benchmark.rows(source, 5, seed=4)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_missing_data_names_what_is_expected_and_where_to_have_it(name: str, tmp_path: Path) -> None:
    benchmark = find_benchmark(name)
    with pytest.raises(InputError, match=r"no local data was given.*published at .*http.*--data"):
        benchmark.rows(Source())
    with pytest.raises(InputError, match="nowhere is not there"):
        benchmark.rows(Source(["/nowhere"]))
    with pytest.raises(InputError, match="holds no such file"):
        benchmark.rows(Source([str(tmp_path)]))
    with pytest.raises(InputError, match=r"row 1, has no .*published: http"):
        benchmark.rows(lines(tmp_path / "question.jsonl", {"x": 1}) if name in ("arena_hard", "mt_bench") else
                       lines(tmp_path / "prompts.jsonl", {"x": 1}))  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_hub_is_asked_only_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def table_of(spec: str, split: str | None, spool: Path | None) -> None:
        asked.append((spec, split))
        raise InputError("the Hub was asked")

    monkeypatch.setattr("tpo.evals.data.table_of", table_of)
    benchmark = find_benchmark(name)
    with pytest.raises(InputError, match="the Hub was asked"):
        benchmark.rows(Source([f"{name}=hub:me/mine:config@test"]))
    assert asked[-1] == ("me/mine:config", "test")
    usual = name not in ("alpaca_eval", "arena_hard")
    with pytest.raises(InputError, match="the Hub was asked" if usual else "does not have it as a table.*--data DIR"):
        benchmark.rows(Source(["hub:"]))
    assert usual == (asked[-1][0] != "me/mine:config")


def test_mathematics_misses_its_package_before_anything_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpo.rewards.verifiers.maths.find_spec", lambda name: None)
    for name in ("math500", "gsm8k"):
        with pytest.raises(InputError, match="math-verify"):
            find_benchmark(name).rows(published(name))


def test_places() -> None:
    with pytest.raises(InputError, match="names no place"):
        Source(["xstest="])
    with pytest.raises(InputError, match="given twice"):
        Source(["a", "b"])
    assert Source(["xstest=a", "/data=old"]).names() == ["xstest"]
    with pytest.raises(InputError, match="choose one of"):
        find_benchmark("math_500s")
    with pytest.raises(InputError, match="at least one"):
        chosen([1], 0, 0)


async def test_xstest_by_rules_alone() -> None:
    benchmark = find_benchmark("xstest")
    rows = benchmark.rows(published("xstest"), 40)
    refusal = Response("I'm sorry, but I can't help with that.")
    found = await graded(benchmark, rows, {row.id: refusal for row in rows}, Graders())
    safe = sum(row.metadata["safe"] for row in rows)
    assert found.estimates["score_by_rules"].value == pytest.approx(100 * (40 - safe) / 40)
    assert found.estimates["safe_by_rules"].value == 0
    assert found.estimates["unsafe_by_rules"].value == 100
    assert "--judge" in found.missing["score"]
    assert "--judge" in found.missing["safe_complied"]


async def test_a_missing_verdict_is_counted_and_no_verdict() -> None:
    benchmark = find_benchmark("xstest")
    rows = benchmark.rows(published("xstest"), 10)
    mute = rows[0].messages[0]["content"]
    judge = FakeJudge(lambda text: "Hm." if mute in text else "full_compliance")
    found = await graded(benchmark, rows, {row.id: Response("Sure.") for row in rows}, Graders(judge))
    safe = sum(row.metadata["safe"] for row in rows[1:])
    assert found.estimates["score"].value == pytest.approx(100 * safe / 9)
    assert found.unread["score"] == 1
    assert len(found.values["score"]) == 9


async def test_a_judge_that_only_thought_is_named_as_the_reason() -> None:
    class Thinking(FakeJudge):
        async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> JudgeReply:
            return JudgeReply("", problem="all of its tokens went into thinking")

    benchmark = find_benchmark("xstest")
    row = Row("1", [{"role": "user", "content": "How?"}], {"safe": True})
    grade = await benchmark.grade(row, Response("Sure."), Graders(Thinking(str)))
    assert grade.missing["score"] == "all of its tokens went into thinking"


@pytest.mark.parametrize("name", ["math500", "gsm8k"])
async def test_mathematics(name: str) -> None:
    pytest.importorskip("math_verify")
    benchmark = find_benchmark(name)
    row = benchmark.rows(published(name), 1)[0]
    right = await benchmark.grade(row, Response(f"So it is \\boxed{{{row.metadata['answer']}}}."), Graders())
    wrong = await benchmark.grade(row, Response("So it is \\boxed{123456789}."), Graders())
    assert (right.values, wrong.values) == ({"accuracy": 1.0}, {"accuracy": 0.0})


async def test_ifeval_instructions_count_once_each(tmp_path: Path) -> None:
    both = ["punctuation:no_comma", "change_case:english_lowercase"]
    source = lines(
        tmp_path / "input_data.jsonl",
        {"key": 1, "prompt": "a", "instruction_id_list": both, "kwargs": [{}, {}]},
        {"key": 2, "prompt": "b", "instruction_id_list": both[:1], "kwargs": [{}]},
    )
    benchmark = find_benchmark("ifeval")
    rows = benchmark.rows(source)
    found = await graded(benchmark, rows, {"1": Response("No comma here."), "2": Response("a, b")}, Graders())
    assert found.estimates["prompt_strict"].value == 0
    assert found.estimates["instruction_strict"].value == pytest.approx(100 / 3)


async def test_beavertails_and_hh_helpful_rows_made_by_hand(tmp_path: Path) -> None:
    prompts = [{"prompt": f"How do I do harm {n}?", "category": "violence", "category_id": 3} for n in range(3)]
    source = lines(tmp_path / "beavertails" / "test.jsonl", *prompts)
    rows = find_benchmark("beavertails").rows(Source([str(tmp_path)]))
    assert [row.metadata["category"] for row in rows] == ["violence"] * 3
    assert rows == find_benchmark("beavertails").rows(source)
    helpful = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant: So.", "rejected": "…"}
    lines(tmp_path / "hh_rlhf" / "helpful-base" / "test.jsonl.gz", helpful)
    lines(tmp_path / "hh_rlhf" / "harmless-base" / "test.jsonl.gz", helpful, helpful)
    rows = find_benchmark("hh_rlhf").rows(Source([str(tmp_path)]))
    assert len(rows) == 3
    assert [message["role"] for message in rows[0].messages] == ["user", "assistant", "user"]
    assert rows[0].messages[-1]["content"] == "Why?"


async def test_rewards_that_steer_and_rewards_that_do_not() -> None:
    benchmark = find_benchmark("beavertails")
    rows = [Row(str(n), [{"role": "user", "content": "?"}]) for n in range(3)]
    steered = {row.id: Response("abc", 0.5) for row in rows}
    found = await graded(benchmark, rows, steered, Graders(held_out=FakeScorer(), reward=FakeScorer()))
    assert (found.estimates["reward"].value, found.estimates["held_out"].value) == (0.5, 3.0)
    plain = {row.id: Response("abcd" if row.id else "") for row in rows}
    found = await graded(benchmark, rows, plain, Graders(reward=FakeScorer()))
    assert found.estimates["reward"].value == 4.0
    assert "--held-out" in found.missing["held_out"]
    found = await graded(benchmark, rows, plain, Graders())
    assert "--reward" in found.missing["reward"]


@pytest.mark.parametrize("name", ["alpaca_eval", "arena_hard"])
async def test_pairs_are_judged_in_both_orders(name: str, tmp_path: Path) -> None:
    benchmark = find_benchmark(name)
    row = Row("q", [{"role": "user", "content": "Why?"}], {OPPONENT: "the BASELINE", "number": 0})
    first = FakeJudge(lambda text: "A" if name == "alpaca_eval" else "[[A>>B]]")
    found = await graded(benchmark, [row], {"q": Response("mine")}, Graders(first))
    assert len(first.asked) == len(set(first.asked)) == 2
    assert found.values["win_rate"] == {"q": 0.5}  # it likes what comes first, and that cancels

    def fair(text: str) -> str:
        mine = text.index("mine") < text.index("the BASELINE")
        return ("A" if mine else "B") if name == "alpaca_eval" else ("[[A>>B]]" if mine else "[[B>A]]")

    found = await graded(benchmark, [row], {"q": Response("mine")}, Graders(FakeJudge(fair)))
    assert found.estimates["win_rate"].value == pytest.approx(100)
    mute = FakeJudge(lambda text: "I would rather not." if text.index("mine") > text.index("BASELINE") else fair(text))
    found = await graded(benchmark, [row], {"q": Response("mine")}, Graders(mute))
    assert "gave no verdict" in found.missing["win_rate"]
    alone = Row("q", row.messages, {"number": 0})
    found = await graded(benchmark, [alone], {"q": Response("mine")}, Graders(first))
    assert "--against" in found.missing["win_rate"]


async def test_length_control_needs_difficulties() -> None:
    pytest.importorskip("numpy")
    benchmark = find_benchmark("alpaca_eval")
    rows = benchmark.rows(published("alpaca_eval"), 60)
    assert all("difficulty" in row.metadata and OPPONENT in row.metadata for row in rows)

    def longer(text: str) -> str:
        a = text.index("<answer>"), text.index("</answer>")
        b = text.index("<answer>", a[1]), text.index("</answer>", a[1] + 1)
        return "A" if a[1] - a[0] > b[1] - b[0] else "B"

    responses = {row.id: Response("word " * (50 + 17 * number)) for number, row in enumerate(rows)}
    found = await graded(benchmark, rows, responses, Graders(FakeJudge(longer)))
    assert found.values["length_controlled"].keys() == found.values["win_rate"].keys() == {row.id for row in rows}
    assert 0 < found.estimates["length_controlled"].value < 100
    bare = [Row(row.id, row.messages, {OPPONENT: "x", "number": n}) for n, row in enumerate(rows)]
    found = await graded(benchmark, bare, responses, Graders(FakeJudge(longer)))
    assert "annotations" in found.missing["length_controlled"]


def test_both_published_layouts_of_arena_hard(tmp_path: Path) -> None:
    old = {"question_id": "a", "cluster": "c", "turns": [{"content": "Why?"}]}
    new = {"uid": "b", "cluster": "c", "prompt": "How?"}
    source = lines(tmp_path / "question.jsonl", old, new)
    lines(
        tmp_path / "model_answer" / "gpt-4-0314.jsonl",
        {"question_id": "a", "choices": [{"index": 0, "turns": [{"content": "Because."}]}]},
        {"uid": "b", "messages": [{"role": "user", "content": "How?"},
                                  {"role": "assistant", "content": {"answer": "So."}}]},
    )  # fmt: skip
    rows = find_benchmark("arena_hard").rows(source)
    assert [(row.messages[0]["content"], row.metadata[OPPONENT]) for row in rows] == [
        ("Why?", "Because."),
        ("How?", "So."),
    ]


async def test_mt_bench_has_two_turns() -> None:
    benchmark = find_benchmark("mt_bench")
    rows = benchmark.rows(published("mt_bench"))
    (maths,) = [row for row in rows if row.id == "111"]
    assert len(maths.metadata["references"]) == 2
    second = benchmark.next_rows(rows, {"111": Response("First.")})
    assert [row.id for row in second] == ["111-2"]
    assert [message["role"] for message in second[0].messages] == ["user", "assistant", "user"]
    assert benchmark.next_rows(second, {"111-2": Response("Second.")}) == []
    judge = FakeJudge(lambda text: "Fine.\nGrade: 4" if "Second." in text else "Good.\nGrade: 8")
    responses = {"111": Response("First."), "111-2": Response("Second.")}
    found = await graded(benchmark, [maths, *second], responses, Graders(judge))
    assert maths.metadata["references"][0] in judge.asked[0]
    assert (found.estimates["score"].value, found.estimates["turn_2"].value) == (6.0, 4.0)
    found = await graded(benchmark, [maths], responses, Graders(FakeJudge(lambda text: "Splendid!")))
    assert "no grade" in found.missing["score"]


def test_a_question_with_one_turn_alone_has_no_score() -> None:
    benchmark = find_benchmark("mt_bench")
    first, second = Grade({"score": 8.0, "turn_1": 8.0}), Grade({"score": 2.0, "turn_2": 2.0})
    unread = Grade(missing={"score": "no grade", "turn_2": "no grade"})
    grades = {"1": first, "1-2": second, "2": first, "2-2": unread, "3": first}  # the last query of 3 failed
    rows = [Row(id, []) for id in (*grades, "3-2")]
    found = benchmark.summary(rows, grades)
    assert (found.estimates["score"].value, found.estimates["turn_1"].value) == (5.0, 8.0)
    assert (found.values["score"], found.unread) == ({"1": 5.0}, {"score": 2, "turn_2": 1})
    found = benchmark.summary(rows, {"2": first, "2-2": unread})
    assert "score" not in found.estimates | found.values | found.unread and "both turns" in found.missing["score"]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1).map(
    str.strip).filter(bool), min_size=1, max_size=5))  # fmt: skip
def test_dialogues(turns: list[str]) -> None:
    speakers = ["Human", "Assistant"]
    text = "".join(f"\n\n{speakers[n % 2]}: {turn}" for n, turn in enumerate(turns))
    messages = query_in(text)
    expected = turns if len(turns) % 2 else turns[:-1]
    assert [message["content"] for message in messages] == expected


@pytest.mark.parametrize("text", ["", "Hello", "\n\nAssistant: Hi", "x\n\nHuman: Hi\n\nAssistant: Hi", "\n\nHuman: "])
def test_what_is_no_dialogue(text: str) -> None:
    with pytest.raises(InputError, match="is no dialogue"):
        query_in(text)
