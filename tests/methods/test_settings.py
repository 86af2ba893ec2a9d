"""What a method is, what it takes, and how it is named."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tpo.candidate import Candidate
from tpo.errors import InputError, PromptError
from tpo.messages import Conversation, conversation
from tpo.methods import Outcome, Sample, Search, find_method, method, method_of, register, registry, resolve_method
from tpo.methods.cost import cost_of
from tpo.methods.presets import Preset, parse_preset
from tpo.prompts import PromptSet

QUERY = conversation("How?")


def plain(query: Conversation, *, width: int, prompts: PromptSet, best: int = 2, tone: str = "calm") -> Search:
    """Draw answers and keep the first."""
    drawn = yield Sample(prompts.render("answer", query), width)
    return Outcome(drawn[0], "depth")


@pytest.fixture
def registered() -> Iterator[None]:
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)


def test_settings_are_the_keyword_parameters_that_the_engine_does_not_give() -> None:
    made = method_of(plain, "plain")
    assert [(one.name, one.kind, one.default) for one in made.settings.values()] == [
        ("best", "int", 2),
        ("tone", "str", "calm"),
    ]
    assert (made.has_width, made.has_depth, made.summary) == (True, False, "Draw answers and keep the first.")


@pytest.mark.parametrize("value", [3, "3"])
def test_a_value_is_read_as_its_type_and_a_default_is_left_out(value: Any) -> None:
    made = method_of(plain, "plain")
    assert made.chosen_settings({"best": value, "tone": "calm"}) == {"best": 3}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"bets": 1}, r"no setting 'bets'.*best \(int, 2\), tone \(str, 'calm'\).*Did you mean best"),
        ({"best": "many"}, "best of the method plain is 'many', but takes int"),
        ({"best": 2.5}, "best of the method plain is 2.5"),
        ({"width": 3}, "no setting 'width'"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_known_ones(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        method_of(plain, "plain").chosen_settings(values)


@pytest.mark.parametrize("name", list(registry._registered))
@pytest.mark.parametrize("value", ["", "nan", "-inf", "1e999", "-1", "many", "{}", "0.5.1", "a=b"])
def test_nonsense_is_refused_or_read_as_the_settings_type(name: str, value: str) -> None:
    found = find_method(name)
    for setting in found.settings.values():
        try:
            chosen = found.chosen_settings({setting.name: value})
        except InputError as error:
            assert f"The setting {setting.name} of the method {name} is {value!r}" in str(error)
        else:
            # Nothing but an empty list or table, or the plain number where it has no bound.
            assert chosen.get(setting.name, setting.default) in (setting.default, [], {}, -1.0)


@pytest.mark.parametrize(
    ("name", "setting"), [("tpo", "price"), ("tpo", "wave"), ("fusion", "temperature"), ("adaptive", "prior")]
)
def test_what_is_no_number_or_below_its_bound_is_refused(name: str, setting: str) -> None:
    for value in ("nan", "-1") if setting != "prior" else ("restate=nan", "resample"):
        with pytest.raises(InputError, match=f"The setting {setting} of the method {name} is '{value}'"):
            find_method(name).chosen_settings({setting: value})


def test_bounds_of_a_setting_are_kept() -> None:
    with pytest.raises(InputError, match="merges of the method fusion is 0"):
        find_method("fusion").chosen_settings({"merges": 0})


def test_one_draft_cannot_be_merged() -> None:
    fusion = find_method("fusion")
    with pytest.raises(InputError, match="one draft cannot be merged"):
        fusion.chosen_settings({"drafts": "1"})
    assert [fusion.chosen_settings({"drafts": count}) for count in (0, 2)] == [{}, {"drafts": 2}]


def no_prompts(query: Conversation, *, width: int) -> Search:
    return (yield from plain(query, width=width, prompts=PromptSet()))


def no_default(query: Conversation, *, prompts: PromptSet, best: int) -> Search:
    return (yield from plain(query, width=best, prompts=prompts))


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (len, "is a generator function"),
        (lambda query, prompts: None, "is a generator function"),
        (no_prompts, "lacks the parameter prompts"),
        (no_default, "parameter best has no default"),
        (7, "is a int"),
    ],
)
def test_what_is_no_method_is_an_input_error(function: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        resolve_method(function)


def test_a_function_goes_by_its_place_in_python_code_and_a_registered_one_by_its_name(registered: None) -> None:
    made = resolve_method(plain)
    assert made.name == f"python:{__name__}:plain"
    assert made.code
    register("plain", plain)
    assert resolve_method(plain).name == "plain"
    assert resolve_method("plain").search is plain
    with pytest.raises(InputError, match="There is a method 'tpo' already"):
        register("tpo", plain)
    assert parse_preset("plain-n7") == Preset("plain-n7", "plain", 7)


def test_python_names_are_imported_and_presets_may_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brought.py").write_text(
        "from tpo.methods import Outcome, Sample\n"
        "def search(query, *, width, prompts):\n"
        "    drawn = yield Sample(prompts.render('answer', query), width)\n"
        "    return Outcome(drawn[0], 'depth')\n"
        "other = 3\n"
    )
    (tmp_path / "broken_method.py").write_text("1/0\n")
    assert resolve_method("python:brought:search").has_width
    assert parse_preset("python:brought:search-n4")[1:3] == ("python:brought:search", 4)
    with pytest.raises(InputError, match="There is no method 'python:brought:search'"):
        parse_preset("python:brought:search-n4", python=False)
    for name, complaint in (
        ("python:brought:serch", r"The method python:brought:serch is not there.*search"),
        ("python:brought:other", "is not a method"),
        ("python:nowhere_at_all:search", "no module named"),
        ("python:broken_method:search", "fails to import: ZeroDivisionError"),
        ("python:brought", "write python:module:function"),
    ):
        with pytest.raises(InputError, match=complaint):
            resolve_method(name)


def test_methods_of_installed_packages_are_found_by_their_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "theirs": EntryPoint("theirs", "tpo.methods.best_of_n:best_of_n", registry.GROUP),
        "lost": EntryPoint("lost", "nowhere_at_all:search", registry.GROUP),
    }
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    registry._from_entry_point.cache_clear()
    assert find_method("theirs").has_width
    assert parse_preset("theirs-n3").width == 3
    assert "theirs" in registry.methods()
    assert "lost" not in registry.methods()
    with pytest.raises(InputError, match=r"The method lost .* fails to import"):
        find_method("lost")


def test_a_method_brings_templates_and_a_users_folder_lies_over_them(tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    mine.mkdir()
    (theirs / "blend.user.jinja").write_text(
        "{% for draft in drafts %}<{{ draft }}|{{ draft.feedback }}>{% endfor %}{{ tag }}"
    )
    drafts = [Candidate("0.0", 0, "a", 1.0, feedback="good"), Candidate("0.1", 0, "b", 0.0)]
    prompt = PromptSet(method=[theirs]).render("blend", QUERY, drafts=drafts)
    assert prompt.messages == [{"role": "user", "content": "<a|good><b|>improved_answer"}]
    assert prompt.read("<improved_answer>c</improved_answer>") == "c"

    (mine / "blend.user.jinja").write_text("{{ drafts | length }}")
    own = PromptSet(mine, [theirs])
    assert own.render("blend", QUERY, drafts=drafts).messages[0]["content"] == "2"
    # Without that method the file is a mistake, unless its name is known to be another method's.
    with pytest.raises(PromptError, match="which no method uses"):
        PromptSet(mine)
    assert PromptSet(mine, known=["blend"]).name == PromptSet(mine, known=["blend"]).for_method(()).name

    (mine / "blend.user.jinja").write_text("{{ draft }}")
    with pytest.raises(PromptError, match=r"names draft, which is no variable; it may use .*drafts"):
        PromptSet(mine, [theirs])
    with pytest.raises(PromptError, match=r"has no template blnd.user.jinja.*Did you mean blend"):
        PromptSet(method=[theirs]).render("blnd", QUERY)


def test_templates_of_other_methods_do_not_change_the_name_of_a_prompt_set(tmp_path: Path) -> None:
    (tmp_path / "blend.user.jinja").write_text("{{ drafts }}")
    base = PromptSet()
    assert base.for_method((tmp_path,)).name != base.name
    assert base.for_method((tmp_path,)).for_method(()).name == base.name
    # The wording of today: unfinished runs of earlier versions know it by this name.
    assert base.name == "default@bc5b59959c08"


def test_a_random_source_depends_on_the_seed_and_the_query_alone() -> None:
    rsa = find_method("rsa")

    def prompts_of(seed: int | None) -> list[str]:
        search = rsa.start(QUERY, width=4, depth=1, prompts=PromptSet(), settings={"subset": 2}, seed=seed)
        next(search)
        wish: Any = search.send([Candidate(f"0.{i}", 0, text, 0.0) for i, text in enumerate("abcd")])
        return [action.prompt.messages[-1]["content"] for action in wish]

    assert prompts_of(1) == prompts_of(1)
    assert prompts_of(None) == prompts_of(None)
    assert len({str(prompts_of(seed)) for seed in range(20)}) > 1


def test_the_cost_is_counted_by_running_the_generator() -> None:
    costs = {name: cost_of(find_method(name), 5, 2) for name in registry._registered}
    assert costs["tpo"] == (15, 4, 7)
    assert costs["tpo-fused"] == (15, 2, 5)
    assert costs["best-of-n"] == (5, 0, 1)
    assert costs["sample"] == (1, 0, 1)
    assert costs["restate"] == costs["words"] == (15, 0, 3)
    assert costs["fusion"] == (6, 0, 2)
    assert cost_of(find_method("fusion"), 5, 0, {"analysis": True}) == (6, 1, 3)
    assert costs["rsa"] == (15, 0, 3)
    assert costs["revision"] == costs["tpo"]
    # The parts of a round's answers are scored before the next round.
    assert costs["segments"] == (15, 0, 5)
    # Only failed tries are criticised, and only where another try follows.
    assert costs["feedback-descent"] == (7, 1, 4)
    # Waves of 1, 2, 4 and 8 answers, a critique before each but the first: what chance decides counts at its most.
    assert costs["adaptive"] == (15, 3, 7)
    assert cost_of(find_method("adaptive"), 5, 2, {"arms": ["resample"]}) == (15, 0, 4)
    # Without words of the reward a minimal pair goes to the critic.
    assert cost_of(find_method("tpo"), 5, 2, {"contrast": "minimal"}) == (15, 4, 7)


def test_a_decorated_function_is_still_the_function(tmp_path: Path) -> None:
    marked = method(templates=tmp_path, paper="ours", needs_reward=False)(no_prompts)
    assert marked is no_prompts
