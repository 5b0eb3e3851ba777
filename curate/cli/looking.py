"""`curate raters` and `curate show`: what there is to judge with, and what was judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli import options
from curate.cli.session import session
from curate.cli.tables import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.cards import CardFile


def raters(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A card, by name or by path, in full.", show_default=False)
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """List the raters, or show one in full: what it measures, needs, weighs and allows.

    Example: [bold]curate raters signal[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate.cards import load_card, shipped_cards

        if name is not None:
            file = load_card(name)
            here.finish(card_document(file), card_tables(file))
            return
        files = list(shipped_cards().values())
        rows = [
            (file.card.name, file.card.takes.response, file.card.licence, file.card.extra, file.card.about)
            for file in sorted(files, key=lambda file: file.card.name)
        ]
        shown = table("", ("rater", "judges", "licence", "extra", "what it measures"), rows)
        here.finish({"raters": [card_document(file) for file in files]}, [shown])


def show(
    path: Annotated[str, typer.Argument(metavar="STORE|DATASET", help="A store or an exported folder.", show_default=False)],
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    log: options.Log = None,
) -> None:
    """Show what is in a store or a dataset: counts, statuses, distributions, agreement.

    Example: [bold]curate show ratings[/bold]
    """
    with session(quiet=quiet, as_json=as_json, log=log) as here:
        from curate import api

        shown = api.show(path)
        here.finish(shown.as_dict(), [table(one.title, one.columns, one.rows) for one in shown.tables])


def card_document(file: CardFile) -> dict[str, Any]:
    """A card as JSON, with its fingerprint and whether it came with the package."""
    return {**file.card.model_dump(mode="json"), "fingerprint": file.card.fingerprint, "shipped": file.shipped}


def card_tables(file: CardFile) -> list[RenderableType]:
    """A card for people: its facts, then its dimensions."""
    card = file.card
    facts = {
        "what it measures": card.about,
        "takes": _takes(file),
        "main dimension": card.main,
        "licence": card.licence,
        "commercial use": {True: "allowed", False: "not allowed", None: "not said"}[card.commercial],
        "weights": "; ".join(f"{role}: {_weights(file, role)}" for role in card.weights) or "none",
        "packages": f"pip install 'curate-preferences[{card.extra}]'" if card.extra else "nothing beyond curate",
        "engine": card.target,
        "paper": card.paper,
        "original": card.source,
        "trained on": card.trained_on,
        "parity": card.parity or "no numbers of an original",
        "notes": card.notes,
        "fingerprint": f"{card.fingerprint} (version {card.version})",
        "card": file.where,
    }
    dimensions = [(name, _range(dimension.range), dimension.about) for name, dimension in card.dimensions.items()]
    return [
        table(card.name, ("", ""), [(fact, value) for fact, value in facts.items() if value is not None]),
        table("Dimensions (larger is better)", ("name", "range", "what it says"), dimensions),
    ]


def _takes(file: CardFile) -> str:
    takes = file.card.takes
    parts = [
        f"{takes.response} ({'two at a time' if file.card.judges == 'pairs' else 'one at a time'})",
        f"prompt {takes.prompt}",
    ]
    return ", ".join([*parts, *(f"needs {role}" for role in takes.conditions)])


def _weights(file: CardFile, role: str) -> str:
    weights = file.card.weights[role]
    place = weights.hub or weights.path or weights.package or ""
    revision = f"@{weights.revision}" if weights.revision else ""
    return f"{place}{revision}{f' ({weights.file})' if weights.file else ''}"


def _range(limits: tuple[float | None, float | None]) -> str:
    low, high = ("…" if limit is None else f"{limit:g}" for limit in limits)
    return f"{low} to {high}" if limits != (None, None) else "unbounded"
