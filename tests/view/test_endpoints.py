"""What the page is told: lists, figures, stories, comparisons, exports; and what it is refused."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import TestClient

import tpo
from tpo.engine.events import Listener
from tpo.engine.result import Result
from tpo.errors import InputError, ModelError
from tpo.view.app import create_app
from tpo.view.export import exported
from tpo.view.play import LONGEST, Play, PlayOptions
from tpo.view.sources import Sources
from view.conftest import got
from view.runs import ARM, EVIL, JUDGED, QUESTIONS, enlarged

STATIC = Path(tpo.__file__).parent / "view" / "static"


def test_the_list_has_runs_and_traces(client: TestClient) -> None:
    found = got(client, "sources")
    assert {run["name"] for run in found["runs"]} == {"one", "two"} and len(found["traces"]) == 1
    trace = found["traces"][0]
    assert trace["name"] == "trace.jsonl" and trace["question"].startswith("Why is the sky blue?") and trace["at"]
    one = next(run for run in found["runs"] if run["name"] == "one")
    assert one["done"] == one["total"] == 4 and one["answer_reward"] > one["first_reward"]


def test_a_run_has_its_figures(client: TestClient) -> None:
    run = got(client, "run", run="one")
    assert sum(run["gain"]["counts"]) == len(run["length"]["row"]) == run["summary"]["done"]
    assert [step["step"] for step in run["summary"]["steps"]][:2] == [0, 1]
    found = {step["step"]: step["found"] for step in run["gain_by_step"]}
    assert sum(found.values()) == run["summary"]["done"] and run["tokens"]["correlated"] == run["tokens"]["of"]
    for step, queries in found.items():
        assert got(client, "queries", run="one", step=step)["matched"] == queries
    medians = [step["quantiles"][2] for step in run["gain_by_step"]]
    assert medians == sorted(medians)  # the best so far never falls
    gains = [case["gain"] for case in run["best"]]
    assert gains == sorted(gains, reverse=True)


def test_a_run_shows_its_judge_its_panel_and_its_warnings(judged: Path) -> None:
    with TestClient(create_app(Sources([judged])), base_url="http://localhost") as client:
        run = got(client, "run", run="judged")
        story = got(client, "story", run="judged", id="j3")
    summary, chart = run["summary"], run["held_out"]
    assert len(summary["warnings"]) == 2 and "exploits the reward" in summary["warnings"][1]
    assert set(summary["arms"]) == {"plain", ARM} and sum(arm["wins"] for arm in summary["arms"].values()) == JUDGED
    assert chart["of"] == len(chart["x"]) == JUDGED and chart["correlation"] == -1.0
    assert chart["apart"] > 0.5 and chart["both"] == 0.0
    first, last = chart["groups"]
    assert first["x"] < last["x"] and first["value"] > last["value"]  # the more reward, the less the judge likes it
    assert all(step["reward"]["value"] > 0 > step["judge"]["value"] for step in chart["steps"] if step["step"])
    assert "judge" in run["judge_label"]
    candidates = [one for step in story["steps"] for one in step["candidates"]]
    scores = {one["id"]: one["judged"] for one in candidates if one["judged"] is not None}
    found = story["held_out"]
    assert scores == {candidates[0]["id"]: found["first"], story["answer"]: found["answer"]}
    assert {one["arm"] for one in candidates} == set(story["arms"]) == {"plain", ARM}


def test_a_run_without_a_judge_has_no_chart_of_it(client: TestClient) -> None:
    run = got(client, "run", run="one")
    assert run["held_out"] is None and run["judge_label"] is None and run["summary"]["arms"] == {}


def test_queries_are_sorted_filtered_and_searched(client: TestClient) -> None:
    rows = got(client, "queries", run="one", sort="gain", order="down")["rows"]
    gains = [row["gain"] for row in rows if row["gain"] is not None]
    assert gains == sorted(gains, reverse=True) and len(rows) == 4
    assert [row["id"] for row in got(client, "queries", run="one", search="ROME")["rows"]] == ["q3"]
    assert [row["id"] for row in got(client, "queries", run="one", search="q2")["rows"]] == ["q2"]
    page = got(client, "queries", run="one", size=3, page=2)
    assert [row["row"] for row in page["rows"]] == [3] and page["matched"] == 4
    for show in ("improved", "same", "worse", "failed"):
        shown = got(client, "queries", run="two", show=show)["rows"]
        assert all({"improved": r["gain"] and r["gain"] > 0, "failed": r["error"]}.get(show, True) for r in shown)


def test_a_search_finds_what_is_written_in_other_ways(client: TestClient) -> None:
    def found(words: str) -> list[str]:
        return [row["id"] for row in got(client, "queries", run="one", search=words)["rows"]]

    assert "q1" in found('onerror="document')  # escaped in the file
    assert found("<SCRIPT>") == found("<script>") != []
    assert found("plan a DAY in") == ["q3"] and found("no such words") == [] and found("“") == []


def test_a_query_knows_its_neighbours_in_the_list(client: TestClient) -> None:
    listed = [row["id"] for row in got(client, "queries", run="one", sort="reward", order="down")["rows"]]
    for place, id in enumerate(listed):
        near = got(client, "neighbours", run="one", id=id, sort="reward", order="down")
        assert near["position"] == place + 1 and near["matched"] == len(listed)
        assert near["before"] == (listed[place - 1] if place else None)
        assert near["after"] == (listed[place + 1] if place + 1 < len(listed) else None)
    outside = got(client, "neighbours", run="one", id="q0", search="Rome")
    assert outside == {"position": None, "matched": 1, "before": None, "after": None}
    assert got(client, "story", run="one", row=2)["name"] == "q2"
    assert client.get("/api/story", params={"run": "one", "row": 99}).status_code == 404


def test_questions_come_from_the_journal(client: TestClient) -> None:
    assert got(client, "questions", run="one", id=["q0", "q1"]) == {"q0": QUESTIONS[0], "q1": QUESTIONS[1]}


def test_a_story_has_everything(client: TestClient) -> None:
    story = got(client, "story", run="one", id="q1")
    assert story["question"] == QUESTIONS[1] and len(story["steps"]) == 3
    assert story["steps"][1]["loss"] and story["steps"][1]["chosen"]
    assert {prompt["name"] for prompt in story["prompts"]} >= {"answer", "loss", "gradient", "update"}
    assert story["usage"]["critic"]["calls"] == 4 and len(story["calls"]) >= 13
    trace = got(client, "story", trace="trace.jsonl")
    assert trace["question"] == QUESTIONS[1] and trace["state"] == "ended"


def test_two_runs_are_compared(client: TestClient) -> None:
    found = got(client, "compare", run="one", **{"with": "two"})
    assert found["both"] == 4 and found["alike"] and any("method" in change for change in found["changes"])
    totals = found["compared"]
    assert totals["better"] + totals["same"] + totals["worse"] == totals["queries"]
    longer = [row["longer"] for row in found["rows"] if row["difference"] is not None]
    assert len(longer) < found["both"]  # one of the runs failed for a query
    assert totals["longer"] == round(sum(longer) / len(longer), 1)
    edges, counts = found["difference"]["edges"], found["difference"]["counts"]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        assert got(client, "compare", run="one", low=low, high=high, **{"with": "two"})["matched"] == count
    pair = got(client, "pair", run="one", id="q0", **{"with": "two"})
    assert pair["question"] == QUESTIONS[0] and len(pair["answers"]) == 2


def test_an_export_stands_alone_and_runs_nothing_of_what_it_shows(client: TestClient) -> None:
    response = client.get("/api/export", params={"run": "one", "id": "q1"})
    page = response.text
    assert 'filename="q1.html"' in response.headers["content-disposition"]
    assert EVIL not in page and "<script>document" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page.partition("<script")[0])
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert script and not re.search("^(import|export) ", script[1], re.MULTILINE)
    data = re.search(r'<script type="application/json" id="story">(.*?)</script>', page, re.DOTALL)
    assert data and json.loads(data[1])["question"] == QUESTIONS[1]


def test_modules_share_no_name_so_that_they_fit_into_one_file() -> None:
    names: dict[str, str] = {}
    needed = ["exported.js", "maths_library.js"]
    for module in needed:
        source = (STATIC / module).read_text()
        needed += [one for one in re.findall(r'from "\./([\w.]+)"', source) if one not in needed]
        found = re.findall(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)", source, re.MULTILINE)
        found += re.findall(r"^import \* as (\w+)", source, re.MULTILINE)
        for name in set(found):
            assert name not in names, f"{name} is in {names.get(name)} and {module}"
            names[name] = module


def test_an_export_has_the_library_for_formulas_only_where_there_are_some() -> None:
    story: dict[str, Any] = {"question": "How much?", "name": "q"}
    sizes = {text: len(exported({**story, "answer": text})) for text in ("one", "$x$", "\\(x\\)", "\\begin{cases}")}
    assert sizes["one"] < 160_000
    assert all(160_000 < size < 350_000 for text, size in sizes.items() if text != "one")
    script = (
        exported({**story, "answer": "$x$"}).decode().partition('<script type="module">')[2].removesuffix("</html>")
    )
    assert len(re.findall("</?script|<!--", script)) == 1  # its own end


def test_a_huge_run_is_shown_by_pages(runs: Path, tmp_path: Path) -> None:
    enlarged(runs / "two", tmp_path / "huge", 30_000)
    with TestClient(create_app(Sources([tmp_path / "huge"])), base_url="http://localhost") as client:
        first = got(client, "queries", run="huge", sort="reward", order="down", size=50)
        assert first["total"] == 30_000 and len(first["rows"]) == 50
        assert len(json.dumps(first)) < 50_000
        last = got(client, "queries", run="huge", page=600)
        assert last["rows"][-1]["id"] == "row-29999"
        run = got(client, "run", run="huge")
        assert sum(run["gain"]["counts"]) > 15_000 and len(run["length"]["row"]) <= 1500
        assert got(client, "story", run="huge", id="row-29999")["steps"]
        assert got(client, "queries", run="huge", search="row-4711")["rows"][0]["id"] == "row-4711"


def test_what_is_not_there_is_a_404(client: TestClient) -> None:
    for path, parameters in (
        ("run", {"run": "three"}),
        ("story", {"run": "one", "id": "q9"}),
        ("story", {"trace": "../queries.jsonl"}),
        ("story", {"trace": "/etc/passwd"}),
        ("run", {"run": "../runs/one"}),
        ("live/story", {"id": "x"}),
    ):
        response = client.get(f"/api/{path}", params=parameters)
        assert (response.status_code == 404 and "here" in response.json()["error"]) or "no" in response.text


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "....//app.py", "/etc/passwd"])
def test_no_file_beside_the_pages_own_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_a_link_out_of_the_folder_is_not_followed(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "one").symlink_to(runs / "one")
    with TestClient(create_app(Sources([tmp_path / "shown"])), base_url="http://localhost") as client:
        assert got(client, "sources")["runs"] == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        ["run", "queries", "neighbours", "questions", "story", "compare", "pair", "export", "live/story"]
    ),
    parameters=st.dictionaries(
        st.sampled_from(
            [
                "run",
                "with",
                "id",
                "sort",
                "order",
                "page",
                "size",
                "over",
                "show",
                "low",
                "high",
                "search",
                "trace",
                "row",
            ]
        ),
        st.one_of(
            st.text(max_size=20), st.sampled_from(["one", "two", "q1", "gain", "down", "1", "-1", "nan", "1e999"])
        ),
    ),
)
def test_no_parameter_breaks_the_server(client: TestClient, path: str, parameters: dict[str, str]) -> None:
    parameters = {key: value.encode("utf-8", "replace").decode() for key, value in parameters.items()}
    assert client.get(f"/api/{path}", params=parameters).status_code in (200, 400, 404, 422)


def test_pages_from_elsewhere_are_kept_out(runs: Path) -> None:
    app = create_app(Sources([runs]))
    with TestClient(app, base_url="http://evil.example") as client:
        assert client.get("/").status_code == 403
    with TestClient(app, base_url="http://localhost") as client:
        posted = client.post("/api/play", json={}, headers={"origin": "http://evil.example"})
        assert posted.status_code == 403
        page = client.get("/")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"


def test_a_source_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(InputError, match=path.name):
            Sources([path])


def test_a_damaged_run_does_not_hide_the_others(runs: Path, tmp_path: Path) -> None:
    enlarged(runs / "two", tmp_path / "good", 4)
    enlarged(runs / "two", tmp_path / "bad", 4)
    (tmp_path / "bad" / "answers.jsonl").write_text("{\n{}\n")
    with TestClient(create_app(Sources([tmp_path])), base_url="http://localhost") as client:
        found = {run["name"]: run.get("error") for run in got(client, "sources")["runs"]}
        assert found["good"] is None and found["bad"]


def playing(runs: Path, align: Any) -> TestClient:
    return TestClient(create_app(Sources([runs]), Play(align)), base_url="http://localhost")


ASKED = {"question": "Hi", "method": "tpo", "width": 2, "depth": 1}


def test_the_playground_shows_what_happens(runs: Path) -> None:
    result = tpo.replay(runs / "trace.jsonl")

    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        for record in result.trace:
            listen(record)
        return result

    with playing(runs, align) as client:
        assert got(client, "about")["play"]["methods"][0]["name"] == "tpo"
        told = client.post("/api/play", json=ASKED).text
        assert "event: events" in told and '"happened":"scored"' in told
        assert '"leaked":null' in told  # without it the page would call an answer with words of ours the best
        story = json.loads(told.split("event: story\ndata: ")[1])
        assert story["answer"] == result.chosen


def test_the_playground_shows_failures(runs: Path) -> None:
    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        raise ModelError("Nobody is there.")

    with playing(runs, align) as client:
        assert "Nobody is there." in client.post("/api/play", json=ASKED).text
        for body in ({}, {**ASKED, "width": 0}, {**ASKED, "method": "magic"}, {**ASKED, "question": " "}):
            assert client.post("/api/play", json=body).status_code == 400
        assert client.post("/api/play", data={"question": "x"}).status_code == 415
        headers = {"content-type": "application/json"}
        assert client.post("/api/play", content=b"x" * (LONGEST + 1), headers=headers).status_code == 413
    with TestClient(create_app(Sources([runs])), base_url="http://localhost") as client:
        assert client.post("/api/play", json=ASKED).status_code == 404


async def test_leaving_the_playground_ends_the_work(runs: Path) -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        raise AssertionError

    app = create_app(Sources([runs]), Play(align))
    body = json.dumps(ASKED).encode()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        if message is None:
            await begun.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: Any) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope: Any = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": "/api/play", "raw_path": b"/api/play", "query_string": b"", "root_path": "", "headers": headers}
    scope |= {"server": ("localhost", 80), "client": ("127.0.0.1", 1)}
    await asyncio.wait_for(app(scope, receive, send), 20)
    await asyncio.wait_for(ended.wait(), 5)
