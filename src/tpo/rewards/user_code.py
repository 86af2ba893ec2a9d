"""Code that users bring: finding it by "module:name", naming the line where it failed, noticing that it changed."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from types import CellType, FunctionType, ModuleType
from typing import Any

from tpo.errors import InputError, RewardError, TPOError


def load(path: str, kind: str = "reward") -> Any:
    """Import what "module:name" names, with the current directory in front of the import path.

    Args:
        path: a module and an attribute in it, both dotted if need be: "my.rewards:Judge.score".
        kind: what is named, for errors: "reward", "method" or "benchmark".

    Raises:
        InputError: the path has another form, or there is no such module or name; near ones are named.
        RewardError: importing the module raised.
    """
    module_name, colon, attributes = path.partition(":")
    is_file = module_name.endswith(".py") or "/" in module_name or os.sep in module_name
    if is_file or not colon or not all(map(str.isidentifier, [*module_name.split("."), *attributes.split(".")])):
        hint = _without_suffix(module_name) if is_file else f"my_{kind}s"
        what, example = _EXAMPLES[kind]
        name = attributes if attributes.isidentifier() else example
        raise InputError(
            f"The {kind} python:{path} does not name a {what}: write python:module:{what}, such as "
            f"python:{hint}:{name} (no path, no .py)."
        )
    target: Any = _module(module_name, kind)
    for done, attribute in enumerate(attributes.split(".")):
        try:
            target = getattr(target, attribute)
        except AttributeError as error:
            holder = ":".join([module_name, *([".".join(attributes.split(".")[:done])] if done else [])])
            raise InputError(
                f"The {kind} python:{path} is not there: {holder} has no {attribute!r}"
                f"{_near(attribute, [name for name in dir(target) if not name.startswith('_')])}."
            ) from error
    return target


# What each kind of user code is, and an example of its name.
_EXAMPLES = {
    "reward": ("function", "score"),
    "method": ("function", "search"),
    "benchmark": ("class", "MyBenchmark"),
}


def _without_suffix(path: str) -> str:
    return path.removesuffix(".py").strip("./").replace("/", ".").replace(os.sep, ".") or "my_rewards"


def _module(name: str, kind: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may have been written a moment ago
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name != missing and not name.startswith(f"{missing}."):
            raise _import_failed(name, error, kind) from error
        raise InputError(
            f"The {kind} python:{name} is not there: no module named {missing!r} in {here} "
            f"or among the installed ones{_near(missing, _modules_beside(missing))}."
        ) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error, kind) from error


def _import_failed(name: str, error: BaseException, kind: str) -> TPOError:
    family = RewardError if kind == "reward" else InputError
    return family(f"The {kind}'s module {name} fails to import: {described(error)}.")


def _modules_beside(name: str) -> list[str]:
    package, dot, _ = name.rpartition(".")
    folders = list(getattr(sys.modules.get(package), "__path__", [])) if dot else [str(Path.cwd())]
    return [f"{package}{dot}{module.name}" for module in pkgutil.iter_modules(folders)]


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return f" (near: {', '.join(near)})" if near else ""


def path_of(target: object) -> str:
    """What "module:name" would be for a function, a class, or the class of an object."""
    while isinstance(target, functools.partial):
        target = target.func
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{getattr(named, '__module__', None) or '?'}:{getattr(named, '__qualname__', type(target).__name__)}"


def described(error: BaseException, function: object = None) -> str:
    """An exception in one line: its type, its message, and the file and line that raised it.

    Args:
        error: what was raised.
        function: the user's function, if known: the last line in its own file is what the user can act on,
            rather than the inside of a library that it called.
    """
    message = " ".join(str(error).split())
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError):  # its message has the place already, as (file, line N)
        return line
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ours(frame.filename)]
    if not frames:
        return line
    own = _file_of(function)
    frame = next((frame for frame in reversed(frames) if own and frame.filename == own), frames[-1])
    return f"{line} ({_short(frame.filename)}:{frame.lineno})"


def _ours(filename: str) -> bool:
    between = (Path(__file__).parent, Path(importlib.__file__).parent)
    return filename.startswith("<frozen importlib") or Path(filename).parent in between


def _file_of(function: Any) -> str | None:
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        return None
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code.co_filename if code is not None else None


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def fingerprint(target: object) -> str:
    """A hash of what a function or object computes: its source, and the plain values bound to it.

    Args:
        target: a function, a class, an object, or a partial call of one.

    Returns:
        Eight hexadecimal digits; the same in every process for the same code.
    """
    return hashlib.sha256("\0".join(_traits(target)).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _traits(target: Any) -> list[str]:
    if isinstance(target, functools.partial):
        return [*_traits(target.func), *_plain(target.args), *_plain(target.keywords)]
    if inspect.ismethod(target):
        return [*_traits(target.__func__), *_plain(getattr(target.__self__, "__dict__", {}))]
    if inspect.isfunction(target):
        bound = {**(target.__kwdefaults__ or {}), **_closure(target)}
        return [_source(target), *_plain(target.__defaults__ or ()), *_plain(bound)]
    if inspect.isclass(target) or inspect.isroutine(target):
        return [_source(target)]
    return [_source(type(target)), *_plain(getattr(target, "__dict__", {}))]


def _closure(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if cell != CellType()}


def _plain(values: Any) -> list[str]:
    # Only values whose repr is the same in every process: an object's would hold its address.
    items = sorted(values.items()) if isinstance(values, dict) else enumerate(values)
    return [f"{key}={value!r}" for key, value in items if isinstance(value, str | bytes | int | float | None)]


def _source(code: Any) -> str:
    compiled = getattr(code, "__code__", None)
    inner = repr((compiled.co_code, compiled.co_names)) if compiled is not None else path_of(code)
    try:
        # Two lambdas may share a line.
        return inspect.getsource(code) + (inner if path_of(code).endswith("<lambda>") else "")
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        return inner
