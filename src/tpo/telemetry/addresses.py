"""Where the models of a search are served, as spans show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tpo.models.fleet import Fleet
from tpo.models.openai import OpenAIModel
from tpo.models.panel import Panel
from tpo.prompts import Role


class Address(NamedTuple):
    """Where a model is served.

    Attributes:
        host: empty where it has no server.
        port: None for the protocol's own.
        model: the model's name there; empty where the search's plan has it.
    """

    host: str
    port: int | None
    model: str = ""


def arm_key(arm: str) -> str:
    """What the server of a panel's arm stands under, among those of roles."""
    return f"policy {arm}"


def address_of(url: str) -> Address:
    """Host and port of a URL; an empty host where there is none."""
    try:
        parts = urlsplit(url)
        return Address(parts.hostname or "", parts.port)
    except ValueError:
        return Address("", None)


def addresses(models: Mapping[Role, Fleet]) -> dict[str, Address]:
    """The server of each role that has one; of a panel, each arm's with the name of its model, under `arm_key`."""
    found = {}
    for role, fleet in models.items():
        if isinstance(fleet, Panel):
            for name, arm in fleet.arms.items():
                found[arm_key(name)] = (_address(arm) or Address("", None))._replace(model=arm.name)
        elif (served := _address(fleet)) is not None:
            found[str(role)] = served
    return found


def _address(fleet: Fleet) -> Address | None:
    served = fleet.servers[0].model
    return address_of(served.endpoint.shown) if isinstance(served, OpenAIModel) else None
