"""Files that are written from code: `python -m tests.generated` (or `make generated`) writes them, tests say when one is old."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from curate.cards import Card, CardFile, shipped_cards
from curate.scorers.golden import Golden, Head, Inputs, load_golden

ROOT = Path(__file__).parents[1]
RATERS = ROOT / "docs" / "raters.md"
DOORS = ROOT / "tests" / "scorers" / "tensor_door.json"
SPEEDS = ROOT / "tests" / "scorers" / "speed.json"
RUBRIC = "curate.judges.rater:RubricRater"
RATERS_BEGIN, RUBRICS_BEGIN = "<!-- generated: the table of raters -->\n", "<!-- generated: the table of rubrics -->\n"
END = "<!-- end -->\n"


def files() -> dict[Path, str]:
    """What each of them holds when it is current."""
    schemas = ROOT / "schemas"
    raters = replaced(RATERS.read_text(encoding="utf-8"), RATERS_BEGIN, table_of_raters())
    return {
        schemas / "card.schema.json": schema(Card),
        schemas / "golden.schema.json": schema(Golden),
        RATERS: replaced(raters, RUBRICS_BEGIN, table_of_rubrics()),
    }


def replaced(text: str, begin: str, table: str) -> str:
    """A text with another table behind the mark `begin`."""
    before, rest = text.split(begin)
    return before + begin + table + END + rest.split(END, 1)[1]


def schema(model: type[BaseModel]) -> str:
    """A model as JSON Schema, for editors, which check files while they are written."""
    return json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def table_of_raters() -> str:
    """Every card but those of rubrics."""
    head = ("rater", "looks at", "parity measured on", "within", "doors apart", "speed", "licence", "commercial use")
    return markdown(head, (row(file) for file in sorted_cards() if file.card.target != RUBRIC))


def table_of_rubrics() -> str:
    """Every card that asks a vision-language model."""
    head = ("rubric", "judges", "looks at", "method", "reads", "main value", "source")
    return markdown(head, (row_of_rubric(file.card) for file in sorted_cards() if file.card.target == RUBRIC))


def sorted_cards() -> list[CardFile]:
    return [file for _, file in sorted(shipped_cards().items())]


def markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in one) + " |\n" for one in lines)


def row(file: CardFile) -> tuple[str, ...]:
    card = file.card
    golden = load_golden(file)
    commercial = {True: "allowed", False: "forbidden", None: "not said"}[card.commercial]
    within = f"{golden.within:g}" if golden else "-"
    numbers = (measured_on(golden), within, doors_apart(card), speed(card))
    return (f"`{card.name}`", looks_at(card), *numbers, card.licence, commercial)


def row_of_rubric(card: Card) -> tuple[str, ...]:
    least, most = card.dimensions[card.main].range
    span = " ".join([*([] if least is None else [f"from {least:g}"]), *([] if most is None else [f"to {most:g}"])]) or "unbounded"
    reads = ", ".join(dict.fromkeys(ways_of_reading(card.args)))
    source = f"[{card.paper}]({card.source})" if card.paper and card.source else card.paper or "ours"
    return (f"`{card.name}`", card.judges, looks_at(card), str(card.args["rubric"]), reads, f"`{card.main}`, {span}", source)


def looks_at(card: Card) -> str:
    looks = [card.takes.response, *(["prompt"] if card.takes.prompt != "unused" else []), *card.takes.conditions]
    return ", ".join([*looks, *(["further ones"] if card.takes.optional else [])])


def ways_of_reading(args: Any) -> Iterator[str]:
    """What the `reads` of a card's calls are, wherever they stand in its arguments."""
    if isinstance(args, dict):
        for name, value in args.items():
            if name == "reads" and isinstance(value, str):
                yield value
            elif name == "reads":
                yield from (f"{way} ({settings['name']})" if way == "format" else way for way, settings in value.items())
            else:
                yield from ways_of_reading(value)
    elif isinstance(args, list):
        for value in args:
            yield from ways_of_reading(value)


def doors_apart(card: Card) -> str:
    """How far `score_tensor` lies from `score`, as `tests/scorers/tensor_door.py` measured it."""
    door = json.loads(DOORS.read_text(encoding="utf-8")).get(card.name)
    return f"{door['difference']:g} of {door['span']:g}" if door else "-"


def speed(card: Card) -> str:
    """What a picture costs, as `tests/scorers/speed.py` measured it."""
    found = json.loads(SPEEDS.read_text(encoding="utf-8")).get(card.name, {})
    seconds = [f"{found['seconds']:g} s"] if "seconds" in found else []
    return ", ".join([*seconds, *([f"{found['gflop']:g} GFLOP"] if "gflop" in found else [])]) or "-"


def measured_on(golden: Golden | None) -> str:
    """What the numbers are compared with."""
    if golden is None:
        return "there is no original"
    tried = [isinstance(case.inputs, Inputs) for case in golden.published]
    published = "published numbers" if all(tried) else f"published numbers ({sum(tried)} of {len(tried)} can be tried)"
    kinds = {published: tried, "the original, run": golden.measured, "the original's head": isinstance(golden.head, Head)}
    return ", ".join(["the formula", *(kind for kind, there in kinds.items() if there)])


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
