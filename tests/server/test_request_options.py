"""A request that names the server's own method keeps its settings, however the server was given it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from server.conftest import Serve
from server.policy import drawing
from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods import Outcome, Pool, Sample, Search, find_method, resolve_method
from tpo.methods.presets import parse_preset
from tpo.methods.tpo import tpo
from tpo.options import ServeOptions
from tpo.prompts import PromptSet
from tpo.server.request_options import with_dials

SETTINGS = {"contrast": "latest"}


def merge(query: Conversation, prompts: PromptSet, *, best: Annotated[int, msgspec.Meta(ge=1)] = 2) -> Search:
    """A method of the server's own."""
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), best)))
    return Outcome(pool.chosen, "depth")


def dials(usual: dict[str, Any], preset: str | None = None, **wanted: Any) -> dict[str, Any]:
    options: Any = {"policy": "a-8B@http://x/v1", "reward": "surface", **usual}
    return with_dials(options, parse_preset(preset) if preset else None, ServeOptions(), ("a-8B",), wanted)


@pytest.mark.parametrize("usual", [{}, {"method": "tpo"}, {"method": find_method("tpo")}, {"method": tpo}])
def test_its_settings_stay_where_a_request_names_the_same_method(usual: dict[str, Any]) -> None:
    usual = {**usual, "settings": SETTINGS}
    for chosen in (dials(usual, "tpo-n2"), dials(usual, method="tpo"), dials(usual)):
        assert chosen["settings"] == SETTINGS
    for chosen in (dials(usual, "best-of-n"), dials(usual, "tpo", method="restate")):
        assert "settings" not in chosen


def test_the_method_of_the_servers_effort_keeps_its_settings() -> None:
    usual = {"effort": "high", "settings": SETTINGS}
    assert dials(usual)["method"] == "tpo"
    assert dials(usual, "tpo")["settings"]["contrast"] == "latest"
    assert "settings" not in dials(usual, "best-of-n")


def test_a_method_that_no_name_leads_to_may_be_named_by_the_requests_of_its_server() -> None:
    own = resolve_method(merge)
    chosen = dials({"method": own, "settings": {"best": 3}}, method=own.name)
    assert chosen["method"] is own and chosen["settings"] == {"best": 3}
    with pytest.raises(InputError, match="There is no method"):
        dials({}, method=own.name)


async def test_a_served_search_has_them(serve: Serve) -> None:
    settings = {"widths": [2, 1]}
    async with serve(drawing(["a", "bb", "ccc"]), method=find_method("tpo"), settings=settings) as up:
        answer = (await up.chat("small:tpo")).json()
        assert answer["tpo"]["candidates"] == 3  # and not 3 answers in each of two steps
