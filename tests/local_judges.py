"""What tests of judges on this machine share: a card, pictures, and asks put to a backend and answered."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from curate.asks import Answer, Ask, Backend, Label, Picture, Reply, Turn
from curate.cards import CardFile, load_card

YES_NO = (Label(name="yes", spellings=("Yes", "yes", " Yes", " yes")), Label(name="no", spellings=("No", "no", " No", " no")))


def judge_card(folder: Path, **weights: str) -> CardFile:
    """A card over the weights in `folder / "model"`, unless others are named."""
    fields = {
        "name": "judge",
        "version": 1,
        "about": "asks a model on this machine",
        "target": "curate.judges.rater:RubricRater",
        "dimensions": {"match": {}},
        "main": "match",
        "weights": {"model": weights or {"path": "model"}},
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(fields))
    return load_card(str(folder / "judge.yaml"))


def encoded(pixels: np.ndarray, form: str = "PNG") -> Picture:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    mime = "image/png" if form == "PNG" else "image/jpeg"
    return Picture(data=stream.getvalue(), mime=mime, width=pixels.shape[1], height=pixels.shape[0])  # type: ignore[arg-type]


def user(*parts: str | Picture) -> Turn:
    return Turn(role="user", parts=parts)


def answers(backend: Backend, asks: Sequence[Ask]) -> list[Answer]:
    """In the order of the asks, whatever the order in which they come."""
    backend.put(list(enumerate(asks)))
    found: dict[int, Answer] = {}
    while len(found) < len(asks):
        new = dict(backend.get())
        assert new
        assert not found.keys() & new.keys()
        found |= new
    return [found[number] for number in range(len(asks))]


def replies(backend: Backend, asks: Sequence[Ask]) -> list[Reply]:
    found = answers(backend, asks)
    assert all(isinstance(one, Reply) for one in found), found
    return [one for one in found if isinstance(one, Reply)]


def logprobs(reply: Reply) -> dict[str, float]:
    """By spelling, of all labels; nothing may be missing."""
    assert reply.distribution is not None
    assert reply.distribution.floor is None
    return {spelling: one for label in reply.distribution.logprobs.values() for spelling, one in label.items()}
