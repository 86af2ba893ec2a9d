"""Judges as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpo.errors import InputError, PromptError
from tpo.rewards.judges import ListwiseJudge, PairwiseJudge, PointwiseJudge, parse_judge

URL = "http://host:8000/v1"


def test_a_url_alone_is_a_pointwise_judge() -> None:
    judge = parse_judge(URL)
    assert isinstance(judge, PointwiseJudge)
    assert (judge.scale, judge.critique, judge.client.where) == ((1, 10), False, URL)


def test_all_options(tmp_path: Path) -> None:
    rubric = tmp_path / "my rubric.md"
    rubric.write_text("Short is good.")
    judge = parse_judge(f"{URL}?kind=pointwise&model=org/name&rubric={rubric}&scale=0-4&critique=true&parallel=3")
    assert isinstance(judge, PointwiseJudge)
    assert judge.client.model == "org/name"
    assert (judge.scale, judge.critique, judge.max_tokens) == ((0, 4), True, 512)
    assert "Short is good." in judge.wording.messages([{"role": "user", "content": "Hi"}], answer="x")[-1]["content"]
    pairwise = parse_judge(f"{URL}?kind=pairwise&opponents=4&max_tokens=64&logprobs=false")
    assert isinstance(pairwise, PairwiseJudge)
    assert (pairwise.opponents, pairwise.max_tokens) == (4, 64)
    listwise = parse_judge(f"{URL}?kind=listwise&size=5&rounds=2")
    assert isinstance(listwise, ListwiseJudge)
    assert (listwise.size, listwise.rounds) == (5, 2)


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        ("", "not an http"),
        ("host:8000", "not an http"),
        ("http://[::1", "not a URL"),
        (f"{URL}?kind=pairwsie", "Did you mean pairwise"),
        (f"{URL}?rubrik=x", "no option 'rubrik'. Did you mean rubric"),
        (f"{URL}?xyz=1", "Options are kind, model, rubric"),
        (f"{URL}?opponents=4", "opponents is for judges of the kind pairwise; this one is pointwise"),
        (f"{URL}?kind=pairwise&critique=true", "critique is for judges of the kind pointwise; this one is pairwise"),
        (f"{URL}?api_key=sk-secret", "no option 'api_key'"),
        (f"{URL}?scale=5&scale=6", "given twice"),
        (f"{URL}?scale=x", "scale=x"),
        (f"{URL}?critique=perhaps", "critique=perhaps"),
        (f"{URL}?max_tokens=0", "max_tokens=0"),
        (f"{URL}?parallel=0", "parallel=0"),
        (f"{URL}?kind=pairwise&opponents=1", "opponents=1"),
        (f"{URL}?kind=listwise&size=1", "size=1"),
        (f"{URL}?kind=listwise&size=26", "size=26"),
        (f"{URL}?kind=listwise&rounds=0", "rounds=0"),
        (f"{URL}?rubric=nowhere.md", "rubric nowhere.md cannot be read"),
    ],
)
def test_what_cannot_be_used(rest: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        parse_judge(rest)
    assert "sk-secret" not in str(caught.value)


def test_a_broken_template_is_reported_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "pairwise.user.jinja").write_text("{{ answerA }}")
    with pytest.raises(PromptError, match=r"pairwise.user.jinja names answerA.*answer_a"):
        parse_judge(f"{URL}?templates={tmp_path}")
