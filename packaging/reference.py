"""The reference pages, made from the code: `make reference` writes them, and a test sees that they are current.

docs/reference/ has the commands, tpo.toml, the Python API and the HTTP API; each page in docs/methods/ has a block with
what the method's registration says, and docs/clients.md one with what the tests of clients showed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

import msgspec

DOCS = Path(__file__).resolve().parents[1] / "docs"
CLIENTS = DOCS.parent / "tests" / "server" / "clients" / "record.json"
MADE = "<!-- Made from the code by `make reference`. -->"
BLOCK = re.compile(r"<!-- made: [^\n]+ -->\n.*?<!-- end -->\n", re.DOTALL)
# Modules of the Python API, each with the sentence that introduces it.
MODULES = {
    "tpo": "What most programs need. These names are kept ([compatibility](../compatibility.md)).",
    "tpo.methods": "To write a method: [methods](../methods.md#write-your-own).",
    "tpo.rewards.protocol": "To write a reward: [rewards](../rewards.md#your-own-in-python).",
    "tpo.models.protocol": "To write a model that is not behind an OpenAI-compatible server.",
    "tpo.evals.benchmarks": "To write a benchmark: [evaluation](../evaluation.md).",
    "tpo.options": "All options of the commands, of the library and of the server, as typed records.",
}
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")


def pages() -> dict[Path, str]:
    """Every page that is made from the code, whole or in part, with the text that it has to have."""
    whole = {"cli": commands(), "configuration": configuration(), "python": python_api(), "http": http_api()}
    made = {DOCS / "reference" / f"{name}.md": f"{MADE}\n\n{text.strip()}\n" for name, text in whole.items()}
    return made | method_pages() | clients_page()


def method_pages() -> dict[Path, str]:
    """The page of each method of ours: written by hand, but for one block."""
    from tpo.methods import methods

    made = {}
    for name, method in methods().items():
        path = DOCS / "methods" / f"{name}.md"
        text = path.read_text(encoding="utf-8") if path.exists() else f"# {name}\n\nTo be written.\n"
        block = f"<!-- made: by `make reference` -->\n{_method_facts(method)}<!-- end -->\n"
        if BLOCK.search(text):
            made[path] = BLOCK.sub(lambda _, block=block: block, text)
        else:
            heading, _, rest = text.partition("\n")
            made[path] = f"{heading}\n\n{block}\n{rest.strip()}\n"
    return made


def _method_facts(method: Any) -> str:
    from tpo.methods.cost import cost_of

    costs = []
    for width, depth in ((5, 1), (5, 2), (10, 2)):
        cost = cost_of(method, width, depth)
        tokens = f"{cost.answers}·a" + (f" + {cost.replies}·c" if cost.replies else "")
        costs.append((f"N={width}, D={depth}", str(cost.answers), str(cost.replies), str(cost.stages), tokens))
    if not method.has_depth:
        costs = [costs[0], costs[2]] if method.has_width else costs[:1]
    paper = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", method.paper)
    lines = [method.summary, "", *([f"Paper: {paper}.", ""] if paper else [])]
    lines += [*_table(("at most", "answers", "other replies", "stages in a row", "completion tokens"), costs), ""]
    lines += ["a: the completion tokens of an answer, c: those of a critique.", ""]
    settings = [
        (f"`{one.name}`", one.kind, f"`{_toml(one.default)}`", _meta(one.type)) for one in method.settings.values()
    ]
    if settings:
        lines += [*_table(("setting (`--set NAME=VALUE`)", "type", "default", "bounds"), settings), ""]
    return "\n".join(lines)


def _meta(hint: Any) -> str:
    """The bounds of an annotation; of one that allows several types, those of its numbers."""
    hints = (hint, *get_args(hint)) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)
    metas = [one for part in hints for one in getattr(part, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{text} {getattr(one, key):g}" for one in metas for key, text in words.items() if getattr(one, key) is not None
    ]
    return ", ".join(found)


def clients_page() -> dict[Path, str]:
    """docs/clients.md: written by hand, but for the table of clients and features that `make test-clients` recorded."""
    record = json.loads(CLIENTS.read_text(encoding="utf-8"))
    features = list(dict.fromkeys(feature for entry in record.values() for feature in entry["features"]))
    rows = []
    for client, entry in record.items():
        versions = ", ".join(f"{package} {version}" for package, version in entry["versions"].items())
        rows.append((client, versions, *("yes" if feature in entry["features"] else "" for feature in features)))
    path = DOCS / "clients.md"
    table = "\n".join(_table(("client", "tested versions", *features), rows))
    block = f"<!-- made: from the record of `make test-clients` -->\n{table}\n<!-- end -->\n"
    return {path: BLOCK.sub(lambda _: block, path.read_text(encoding="utf-8"))}


def commands() -> str:
    """Every command with its arguments and flags."""
    from tpo.cli.commands import COMMANDS, built

    lines = [
        "# Commands",
        "",
        "`tpo COMMAND -h` shows the most used flags, `tpo COMMAND --help-all` all of them. A flag with a variable can",
        "be set in the environment, too; [tpo.toml](configuration.md) lists those that a file can set.",
        "",
    ]
    for name, listed in COMMANDS.items():
        command = built(name, listed)
        parts = getattr(command, "commands", None)
        if parts is None:
            lines += _command(command, f"tpo {name}", listed.examples)
            continue
        lines += [f"## tpo {name}", "", f"{listed.summary}", ""]
        for part in parts.values():
            # `tpo eval TASK…` runs the command `tasks`.
            lines += _command(part, f"tpo {name}" if part.name == "tasks" else f"tpo {name} {part.name}", (), "###")
    return "\n".join(lines)


def _command(command: Any, name: str, examples: Iterable[str], level: str = "##") -> Iterator[str]:
    from tpo.cli.help import default_of, names_of

    context = command.make_context(name, [], resilient_parsing=True)
    yield from (f"{level} {name}", "")
    for paragraph in (command.help or "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
    if examples:
        yield from ("```text", *examples, "```", "")
    groups: dict[str, list[tuple[str, ...]]] = {}
    for one in command.get_params(context):
        if getattr(one, "hidden", False) or one.name == "help":
            continue
        is_argument = one.param_type_name == "argument"
        group = "Arguments" if is_argument else getattr(one, "rich_help_panel", None) or "Options"
        prefix = context.auto_envvar_prefix
        variable = f"`{prefix}_{one.name.upper()}`" if prefix and not is_argument else ""
        default = default_of(one)
        help = " ".join((getattr(one, "help", None) or "").split())
        shown = "" if default is None else f"`{default}`"
        groups.setdefault(group, []).append((f"`{names_of(one, context)}`", help, shown, variable))
    for group, rows in groups.items():
        yield from (f"**{group}**", "", *_table(("name", "meaning", "default", "variable"), rows), "")


def configuration() -> str:
    """Every key of tpo.toml."""
    from tpo.options import configurable

    groups: dict[str, list[tuple[str, ...]]] = {}
    for entries in configurable().values():
        entry = entries[0]
        row = (f"`{entry.shown}`", entry.option.help, _type(entry), f"`{_toml(_default(entry))}`", _bounds(entry))
        groups.setdefault(entry.option.group, []).append(row)
    lines = [
        "# tpo.toml",
        "",
        "Each key is also an environment variable: `TPO_` and the key in capitals, with `_` for `-`.",
    ]
    lines += ["Tables such as `[rewards.NAME]` and `[method]` are in [configuration](../configuration.md).", ""]
    for group, rows in groups.items():
        lines += [f"## {group}", "", *_table(("key", "meaning", "type", "default", "bounds"), rows), ""]
    return "\n".join(lines)


def _default(entry: Any) -> Any:
    if entry.option.words is not None:
        return next(word for word, stored in entry.option.words.items() if stored == entry.default)
    return entry.default


def _toml(value: Any) -> str:
    """A default as tpo.toml would have it."""
    if value is None or value is msgspec.NODEFAULT:
        return "not set"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def _type(entry: Any) -> str:
    if entry.option.words is not None:
        return "one of " + ", ".join(f"`{word}`" for word in entry.option.words)
    kind = entry.kind
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(f"`{one.value}`" for one in kind)
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}
    names |= {"Mapping": "table", "Sequence": "list of texts", "Any": "text"}
    return names.get(getattr(kind, "__name__", str(kind)), str(kind))


def _bounds(entry: Any) -> str:
    from tpo.options.option import bounds

    text = bounds(entry.option)
    return "" if text == "a number" else text


def python_api() -> str:
    """The names that programs import, with their signatures and docstrings."""
    lines = ["# Python API", ""]
    for module_name, what in MODULES.items():
        module = importlib.import_module(module_name)
        lines += [f"## {module_name}", "", what, ""]
        for name in sorted(_public(module)):
            lines += _object(getattr(module, name), f"{module_name}.{name}")
    return "\n".join(lines)


def _public(module: Any) -> list[str]:
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isclass(value) and value.__module__ == module.__name__
    ]


def _object(value: Any, name: str) -> Iterator[str]:
    yield from (f"### {name}", "")
    if get_origin(value) is not None:
        yield from ("```text", f"{name.rpartition('.')[2]} = {_type_in_words(value)}", "```", "")
        return
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        yield from (
            " ".join((inspect.getdoc(type(value)) or "").split("\n\n")[0].split()) if callable(value) else "",
            "",
        )
        return
    if inspect.isfunction(value) or not issubclass(value, Enum | BaseException):
        yield from (*_signature(value, name.rpartition(".")[2]), "")
    yield from _docstring(value)
    for member_name, member in sorted(vars(value).items()) if inspect.isclass(value) else ():
        if member_name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and inspect.getdoc(function):
            if isinstance(member, property):
                yield from (f"**`.{member_name}`**", "")
            else:
                yield from (*_signature(function, f".{member_name}"), "")
            yield from _docstring(function)


def _signature(value: Any, name: str) -> Iterator[str]:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return
    shown = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    head = "async def " if inspect.iscoroutinefunction(value) else ""
    back = signature.return_annotation
    tail = f" -> {_type_in_words(back)}" if back is not inspect.Signature.empty and inspect.isfunction(value) else ""
    parameters = list(_parameters(shown))
    line = f"{head}{name}({', '.join(parameters)}){tail}"
    if len(line) > 100:
        line = f"{head}{name}(\n" + "".join(f"    {one},\n" for one in parameters) + f"){tail}"
    yield from ("```text", line, "```")


def _parameters(parameters: list[inspect.Parameter]) -> Iterator[str]:
    keyword = False
    for one in parameters:
        if one.kind is one.VAR_POSITIONAL:
            keyword = True
        if one.kind is one.KEYWORD_ONLY and not keyword:
            keyword = True
            yield "*"
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        text = f"{stars}{one.name}"
        if one.annotation is not one.empty:
            text += f": {_type_in_words(one.annotation)}"
        if one.default is not one.empty:
            default = one.default
            shown = repr(default.value) if isinstance(default, Enum) else repr(default)
            # Objects have addresses, which differ from run to run.
            text += " = " + ("…" if " at 0x" in shown or shown.startswith("<") else shown)
        yield text


def _type_in_words(annotation: Any) -> str:
    """An annotation as source code, without modules and without what `Annotated` adds."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", text)


