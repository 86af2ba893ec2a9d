"""A method and its dials in one word: "tpo-d5-n20", "best-of-30", "sample"; or a level of effort: "effort-high"."""

from __future__ import annotations

import re
from typing import NamedTuple

from tpo.errors import InputError
from tpo.methods.efforts import effort_named
from tpo.methods.registry import PYTHON, find_method, is_method, resolve_method
from tpo.options import Effort

EFFORT, PANEL = "effort-", "panel"
_BEST_OF = re.compile(r"best-of-([1-9][0-9]{0,3})")
_DIALS = re.compile(r"(.+?)((?:-d[0-9]{1,4}|-n[1-9][0-9]{0,3}){1,2})")
_DIAL = re.compile(r"-([dn])([0-9]+)")


class Preset(NamedTuple):
    """A method as it is to be run.

    Attributes:
        label: as it was written.
        method: the method's name.
        width: N; None for whatever is usual.
        depth: D; likewise.
        effort: the level of effort that decides all three; the method is empty then.
        panel: all arms of the server's panel, by the server's own method; the method is empty then.
    """

    label: str
    method: str
    width: int | None = None
    depth: int | None = None
    effort: Effort | None = None
    panel: bool = False


def parse_preset(text: str, *, python: bool = True, efforts: bool = False) -> Preset:
    """Read a preset.

    Args:
        text: a method's name, with `-dD`, `-nN` or both after it; best-of-n may have its number instead of the n.
        python: whether `python:MODULE:NAME` may be named, which imports code.
        efforts: whether `effort-LEVEL` and `panel` may be named, which name no method.

    Raises:
        InputError: there is no such method, or it has no such dial.
    """
    if efforts and text == PANEL:
        return Preset(text, "", panel=True)
    if efforts and text.startswith(EFFORT):
        if (effort := effort_named(text.removeprefix(EFFORT))) is None:
            raise InputError(f"There is no effort {text!r}: choose one of {', '.join(EFFORT + one for one in Effort)}.")
        return Preset(text, "", effort=effort)
    if found := _BEST_OF.fullmatch(text):
        return Preset(text, "best-of-n", int(found[1]))
    found = None if is_method(text) else _DIALS.fullmatch(text)
    name = found[1] if found else text
    method = resolve_method(name) if python and name.startswith(PYTHON) else find_method(name)
    dials = _DIAL.findall(found[2]) if found else []
    given = {dial: int(value) for dial, value in dials}
    if len(given) < len(dials):
        raise InputError(f"The method {text!r} has a dial twice: write {name}-d2-n5, for instance.")
    for dial, there, what in (("n", method.has_width, "width"), ("d", method.has_depth, "depth")):
        if dial in given and not there:
            raise InputError(f"The method {text!r} names a {what}, which {name} does not have.")
    return Preset(text, name, given.get("n"), given.get("d"))
