"""medream data list, and medream data check NAME: the cards of public data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from medream.cli.data import group
from medream.cli.options import Json
from medream.cli.tables import print_table


@group.command("list")
def list_cards(as_json: Json = False) -> None:
    """List the public data sets that medream knows: what is in them, under which licence, from where.

    Example: medream data list
    """
    import json
    from dataclasses import asdict

    from medream.adapters.cards import cards

    known = cards()
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in known.values()], indent=2))
        return
    rows = [
        [
            card.name, card.title, _or_unknown(card.subjects), _or_unknown(card.bscans),
            ", ".join(card.classes) or "none", card.licence or "unknown", card.doi,
            " ".join(part for part in (card.obtain, card.url) if part) or "unknown",
        ]
        for card in known.values()
    ]  # fmt: skip
    print_table(
        ["name", "data set", "subjects", "B-scans", "classes", "licence", "doi", "how to obtain"],
        rows,
    )
    typer.echo("Compare a download with its card: medream data check NAME --root DIR")


def _or_unknown(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def check_card(name: str, root: Path | None) -> tuple[list[Any], str]:
    """Compare a download with its card; return the problems and what to say when there are none."""
    from medream.adapters.cards import compare_with_card, find_card
    from medream.errors import ConfigError

    card = find_card(name)
    if root is None:
        raise ConfigError(
            f"Where is {card.title}? Give its folder: medream data check {name} --root DIR."
        )
    return compare_with_card(card, root), f"{root}: compared with the card of {card.title}."