def _docstring(value: Any) -> Iterator[str]:
    """A docstring of Google's form as Markdown."""
    if not isinstance(vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__, str):
        return
    section = ""
    item: list[str] = []

    def flush() -> Iterator[str]:
        if item:
            yield f"- {' '.join(item)}"
            item.clear()

    for line in inspect.cleandoc(value.__doc__).splitlines():
        if found := SECTION.match(line):
            yield from flush()
            section = found[1]
            yield from ("", f"**{section}**", "")
        elif not section:
            yield line
        elif not line.strip():
            yield from flush()
        elif not line.startswith(" "):
            yield from flush()
            section = ""
            yield from ("", line)
        elif line.startswith("        ") or section in ("Returns", "Yields"):
            item.append(line.strip())
        else:
            yield from flush()
            name, colon, rest = line.strip().partition(": ")
            item.append(f"`{name}`: {rest}" if colon else line.strip())
    yield from flush()
    yield ""


def http_api() -> str:
    """The routes of the server with the fields of their bodies."""
    from tpo.options import SearchOptions, table
    from tpo.server.openapi import document

    described = document("")
    schemas = described["components"]["schemas"]
    lines = ["# HTTP API", "", described["info"]["description"].replace("\n", " ").strip(), ""]
    lines += [
        "A running server describes itself in the same words at `/openapi.json`. How to use it: [serve](../serve.md),"
    ]
    lines += ["[clients](../clients.md).", ""]
    bodies = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = body.get("$ref", "").rpartition("/")[2]
            if name and name not in bodies:
                bodies.append(name)
            lines += [f"## {method.upper()} {path}", "", f"{operation['summary']}.", ""]
            lines += [f"Body: [{name}](#{name.lower()}).", ""] if name else []
    lines += [
        "## The field tpo",
        "",
        'Options of a search that one request may set, as `"tpo": {"width": 3}` in the',
        "",
    ]
    lines[-2] += " body or as a header `x-tpo-width: 3`."
    rows = [
        (f"`{entry.name}`", entry.option.help, _type(entry), f"`{_toml(_default(entry))}`", _bounds(entry))
        for entry in table(SearchOptions).values()
        if entry.option.in_requests
    ]
    lines += ["", *_table(("field", "meaning", "type", "default of the server", "bounds"), rows), ""]
    for name in [*bodies, *(name for name in schemas if name not in bodies)]:
        lines += [f"## {name}", "", *_schema(schemas[name]), ""]
    return "\n".join(lines)


