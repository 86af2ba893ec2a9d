"""Options stand in one place: what else names them is made from the table, or agrees with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tpo
from tpo.errors import InputError
from tpo.options import (
    ClusterOptions,
    Entry,
    EvalOptions,
    ExportFormat,
    ExportOptions,
    RunOptions,
    SearchOptions,
    ServeOptions,
    configurable,
    default,
    options_from,
    table,
)
from tpo.runs.dataset import DatasetOptions
from tpo.server.protocols.chat import ChatRequest
from tpo.server.protocols.request import Alignment
from tpo.session.spec import Options

KINDS: list[type[msgspec.Struct]] = [
    *(SearchOptions, RunOptions, ClusterOptions, ExportOptions, EvalOptions, ServeOptions)
]
EVERY = [(kind, entry) for kind in KINDS for entry in table(kind).values()]
SOURCE = Path(tpo.__file__).parent
# Arguments that are no options: tables of the file.
TABLES = {"rewards"}


def test_keyword_arguments_are_those_of_the_table() -> None:
    assert get_type_hints(Options).keys() == table(SearchOptions).keys() | TABLES
    assert get_type_hints(DatasetOptions).keys() == table(SearchOptions).keys() | table(RunOptions).keys() | TABLES
    hints = get_type_hints(SearchOptions)
    for name, hint in get_type_hints(Options).items():
        if name not in TABLES and hints[name] is not Any and name not in ("extra", "settings"):
            assert hint == hints[name], name


def test_the_defaults_of_a_search_stand_nowhere_else() -> None:
    # Search strings of defaults that no other number of ours is.
    for pattern in (r"top_p[^=\n]*=\s*0\.95", r"temperature: float[^=\n]*= 0\.7", r"patience[^=\n]*= 1800"):
        found = [path for path in SOURCE.rglob("*.py") if re.search(pattern, path.read_text(), re.IGNORECASE)]
        assert {path.parent.name for path in found} <= {"options"}, pattern


def test_fields_of_requests_have_the_bounds_of_the_table() -> None:
    known = {name: entry for name, entry in table(SearchOptions).items() if entry.option.in_requests}
    fields: dict[str, Any] = {}
    for request in (ChatRequest, Alignment):
        for field in msgspec.inspect.type_info(request).fields:  # type: ignore[attr-defined]
            fields.setdefault(field.name, field.type)
    assert known.keys() <= fields.keys()
    for name, entry in known.items():
        (kind,) = [one for one in fields[name].types if not isinstance(one, msgspec.inspect.NoneType)]
        limits = {limit: getattr(kind, limit, None) for limit in ("ge", "gt", "le")}
        if name == "seed":  # a client's seed may be negative; it is folded into the range
            continue
        assert limits == {"ge": entry.option.least, "gt": entry.option.above, "le": entry.option.most}, name


@pytest.mark.parametrize(("kind", "entry"), EVERY, ids=lambda value: getattr(value, "name", None))
def test_an_option_has_a_sentence_for_its_help_and_a_group(kind: type[msgspec.Struct], entry: Entry) -> None:
    assert entry.option.help.endswith((".", ".)"))
    assert entry.option.group
    assert entry.option.words is None or entry.default in entry.option.words.values()


def test_a_default_fits_its_own_bounds() -> None:
    for kind in KINDS:
        options_from(kind, {"format": ExportFormat.DPO} if kind is ExportOptions else {})


@given(st.sampled_from([entry for kind, entry in EVERY if kind is SearchOptions]), st.data())
def test_any_value_is_taken_or_refused_by_its_name(entry: Entry, data: st.DataObject) -> None:
    value = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.text())
    )
    try:
        made = options_from(SearchOptions, {entry.name: value})
    except InputError as error:
        assert str(error).startswith(f"{entry.shown} is ")
    else:
        taken = getattr(made, entry.name)
        assert value is taken
        if entry.kind in (int, float) and value is not None:
            option = entry.option
            number: Any = taken
            assert option.least is None or number >= option.least
            assert option.most is None or number <= option.most
            assert option.above is None or number > option.above


def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match=r"There is no option 'widht'. Did you mean width\?"):
        options_from(SearchOptions, {"widht": 3})
    with pytest.raises(InputError, match="Did you mean temperature"):
        tpo.align_sync("How?", temprature=1.0)


def test_options_of_one_call_are_not_configured() -> None:
    assert not {"column", "split", "fresh", "retry_failed"} & configurable().keys()
    assert default("width") == 5
