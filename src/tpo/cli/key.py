"""`tpo key`: keys for the clients of `tpo serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tpo.cli.console import note, print_json, reporting
from tpo.cli.flags import chosen, takes
from tpo.errors import InputError
from tpo.options import KeyOptions


@reporting
@takes(KeyOptions)
def key(
    name: Annotated[str | None, typer.Argument(help="The client's name.", show_default=False)] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Remove the client's key.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the clients instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print a JSON list.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    **flags: Any,
) -> None:
    """Make a key for a client of `tpo serve`, and print it once: the file keeps only its hash.

    A running server reads a change within a second. To replace a key that leaked, use --revoke and make a new one.
    """
    from tpo.server.keyfile import make_key, revoke_key
    from tpo.server.limits import Limits

    options = chosen(KeyOptions, flags)
    file, operator = Path(options.file), options.operator
    limits = Limits(options.requests_per_minute, options.tokens_per_minute, options.concurrency)
    if list_ or as_json:
        if name is not None or revoke or operator or limits != Limits():
            raise InputError("--list shows all clients; it takes no name, no limits, no --operator and no --revoke.")
        _show(file, as_json)
        return
    if name is None:
        raise InputError(f"The client's name is missing: tpo key NAME --file {file} makes a key.")
    if revoke:
        if operator or limits != Limits():
            raise InputError("--revoke takes no limits and no --operator.")
        revoke_key(file, name)
        note(f"removed the key of {name} from {file}")
        return
    typer.echo(make_key(file, name, limits, operator=operator))
    note(f"this is the key of {name}; {file} keeps only its hash, so it cannot be shown again")


def _show(file: Path, as_json: bool) -> None:
    import msgspec

    from tpo.server.keys import read_keys

    clients = sorted(read_keys(file).items())
    if as_json:
        print_json(
            [{"name": name, "operator": one.operator, **msgspec.to_builtins(one.limits)} for name, one in clients]
        )
        return
    if not clients:
        note(f"there is no key in {file}")
    for name, one in clients:
        limits = msgspec.to_builtins(one.limits).items()
        shown = [f"{value} {limit.replace('-', ' ')}" for limit, value in limits if value is not None] or ["no limits"]
        typer.echo(f"{name}: {', '.join(['operator'] * one.operator + shown)}")
