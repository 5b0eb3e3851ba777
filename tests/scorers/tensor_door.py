"""How far the door for tensors lies from the door for pictures: `python -m tests.scorers.tensor_door` measures and writes it.

`score` rounds resized pixels to 8 bits as the originals do; `score_tensor` cannot, since gradients would not pass. What that
comes to in a card's scores is measured on photographs, over tiny random weights behind the card's real preprocessing. Beside it
stands the span of the same scores over the same photographs, by which the difference has to be judged.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from curate.cards import CardFile, shipped_cards
from curate.rater_loading import load_rater
from curate.scorers.network import NetworkRater
from tests.scorers.tiny.cards import makers, tiny_card

WRITTEN = Path(__file__).with_name("tensor_door.json")

HEADROOM = 1.25
"""What is written is so many times what was measured: other processors round otherwise."""

PROMPTS = ["an astronaut", "a cup of coffee", "a cat", "a flag"]


class Door(TypedDict):
    """What is written of a card."""

    difference: float
    """Largest, between its two doors."""
    span: float
    """Of its scores over the photographs."""


def photographs() -> list[np.ndarray]:
    """Four, of odd sizes, all larger than what networks take."""
    from skimage import data

    return [data.astronaut()[:, 100:400], data.coffee()[100:, 200:500], data.chelsea(), data.astronaut()[200:, :256]]


def measured(rater: NetworkRater) -> Door:
    """The doors of a rater of pictures with gradients, compared on every dimension; the widest of them counts."""
    pictures = photographs()
    conditions = rater.card.takes.conditions
    beside = {role: [picture[:, ::-1].copy() for picture in pictures] for role in conditions}
    scores = rater.score(pictures, PROMPTS, **beside)
    doors = []
    for column, dimension in enumerate(rater.dimensions):
        by_tensor = [
            float(
                rater.score_tensor(
                    _pixels(picture),
                    [prompt],
                    dimension=dimension,
                    **{role: _pixels(beside[role][number]) for role in conditions},
                ).detach()
            )
            for number, (picture, prompt) in enumerate(zip(pictures, PROMPTS, strict=True))
        ]
        differences = (scores[:, column] - torch.tensor(by_tensor)).abs()
        doors.append(Door(difference=float(differences.max()), span=float(np.ptp(scores[:, column].numpy()))))
    return max(doors, key=lambda door: door["difference"])


def cards_with_both() -> list[str]:
    """Names of the cards of pictures that have tiny weights; those without gradients are found out when they are loaded."""
    return sorted(name for name in makers() if shipped_cards()[name].card.takes.response != "video")


def written() -> dict[str, Door]:
    """What is written down, by card."""
    doors: dict[str, Door] = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return doors


def _pixels(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).movedim(-1, 0)[None].float() / 255


def _rounded(number: float) -> float:
    """Up, to two digits."""
    if number == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(number / unit) * unit:.2g}")


def _all() -> Iterator[tuple[str, Door]]:
    for name in cards_with_both():
        with tempfile.TemporaryDirectory() as folder:
            file: CardFile = tiny_card(name, Path(folder))
            rater = load_rater(file)
            assert isinstance(rater, NetworkRater)
            if rater.differentiable:
                door = measured(rater)
                yield name, Door(difference=_rounded(HEADROOM * door["difference"]), span=_rounded(door["span"]))


if __name__ == "__main__":
    WRITTEN.write_text(json.dumps(dict(_all()), indent=2) + "\n", encoding="utf-8")
