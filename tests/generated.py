"""Files that are written from code: `python -m tests.generated` (or `make generated`) writes them, tests say when one is old."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import BaseModel

from curate.cards import Card, CardFile, shipped_cards
from curate.scorers.golden import Golden, Head, load_golden

ROOT = Path(__file__).parents[1]
RATERS = ROOT / "docs" / "raters.md"
BEGIN, END = "<!-- generated: the table of raters -->\n", "<!-- end -->\n"


def files() -> dict[Path, str]:
    """What each of them holds when it is current."""
    schemas = ROOT / "schemas"
    before, rest = RATERS.read_text(encoding="utf-8").split(BEGIN)
    return {
        schemas / "card.schema.json": schema(Card),
        schemas / "golden.schema.json": schema(Golden),
        RATERS: before + BEGIN + table() + END + rest.split(END, 1)[1],
    }


def schema(model: type[BaseModel]) -> str:
    """A model as JSON Schema, for editors, which check files while they are written."""
    return json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def table() -> str:
    """Every card in a line of Markdown."""
    head = ("rater", "looks at", "parity measured on", "within", "licence", "commercial use")
    rows = [head, ("---",) * len(head), *(row(file) for _, file in sorted(shipped_cards().items()))]
    return "".join("| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in one) + " |\n" for one in rows)


def row(file: CardFile) -> tuple[str, ...]:
    card = file.card
    looks = [card.takes.response, *(["prompt"] if card.takes.prompt != "unused" else []), *card.takes.conditions]
    golden = load_golden(file)
    commercial = {True: "allowed", False: "forbidden", None: "not said"}[card.commercial]
    within = f"{golden.within:g}" if golden else "-"
    return (f"`{card.name}`", ", ".join(looks), measured_on(golden), within, card.licence, commercial)


def measured_on(golden: Golden | None) -> str:
    """What the numbers are compared with."""
    if golden is None:
        return "there is no original"
    kinds = {
        "published numbers": golden.published,
        "the original, run": golden.measured,
        "the original's head": isinstance(golden.head, Head),
    }
    return ", ".join(["the formula", *(kind for kind, there in kinds.items() if there)])


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
