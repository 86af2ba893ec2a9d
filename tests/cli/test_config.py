"""tpo.toml: environment over file over default, flags over all; rewards by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from cli.test_align import answering, tpo
from models.server import serving
from tpo.cli.app import _tpo as configured
from tpo.cli.app import app
from tpo.config import load_config
from tpo.models.dialect import OMITTABLE


async def test_a_flag_goes_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    async with serving(answering) as server:
        (tmp_path / "tpo.toml").write_text(
            f'policy = "{server.url}"\nwidth = 4\ndepth = 3\nseed = 1\nrequire = ["min-words=1"]\nmax-tokens = 77\n'
        )
        ran = await tpo("align", "How?", "--depth", "0", "--json", "--quiet", cwd=tmp_path, TPO_WIDTH="2")
        assert ran.code == 0, ran.err
        result = json.loads(ran.out)
        assert (result["width"], result["depth"]) == (2, 0)
        assert "min-words=1" in result["steps"][0]["candidates"][0]["parts"]
        assert server.bodies()[0]["max_tokens"] == 77


async def test_rewards_have_names_and_are_combined(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def long(conversations):\n    open('asked', 'a').write('x' * len(conversations))\n"
        "    return [len(c[-1]['content']) for c in conversations]\n"
        "def odd(conversations):\n    return [int(c[-1]['content'][7:-1]) % 2 for c in conversations]\n"
    )
    (tmp_path / "own.toml").write_text(
        'reward = "careful"\n'
        '[rewards.long]\nuse = "python:mine:long"\n'
        "[rewards.careful]\nsum = { long = 1.0, surface = 0.5 }\nlength-price = 0.1\n"
        'gates = { "python:mine:odd" = 1.0 }\n'
    )
    async with serving(answering) as server:
        ran = await tpo(
            *("--config", "own.toml", "align", "How?", "--policy", server.url, "--depth", "1"),
            *("--width", "6", "--seed", "1", "--json", "--quiet"),
            cwd=tmp_path,
        )
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    candidates = {c["id"]: c for step in result["steps"] for c in step["candidates"]}
    parts = candidates[result["chosen"]]["parts"]
    assert parts["python:mine:odd"] == 1.0
    assert {"long", "long.z", "surface", "surface.relevance", "length"} <= parts.keys()
    assert len((tmp_path / "asked").read_text()) == len({c["text"] for c in candidates.values()})
    assert any(c["parts"]["python:mine:odd"] == 0.0 and c["reward"] < -500 for c in candidates.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("wdth = 3\n", "tpo.toml sets wdth, which is not an option. Did you mean width?"),
        ("width = ", "tpo.toml is not TOML"),
        ("rewards = 3\n", "rewards is a table of tables"),
        ('[rewards.a]\nuze = "surface"\n', "[rewards.a] sets uze, which is not an option. Did you mean use?"),
        ("[rewards.a]\n", "needs exactly one of use, sum and min"),
        ('[rewards.a]\nuse = "surface"\nmin = ["surface"]\n', "needs exactly one of use, sum and min"),
        ("[rewards.a]\nuse = 3\n", "[rewards.a]: Expected `str"),
        ('reward = "a"\n[rewards.a]\nsum = { b = 1 }\n[rewards.b]\nuse = "a"\n', "made of itself: a -> b -> a"),
        ('reward = "a"\n[rewards.a]\nsum = { none = 1 }\n', "which scores nothing"),
        ('reward = "carful"\n[rewards.careful]\nuse = "surface"\n', "'carful' is unknown. Did you mean careful?"),
        ('width = "many"\n', "tpo.toml: width is 'many'; it must be a whole number."),
        ("width = true\n", "tpo.toml: width is True; it must be a whole number."),
        ("top-p = nan\n", "tpo.toml: top-p is nan; it must be above 0 and at most 1."),
        ("patience = nan\n", "tpo.toml: patience is nan; it must be at least 0."),
        ('on-bad-row = "leave"\n', "tpo.toml: on-bad-row is 'leave'; it must be stop or skip."),
        ('require = "max-words=3"\n', "tpo.toml: require is 'max-words=3'; it must be a list of texts."),
    ],
)
async def test_a_mistake_in_the_file_is_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "tpo.toml").write_text(text)
    ran = await tpo("align", "How?", "--policy", "http://127.0.0.1:9/v1", "--quiet", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


async def test_config_shows_what_is_in_force_and_hides_keys(tmp_path: Path) -> None:
    (tmp_path / "tpo.toml").write_text('width = 4\n[rewards.a]\nuse = "surface"\n')
    ran = await tpo("config", "--json", cwd=tmp_path, TPO_DEPTH="9", TPO_API_KEY="sk-secret")
    shown = json.loads(ran.out)
    assert shown["options"]["width"] == {"value": 4, "from": "tpo.toml"}
    assert shown["options"]["depth"] == {"value": 9, "from": "TPO_DEPTH"}
    assert shown["options"]["method"] == {"value": "tpo", "from": "default"}
    assert shown["rewards"] == {"a": {"use": "surface"}}
    plain = await tpo("config", cwd=tmp_path, TPO_API_KEY="sk-secret")
    assert "width = 4  # tpo.toml" in plain.out
    assert "sk-secret" not in ran.out + plain.out
    assert (await tpo("--config", "nowhere.toml", "config", cwd=tmp_path)).code == 2


async def test_config_prints_toml_that_gives_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "tpo.toml").write_text(
        'policy = "http://a/v1"\nwidth = 4\ntop-p = 0.5\nparquet = true\nrequire = ["max-words=3", "a \\"b\\""]\n'
        'extra = { stop = ["\\u007f\\n"], top_k = 3 }\n'
        '[rewards."a b"]\nsum = { "judge:http://a/v1?x=1" = 1.0, surface = 0.5 }\nlength-price = 0.25\n'
        '[rewards.worst]\nmin = ["a b", "surface"]\nrequire = ["max-words=3"]\n'
    )
    printed = await tpo("config", cwd=tmp_path, TPO_SEED="7", TPO_API_KEY="sk-secret")
    (tmp_path / "again.toml").write_text(printed.out)
    before, after = load_config(tmp_path / "tpo.toml"), load_config(tmp_path / "again.toml")
    assert after.options == {**before.options, "seed": 7}
    assert after.rewards == before.rewards


async def test_the_score_cache_saves_calls(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def count(conversations):\n    open('calls', 'a').write('x' * len(conversations))\n"
        "    return [1.0 for _ in conversations]\n"
    )
    async with serving(answering) as server:
        for _ in range(2):
            ran = await tpo(
                *("align", "How?", "--policy", server.url, "--method", "best-of-n", "--width", "3", "--seed", "1"),
                *("--reward", "python:mine:count", "--score-cache", "scores.sqlite", "--quiet"),
                cwd=tmp_path,
            )
            assert ran.code == 0, ran.err
    assert (tmp_path / "calls").read_text() == "xxx"


def test_the_fields_that_can_be_left_out_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    section = page.partition("## Fields that a server refuses")[2].partition("\n## ")[0]
    assert [field for field in OMITTABLE if f"`{field}`" not in section] == []


def test_an_evaluation_takes_neither_the_method_of_the_file_nor_its_settings(tmp_path: Path) -> None:
    (tmp_path / "tpo.toml").write_text('width = 3\n[method]\nname = "fusion"\nmerges = 2\n')
    context = typer.Context(get_command(app))
    configured(context, tmp_path / "tpo.toml")
    assert context.default_map is not None
    assert context.default_map["align"] == {"method": "fusion", "set": ["merges=2"], "width": 3}
    assert context.default_map["eval"]["tasks"] == {"width": 3}


async def test_settings_and_omitted_fields_come_from_the_file_and_the_environment(tmp_path: Path) -> None:
    tables = ('[method]\nname = "fusion"\nmerges = 2\n', 'method = "fusion"\nset = ["merges=2"]\n')
    for number, text in enumerate(tables):
        (tmp_path / f"{number}.toml").write_text(text)
    assert load_config(tmp_path / "0.toml").options == load_config(tmp_path / "1.toml").options
    async with serving(answering) as server:
        flags = ("--policy", server.url, "--method", "sample", "--seed", "1", "--quiet")
        ran = await tpo("align", "How?", *flags, TPO_OMIT="top_p seed")
        assert ran.code == 0, ran.err
        assert not {"top_p", "seed"} & server.bodies()[0].keys()
        (tmp_path / "tpo.toml").write_text('omit = ["temperature"]\n')
        ran = await tpo("align", "How?", *flags, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert "temperature" not in server.bodies()[1] and "top_p" in server.bodies()[1]


async def test_an_effort_decides_what_no_flag_file_or_variable_gives(tmp_path: Path) -> None:
    async with serving(answering) as server:
        (tmp_path / "tpo.toml").write_text(f'policy = "{server.url}"\neffort = "medium"\nseed = 1\n')
        given = {"--effort low": 4, "--effort low --width 5": 5, "": 12}
        for flags, width in given.items():
            ran = await tpo("align", "How?", "--json", "--quiet", *flags.split(), cwd=tmp_path)
            assert ran.code == 0, ran.err
            result = json.loads(ran.out)
            assert (result["method"], result["width"]) == ("best-of-n", width)
        ran = await tpo("align", "How?", "--json", "--quiet", cwd=tmp_path, TPO_EFFORT="low", TPO_METHOD="tpo")
        assert json.loads(ran.out)["method"] == "tpo"
        ran = await tpo("align", "How?", "--effort", "huge", cwd=tmp_path)
        assert ran.code == 2 and "low" in ran.err


async def test_a_panel_in_the_environment_is_printed_as_it_is_read_again(tmp_path: Path) -> None:
    ran = await tpo("config", cwd=tmp_path, TPO_POLICY="x=http://a:1/v1 y=m@http://b:2/v1")
    (tmp_path / "tpo.toml").write_text(ran.out)
    assert load_config(tmp_path / "tpo.toml").options["policy"] == ["x=http://a:1/v1", "y=m@http://b:2/v1"]


async def test_the_environment_is_printed_as_it_is_read_again(tmp_path: Path) -> None:
    rules = "max-words=3 bullets=2"
    ran = await tpo("config", cwd=tmp_path, TPO_REQUIRE=rules, TPO_CHECK="no", TPO_PARQUET="On", TPO_WIDTH="")
    (tmp_path / "tpo.toml").write_text(ran.out)
    options = load_config(tmp_path / "tpo.toml").options
    assert options == {"require": ["max-words=3", "bullets=2"], "check": False, "parquet": True}
    assert "# width = 5  # default" in ran.out


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tpo.toml"
    path.write_text("width = 7\n", encoding="utf-8-sig")
    assert load_config(path).options == {"width": 7}
