"""Numbered pictures with numbered prompts, judges that are asked about them, and what a right run has to find.

Pictures are of one colour each, so that the server can tell whether it was shown the one that the prompt is about.
"""

from __future__ import annotations

import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from curate.asks import Label
from curate.serving import Serving
from curate.store import Store
from curate.testing import card_yaml, write_shard
from curate.testing.server import Request, Scripted, ScriptedServer, distribution, hash_oracle

YES_NO = (
    Label(name="yes", spellings=("Yes", "yes", "YES", " Yes", " yes", " YES")),
    Label(name="no", spellings=("No", "no", "NO", " No", " no", " NO")),
)

STEP = 8
"""Between the levels of two pictures' colours: more than JPEG changes."""

MOST = (256 // STEP) ** 2
"""Pictures that can be told apart."""

PER_SHARD = 50

EXAMINING = 3
"""Chat requests by which this server is examined at the start of a run: probabilities, pictures, a schema."""


def colour(number: int) -> tuple[int, int, int]:
    return number % (256 // STEP) * STEP, number // (256 // STEP) % (256 // STEP) * STEP, 99


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour(number)).save(out, "PNG")
    return out.getvalue()


def write_numbered(folder: Path, count: int, *, per_shard: int = PER_SHARD) -> str:
    """Shards of so many samples; gives the pattern that finds them."""
    folder.mkdir(exist_ok=True)
    for first in range(0, count, per_shard):
        numbers = range(first, min(first + per_shard, count))
        records = [(f"{number:05d}", {"png": png(number), "txt": f"number {number} of all".encode()}) for number in numbers]
        write_shard(folder / f"{first:05d}.tar", records)
    return str(folder / "*.tar")


def write_groups(folder: Path, groups: int, *, of: int = 3) -> str:
    """One shard with so many prompts, each with several pictures: every pair of them can be compared."""
    folder.mkdir(exist_ok=True)
    records = [
        (f"{number:05d}", {"png": png(number), "txt": f"number {number // of} of all".encode()}) for number in range(groups * of)
    ]
    write_shard(folder / "groups.tar", records)
    return str(folder / "*.tar")


def text_card(folder: Path, **args: object) -> str:
    """A judge that writes JSON with a mark from 0 to 10."""
    call = {
        "name": "marks",
        "messages": [{"user": [{"picture": "response"}, "Mark this picture of {prompt} from 0 to 10, as JSON."]}],
        "max_tokens": 200,
        "reads": {"json": {"enforced": True, "fields": {"mark": {"type": "integer", "range": [0, 10]}}}},
    }
    return str(
        card_yaml(
            folder / "marks.yaml",
            name="marks",
            target="curate.judges.rater:RubricRater",
            takes={"response": "image", "prompt": "required"},
            args={"rubric": "calls", "calls": [call], "values": {"overall": "marks.mark / 10"}, **args},
        )
    )


def pairs_card(folder: Path) -> str:
    """A judge that says which of two pictures is better."""
    labels = [{"name": "first", "value": 1, "spellings": ["1"]}, {"name": "second", "value": 0, "spellings": ["2"]}]
    call = {
        "name": "which",
        "messages": [
            {"user": [{"picture": "first"}, {"picture": "second"}, "Which shows {prompt} better? Answer with 1 or 2."]},
        ],
        "reads": {"labels": {"labels": labels}},
    }
    return str(
        card_yaml(
            folder / "which.yaml",
            name="which",
            target="curate.judges.rater:RubricRater",
            judges="pairs",
            takes={"response": "image", "prompt": "required"},
            args={"rubric": "pairwise", "calls": [call], "values": {"overall": "which.value"}},
        )
    )


class Witness:
    """The scripted model; remembers what it was asked about each number, and that it was shown the right picture."""

    def __init__(self) -> None:
        self.requests: dict[bool, dict[int, Request]] = defaultdict(dict)
        """By whether labels were asked for, the request about each number."""
        self.mistaken: list[int] = []
        """Numbers that were asked about with another's picture."""

    def __call__(self, request: Request) -> Scripted:
        number = number_in(request)
        if number is not None and request.seed == 0:  # others are those that the server answers by mistake
            known = self.requests[request.logprobs].setdefault(number, request)
            shown = [one.colour for one in request.pictures]
            right = len(shown) == 1 and shown[0] is not None and math.dist(shown[0], colour(number)) < STEP / 2
            if not right or known.key != request.key:
                self.mistaken.append(number)
        return hash_oracle(request)


def number_in(request: Request) -> int | None:
    """Which of the numbered prompts a request is about."""
    for text in request.texts:
        _, found, rest = text.partition("number ")
        if found and rest.split()[0].isdecimal():
            return int(rest.split()[0])
    return None


def yes_no_values(request: Request) -> dict[str, float]:
    """What `vqa-yes` makes of the answer to a request, worked out anew."""
    said = distribution(hash_oracle(request), request, YES_NO)
    yes, no = said.mass("yes"), said.mass("no")
    return {"match": yes / (yes + no), "yes_full": yes, "p_mass": yes + no}


def mark_values(request: Request) -> dict[str, float]:
    """What the card of `text_card` makes of the answer to a request."""
    return {"overall": json.loads(hash_oracle(request).text)["mark"] / 10}


Rows = Mapping[tuple[int, str], Mapping[str, Any]]
"""By number and dimension, a row of the table of ratings."""


def ratings(store: Path, rater: str) -> Rows:
    """The ratings in a store by one rater; every sample has exactly one on every dimension."""
    opened = Store.open(store)
    keys = {row["sample"]: int(row["key"]) for row in opened.export_rows("samples").to_pylist()}
    rows = [row for row in opened.export_rows("ratings").to_pylist() if row["rater"] == rater]
    opened.close()
    found = {(keys[row["sample"]], row["dimension"]): row for row in rows}
    assert len(found) == len(rows), "a rating is there twice"
    return found


def about(server: ScriptedServer, requests: Iterable[Request]) -> int:
    """How often the server was asked these, all tries counted."""
    return sum(server.asked(key) for key in {one.key for one in requests})


def quick(server: ScriptedServer, **more: Any) -> Serving:
    """The server, with short waits between tries, and untested unless that is said."""
    return Serving(url=server.url, **{"first_wait_seconds": 0.02, "most_wait_seconds": 0.1, "canary": False, **more})
