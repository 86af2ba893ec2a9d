"""Figures say what the runs say: the numbers that are drawn, against those of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.synthetic import climbing, synthetic
from fakes import FakeModel, numbered
from tpo.engine import sampling
from tpo.engine.result import RoleUsage
from tpo.errors import InputError
from tpo.evals.figures.cases import WHICH, cases, picked
from tpo.evals.figures.curves import curves
from tpo.evals.figures.data import CandidateSummary, FinishedQuery, Group, Run, read_groups
from tpo.evals.figures.flops import flops
from tpo.evals.figures.length import length
from tpo.evals.figures.matched import affordable, bars, in_time, matched
from tpo.evals.figures.plot import look
from tpo.evals.figures.scaling import expected_best, scaling
from tpo.evals.figures.stability import repetitions, stability
from tpo.prompts.leaks import Cleaned
from tpo.runs.answers import Answer, read_answers
from tpo.runs.directory import Identity


def answers(run: Path) -> list[Answer]:
    """The answers of a run."""
    return list(read_answers(run / "answers.jsonl"))


def only(groups: Sequence[Group]) -> Group:
    """The one group."""
    (group,) = groups
    return group


def query(*rewards: float, step: int = 0, tokens: int = 2, seconds: float = 1.0, critiques: int = 0) -> FinishedQuery:
    """A query whose samples have these rewards; each costs some tokens and a prompt of 10."""
    seen = [CandidateSummary(step, reward, 5, tokens) for reward in rewards]
    best = max(rewards)
    spent = len(rewards) * (10 + tokens) + critiques
    usage = {"policy": RoleUsage(calls=1, prompt_tokens=10 * len(rewards), completion_tokens=tokens * len(rewards))}
    return FinishedQuery("q", "0", seen, best, 5, spent, seconds, usage)


def made(path: str, queries: dict[str, FinishedQuery], **recipe: object) -> Run:
    """A run out of queries."""
    given = {"method": "tpo", "width": 2, "depth": 1, "models": {"policy": "m-1B"}, "seed": 1, **recipe}
    return Run(Path(path), Identity("data.jsonl", {}, given, {}, "0", ""), queries)


async def test_curves_are_those_of_the_answers(tmp_path: Path) -> None:
    one = await synthetic(tmp_path, "tpo", climbing(1), width=4, depth=2)
    await synthetic(tmp_path, "revision", climbing(2), method="revision", width=4, depth=2)
    flat = await synthetic(tmp_path, "best", climbing(3), method="best-of-n", width=8)
    with look():
        plot = curves(only(read_groups(tmp_path)))
    assert plot is not None
    assert set(plot.numbers["lines"]) == {"TPO D2-N4", "Revision D2-N4"}
    line = plot.numbers["lines"]["TPO D2-N4"]
    found = answers(one)
    for step in range(3):
        assert line["y"][step] == pytest.approx(fmean(a.steps[step].best or 0 for a in found))
        assert line["low"][step] < line["y"][step] < line["high"][step]
    assert plot.numbers["levels"]["Best-of-8"] == pytest.approx(fmean(a.reward or 0 for a in answers(flat)))
    # The order in which runs are found is that of their folders; the first sample is drawn once for a policy.
    assert plot.numbers["levels"]["fake-1B, first sample"] == pytest.approx(
        fmean(a.first.reward or 0 for a in answers(tmp_path / "revision") if a.first)
    )
    drawn = {str(each.get_label()): list(each.get_ydata()) for each in plot.figure.axes[0].lines}  # type: ignore[arg-type]
    assert drawn["TPO D2-N4"] == line["y"]
    assert drawn["Best-of-8"] == [plot.numbers["levels"]["Best-of-8"]] * 2


async def test_only_queries_that_all_runs_share_are_drawn(tmp_path: Path) -> None:
    await synthetic(tmp_path, "a", climbing(1), ["One?", "Two?", "Three?"])
    await synthetic(tmp_path, "b", climbing(2), ["One?", "Other?"], method="revision")
    with look():
        plot = curves(only(read_groups(tmp_path)))
    assert plot is not None
    assert plot.numbers["queries"] == 1  # q1 has the same id and another text


async def test_different_rewards_are_never_drawn_together(tmp_path: Path) -> None:
    from fakes import FakeReward
    from runs.kit import by_number, make_run

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        await make_run(tmp_path / name, ["Q?"], climbing(), FakeReward(by_number, name=name))
    groups = read_groups(tmp_path)
    assert sorted(group.reward for group in groups) == ["one", "two"]
    assert [len(group.runs) for group in groups] == [1, 1]


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=7), st.data())
def test_the_expected_best_is_the_mean_over_all_draws(pool: list[tuple[float, bool]], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(pool)))
    seen = [CandidateSummary(0, reward, 5, 2, leaked) for reward, leaked in pool]
    every = [max(some, key=lambda one: (not one.leaked, one.reward)).reward for some in combinations(seen, k)]
    assert expected_best(seen, k) == pytest.approx(fmean(every))


def test_an_answer_with_words_of_our_prompt_is_not_the_best() -> None:
    seen = [CandidateSummary(0, 0.4, 5, 2), CandidateSummary(0, 0.9, 5, 2, leaked=True), CandidateSummary(1, 0.5, 5, 2)]
    climbed = query(0.4, 0.5)._replace(candidates=seen)
    assert [climbed.best_by(step) for step in range(2)] == [0.4, 0.5]
    flat = query(0.4)._replace(candidates=seen[:2])
    found = bars(made("a", {"q": climbed}), made("b", {"q": flat}, method="best-of-n"), ["q"])
    assert {bar.wins.value for bar in found.values()} == {100.0}
    everywhere = [one._replace(leaked=True) for one in seen]
    assert climbed._replace(candidates=everywhere).best_by(1) == 0.9


async def test_curves_rank_answers_with_words_of_our_prompt_as_the_search_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marked(text: str, scaffold: object, whole: bool = False) -> Cleaned:
        return Cleaned(text, "words" if float(text.split()[-1]) > 0.5 else None)

    monkeypatch.setattr(sampling, "clean", marked)
    found = answers(await synthetic(tmp_path, "tpo", climbing(1), width=4, depth=1))
    (run,) = only(read_groups(tmp_path)).runs
    assert any(seen.leaked for one in run.queries.values() for seen in one.candidates)
    for answer in found:
        assert run.queries[answer.id].best_by(0) == answer.steps[0].best
        assert run.queries[answer.id].best_by(1) == answer.reward


async def test_width_is_read_off_one_pool_and_depth_off_its_steps(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "tpo", climbing(1), width=4, depth=2)
    with look():
        plot = scaling(only(read_groups(run)))
    assert plot is not None
    width, depth = plot.numbers["lines"].values()
    found = answers(run)
    assert width["x"] == [1, 2, 3, 4]
    assert width["y"][0] == pytest.approx(fmean(a.steps[0].mean or 0 for a in found))
    assert width["y"][3] == pytest.approx(fmean(a.steps[0].best or 0 for a in found))
    assert width["y"] == sorted(width["y"])
    assert depth["x"] == [4, 8, 12]
    assert depth["y"][2] == pytest.approx(fmean(a.reward or 0 for a in found))


def test_best_of_n_gets_what_the_other_spent() -> None:
    one = query(1.0, 2.0, critiques=12, seconds=3.0)  # 36 tokens: three samples of 12
    bon = query(0.0, 1.5, 3.0, 9.0, seconds=2.0)
    assert affordable(one, bon) == 3
    assert in_time(one, bon) == 6
    assert affordable(query(1.0, critiques=1000), bon) > 4
    found = bars(made("a", {"q": one}), made("b", {"q": bon}), ["q"])
    assert [bar.samples for bar in found.values()] == [2, 3, 4, 4]
    assert [bar.wins.value for bar in found.values()] == [100, 0, 0, 0]
    assert [bar.short for bar in found.values()] == [0, 0, 1, 0]


def test_a_tie_counts_half() -> None:
    one, bon = query(1.0, 2.0), query(2.0, 0.0)
    assert bars(made("a", {"q": one}), made("b", {"q": bon}), ["q"])["equal samples"].wins.value == 50


async def test_runs_are_matched_with_the_widest_best_of_n_of_their_policy(tmp_path: Path) -> None:
    await synthetic(tmp_path, "tpo", climbing(1), width=2, depth=1)
    await synthetic(tmp_path, "narrow", climbing(2), method="best-of-n", width=3)
    await synthetic(tmp_path, "wide", climbing(3), method="best-of-n", width=9)
    await synthetic(tmp_path, "stranger", climbing(4, name="other-7B"), method="best-of-n", width=20)
    with look():
        plot = matched(only(read_groups(tmp_path)))
    assert plot is not None
    assert list(plot.numbers["bars"]) == ["TPO D1-N2 against Best-of-9"]
    (found,) = plot.numbers["bars"].values()
    assert found["equal samples"]["samples"] == 4
    widths = [patch.get_width() for patch in plot.figure.axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [bar["wins"]["value"] for bar in found.values()]


async def test_stability_is_the_deviation_within_a_step(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "one", climbing(1), width=3, depth=1)
    other = await synthetic(tmp_path, "two", climbing(2), width=3, depth=1, seed=2)
    group = only(read_groups(tmp_path))
    with look():
        plot = stability(group)
    assert plot is not None
    line = plot.numbers["lines"]["TPO D1-N3, fake-1B, one"]
    first = next(one for one in group.runs if one.path == run)
    spreads = [stdev(seen.reward for seen in q.candidates if seen.step == 1) for q in first.queries.values()]
    assert line["y"][1] == pytest.approx(fmean(spreads))
    both = zip(*(sorted(answers(path), key=lambda a: a.id) for path in (run, other)), strict=True)
    (level,) = plot.numbers["levels"].values()
    assert level == pytest.approx(fmean(stdev([a.reward or 0, b.reward or 0]) for a, b in both))


def test_only_runs_that_differ_in_nothing_but_the_seed_repeat_each_other() -> None:
    runs = [
        made("a", {}, settings={"seed": 1, "top_p": 0.9}),
        made("b", {}, settings={"seed": 2, "top_p": 0.9}, seed=2),
        made("c", {}, settings={"seed": 3, "top_p": 0.5}, seed=3),
        made("d", {}, width=9),
    ]
    assert [[str(run.path) for run in some] for some in repetitions(runs)] == [["a", "b"]]


def test_flops_come_from_parameters_and_tokens() -> None:
    group = Group("d", "r", [made("a", {"q": query(1.0, 2.0)})])
    with look():
        plot = flops(group, {})
        nothing = flops(Group("d", "r", [made("a", {"q": query(1.0)}, models={"policy": "m"})]), {})
        found = flops(Group("d", "r", [made("a", {"q": query(1.0)}, models={"policy": "m"})]), {"policy": 2e9})
    assert plot is not None
    assert plot.numbers["per_query"]["TPO D1-N2"] == pytest.approx(2 * 1e9 * 24)
    training = plot.numbers["training"]["DPO of m-1B"]
    assert training == pytest.approx(8 * 1e9 * 64_000 * 2_048)
    assert plot.numbers["break_even_queries"]["TPO D1-N2"] == pytest.approx(training / (2e9 * 24))
    assert nothing is None
    assert found is not None


async def test_gain_against_length(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "one", climbing(1), width=3, depth=1)
    with look():
        plot = length(only(read_groups(run)))
    assert plot is not None
    ((label, points),) = plot.numbers["points"].items()
    found = answers(run)
    gains = sorted((a.reward or 0) - (a.first.reward or 0) for a in found if a.first)
    assert sorted(gain for _, gain in points) == pytest.approx(gains)
    assert sorted(2**ratio for ratio, _ in points) == pytest.approx(
        sorted(len(a.answer or "") / len(a.first.answer) for a in found if a.first)
    )
    assert plot.numbers["runs"][label]["queries"] == len(found)


def test_cases_are_the_best_the_median_and_the_worst() -> None:
    def gains(*values: float) -> Run:
        return made("a", {f"q{n}": query(0.0, value) for n, value in enumerate(values)})

    assert picked(gains(3, 1, 2, 5, 4)) == list(zip(WHICH, ["q3", "q0", "q1"], strict=True))
    assert [which for which, _ in picked(gains(1, 2))] == [WHICH[0], WHICH[2]]
    assert [which for which, _ in picked(gains(1))] == [WHICH[0]]


async def test_a_case_is_shown_as_it_was(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "one", climbing(1), width=2, depth=1)
    (found,) = cases(only(read_groups(run)))
    assert [case.which for case in found.cases] == list(WHICH)
    by_id = {answer.id: answer for answer in answers(run)}
    for case in found.cases:
        answer = by_id[case.id]
        assert answer.first is not None
        assert (case.answer, case.reward, case.first) == (answer.answer, answer.reward, answer.first.answer)
        assert case.query[-1][0] == "user"
        assert all(step.loss for step in case.steps)


async def test_without_data_nothing_is_drawn(tmp_path: Path) -> None:
    run = await synthetic(tmp_path, "best", method="best-of-n", width=3)
    group = only(read_groups(run))
    with look():
        assert [curves(group), matched(group), stability(group)] == [None, None, None]
        assert scaling(group) is not None
    assert cases(group) == []


async def test_what_holds_no_rewards_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        read_groups(tmp_path)
    await synthetic(tmp_path, "plain", FakeModel(numbered()), method="sample")
    with pytest.raises(InputError, match="nothing to draw"):
        read_groups(tmp_path)


async def test_failed_queries_are_left_out(tmp_path: Path) -> None:
    from runs.test_history import failing

    run = await synthetic(tmp_path, "one", failing("Zebras"))
    assert "q1" not in only(read_groups(run)).runs[0].queries


def test_every_run_has_a_name_of_its_own() -> None:
    runs = [made(path, {}) for path in ("a/x", "b/x", "b/y")] + [made("c", {}, models={"policy": "n-7B"})]
    names = Group("d", "r", [*runs, made("e", {}, method="revision")]).names()
    assert len(set(names.values())) == 5
    assert names[Path("c")] == "TPO D1-N2, n-7B"
    assert names[Path("e")] == "Revision D1-N2"
