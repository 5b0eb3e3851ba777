"""Cards for people: a list that fits a terminal, one card in full, and which ones are meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from curate.cards import JUDGES, Card, CardFile
from curate.cli.tables import spell, table
from curate.errors import CurateError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDTH = 100
"""Columns of the list."""

NARROWEST = 18
"""Columns for what a rater measures, however wide the others are."""

NEEDS = 14
"""Columns for what it needs, at most; `prompt, source` fits."""

BY_HAND = "*"
"""Beside the extra of a rater that a file has to be got for."""

_LEGEND = (
    "Raters asked about of a vision-language model need the extra vlm for a server, and rewards where\n"
    f"their weights run here. {BY_HAND} needs a file that has to be got by hand, such as the text of a prompt\n"
    "that is not ours to ship: `curate raters NAME` says which, and from where."
)

_GROUPS: tuple[tuple[str, Callable[[Card], bool]], ...] = (
    ("Two responses at a time", lambda card: card.judges == "pairs"),
    ("Videos", lambda card: card.takes.response == "video"),
    ("Texts", lambda card: card.takes.response == "text"),
    ("Pictures, asked about of a vision-language model", lambda card: card.target.startswith(JUDGES)),
    ("Pictures beside another", lambda card: bool(card.takes.conditions)),
    ("Pictures and their prompt", lambda card: card.takes.prompt == "required"),
    ("Pictures alone", lambda card: True),
)
"""Headings of the list; a card stands below the first that fits, and they are shown from the last to the first."""


def takes_of(card: Card) -> set[str]:
    """What a rater looks at, in the words of `--takes`."""
    takes = card.takes
    media = {"image", "video", "text"} if takes.response == "any" else {takes.response}
    return {
        *media,
        *takes.conditions,
        *(["prompt"] if takes.prompt != "unused" else []),
        *([card.judges] if card.judges == "pairs" else []),
    }


def chosen(files: Sequence[CardFile], *, takes: Sequence[str], search: str) -> list[CardFile]:
    """The cards, by name, that look at all that `takes` says, and in which every word of `search` stands.

    Raises `CurateError` for what no rater takes, and where no card is left.
    """
    known = set[str]().union(*(takes_of(file.card) for file in files))
    for one in takes:
        if one not in known:
            raise CurateError(f"no rater takes '{one}'. {nearest(one, known)}")
    words = search.casefold().split()
    found = [file for file in files if set(takes) <= takes_of(file.card) and all(word in _text(file.card) for word in words)]
    if not found:
        raise CurateError("no rater is like that; `curate raters` lists all of them")
    return sorted(found, key=lambda file: file.card.name)


def _text(card: Card) -> str:
    dimensions = [f"{name} {dimension.about}" for name, dimension in card.dimensions.items()]
    said = [card.name, card.about, *dimensions, card.licence, card.paper, card.source, card.trained_on, card.notes]
    return "\n".join(text for text in said if text).casefold()


def listed(files: Sequence[CardFile]) -> list[RenderableType]:
    """Tables of cards, grouped by what they look at, and what their marks mean; no line is longer than 100 columns."""
    groups: dict[str, list[Card]] = {title: [] for title, _ in reversed(_GROUPS)}
    for file in files:
        groups[next(title for title, fits in _GROUPS if fits(file.card))].append(file.card)
    return [*(_group(title, cards) for title, cards in groups.items() if cards), _LEGEND]


def _group(title: str, cards: Sequence[Card]) -> Table:
    columns = ("rater", "needs", "extra", "commercial", "parity", "what it measures")
    rows = [
        (card.name, _needs(card), _extra(card), _commercial(card), card.parity is not None, _in_short(card)) for card in cards
    ]
    made = table(title, columns, rows)
    made.columns[1].max_width = NEEDS
    others = [max(len(columns[at]), *(len(spell(row[at])) for row in rows)) for at in range(len(columns) - 1)]
    others[1] = min(others[1], NEEDS)
    made.columns[-1].max_width = max(NARROWEST, WIDTH - sum(others) - 3 * len(columns))  # three beside each column
    return made


def _extra(card: Card) -> str | None:
    """The extra it needs, marked where that is not all."""
    return " ".join([*filter(None, [card.extra]), *([BY_HAND] if _by_hand(card) else [])]) or None


def _by_hand(card: Card) -> list[str]:
    """Where the files have to lie that nothing fetches: those of weights that are named by a path alone."""
    return sorted({weights.path for weights in card.weights.values() if weights.path is not None})


def _in_short(card: Card) -> str:
    return card.about.split(" (")[0].rstrip(".")


def _needs(card: Card) -> str | None:
    """What a sample must have beside its response; a prompt that is used where there is one stands in brackets."""
    prompt = {"required": ["prompt"], "optional": ["(prompt)"], "unused": []}[card.takes.prompt]
    return ", ".join([*prompt, *card.takes.conditions]) or None


def _commercial(card: Card) -> str:
    return {True: "allowed", False: "forbidden", None: "not said"}[card.commercial]


def document(file: CardFile) -> dict[str, Any]:
    """A card as JSON, with its fingerprint and whether it came with the package."""
    return {**file.card.model_dump(mode="json"), "fingerprint": file.card.fingerprint, "shipped": file.shipped}


def in_full(file: CardFile) -> list[RenderableType]:
    """A card for people: its facts, then its dimensions."""
    card = file.card
    facts = {
        "what it measures": card.about,
        "takes": _takes(card),
        "main dimension": card.main,
        "licence": card.licence,
        "commercial use": _commercial(card),
        "weights": "; ".join(f"{role}: {_weights(card, role)}" for role in card.weights) or "none",
        "packages": _packages(card),
        "got by hand": _whence(card) if _by_hand(card) else None,
        "engine": card.target,
        "settings": json.dumps(card.model_dump(mode="json")["args"], ensure_ascii=False) if card.args else None,
        "paper": card.paper,
        "original": card.source,
        "trained on": card.trained_on,
        "parity": f"{card.parity}; compare: curate raters parity {card.name}" if card.parity else "no numbers of an original",
        "notes": card.notes,
        "fingerprint": f"{card.fingerprint} (version {card.version})",
        "card": file.where,
    }
    dimensions = [(name, _range(dimension.range), dimension.about) for name, dimension in card.dimensions.items()]
    return [
        table(card.name, ("", ""), [(fact, value) for fact, value in facts.items() if value is not None]),
        table("Dimensions (larger is better)", ("name", "range", "what it says"), dimensions),
    ]


def _packages(card: Card) -> str:
    if card.target.startswith(JUDGES):
        here = "; with the weights on this machine: pip install 'curate-preferences[rewards]'" if "model" in card.weights else ""
        return f"with a server: pip install 'curate-preferences[vlm]'{here}"
    return f"pip install 'curate-preferences[{card.extra}]'" if card.extra else "nothing beyond curate"


def _whence(card: Card) -> str:
    """Which files nothing fetches, and from where people get them."""
    return f"{', '.join(_by_hand(card))}{f', from {card.source}' if card.source else ''}; the settings say what is in it"


def _takes(card: Card) -> str:
    takes = card.takes
    parts = [f"{takes.response} ({'two at a time' if card.judges == 'pairs' else 'one at a time'})", f"prompt {takes.prompt}"]
    return ", ".join([*parts, *(f"needs {role}" for role in takes.conditions)])


def _weights(card: Card, role: str) -> str:
    weights = card.weights[role]
    place = weights.hub or weights.path or weights.package or ""
    revision = f"@{weights.revision}" if weights.revision else ""
    return f"{place}{revision}{f' ({weights.file})' if weights.file else ''}"


def _range(limits: tuple[float | None, float | None]) -> str:
    low, high = ("…" if limit is None else f"{limit:g}" for limit in limits)
    return f"{low} to {high}" if limits != (None, None) else "unbounded"
