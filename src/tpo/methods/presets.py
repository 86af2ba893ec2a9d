"""A method and its dials in one word: "tpo-d5-n20", "best-of-30", "sample"."""

from __future__ import annotations

import re
from typing import NamedTuple

from tpo.errors import InputError
from tpo.methods.registry import PYTHON, find_method, is_method, resolve_method

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
    """

    label: str
    method: str
    width: int | None = None
    depth: int | None = None


def parse_preset(text: str, *, python: bool = True) -> Preset:
    """Read a preset.

    Args:
        text: a method's name, with `-dD`, `-nN` or both after it; best-of-n may have its number instead of the n.
        python: whether `python:MODULE:NAME` may be named, which imports code.

    Raises:
        InputError: there is no such method, or it has no such dial.
    """
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
