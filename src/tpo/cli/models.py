"""`tpo models`: models that run in this process, those in the cache and those to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import note, print_json, reporting

if TYPE_CHECKING:
    from tpo.models.catalogue import LocalModel


@reporting
def models(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Fetch this model and print its path: embedded, or hub:ORG/REPO[:FILE].",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, an object a model.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """List models that run without a server: those in the cache, and some suggestions.

    Any GGUF repository of the Hugging Face Hub can be named as hub:ORG/REPO, with :FILE where it has several files. The
    speed is an estimate for one answer at a time on this machine, if it has no other work.
    """
    from tpo.models import catalogue, weights

    if spec is not None:
        typer.echo(str(_fetched(spec)))
        return
    rows = [_row(model) for model in catalogue.local_models()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        _show(row)
    typer.echo(f"\nCache: {weights.cache()}")


def _fetched(spec: str) -> Any:
    from tpo.errors import InputError
    from tpo.models import hub, weights
    from tpo.models.hub_download import HUB

    if spec == "embedded":
        return weights.smollm2(note)
    if not spec.startswith(HUB):
        raise InputError(f"{spec!r} is nothing to fetch: give embedded, or {HUB}ORG/REPO[:FILE].")
    return hub.fetch(spec, note)


def _row(model: LocalModel) -> dict[str, Any]:
    from tpo.models.catalogue import tokens_per_second

    return {
        "model": model.spec,
        "bytes": model.size,
        "licence": model.licence or None,
        "tokens_per_second": round(tokens_per_second(model), 1),
        "fits": model.fits,
        "path": str(model.path) if model.path else None,
        "note": model.note or None,
    }


def _show(row: dict[str, Any]) -> None:
    from tpo.models.hub_download import megabytes

    typer.echo(f"--policy {row['model']}")
    speed = f"about {row['tokens_per_second']:.0f} tokens/s" if row["fits"] else "too large for the free memory"
    facts = [megabytes(row["bytes"]), row["licence"] or "licence unknown", speed]
    facts.append("in the cache" if row["path"] else "fetched at the first use")
    typer.echo(f"  {', '.join(facts)}" + (f": {row['note']}" if row["note"] else ""))