def _schema(schema: Mapping[str, Any]) -> Iterator[str]:
    if what := schema.get("description"):
        yield from (" ".join(what.split("\n\n")[0].split()), "")
    required = schema.get("required", ())
    rows = [
        (f"`{name}`", _shape(field), "yes" if name in required else "")
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield from _table(("field", "value", "required"), rows)


def _shape(field: Mapping[str, Any]) -> str:
    """What a field of a JSON schema takes, in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return "one of " + ", ".join(f"`{one}`" for one in field["enum"])
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_shape(one) for one in field["anyOf"] if one.get("type") != "null"))
    kinds = field.get("type", "anything")
    kind = " or ".join(one for one in ([kinds] if isinstance(kinds, str) else kinds) if one != "null")
    if kind == "array" and "items" in field:
        return f"list of {_shape(field['items'])}"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "minItems": "at least"}
    found = [f"{text} {field[key]}" for key, text in bounds.items() if key in field and abs(field[key]) < 2**62]
    return ", ".join([kind, *found])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table without the columns that are empty in every row."""
    rows = list(rows)
    kept = [index for index in range(len(head)) if any(row[index] for row in rows)]
    yield "| " + " | ".join(head[index] for index in kept) + " |"
    yield "|" + " --- |" * len(kept)
    for row in rows:
        yield "| " + " | ".join(row[index].replace("|", "\\|").replace("\n", " ") for index in kept) + " |"


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
