"""Technical quality of a picture from its signal: no network, no download, a few milliseconds.

Each dimension is a measure of `curate.scorers.measures.formulas` brought to 0..1 with larger better:

    sharpness       1 / (1 + (edge width / 0.7 px)^1.5)
    noise           1 / (1 + (noise / 10 grey levels)^1.5)
    blockiness      1 / (1 + (blockiness / 3)^1.5)
    exposure        exp(-(stops from a mean luma of 0.45 / 4)^2) * (1 - clipped share)^2
    contrast        2 * standard deviation of luma
    colourfulness   M / 109, at most 1
    resolution      side / (side + 512 px)
    overall         weighted geometric mean of all but colourfulness, which is taste (grey photographs are not bad)

A geometric mean lets one bad defect spoil a picture that is fine otherwise. The constants were set so that equal steps of
different defects cost about the same (blur of 1, 2, 4 px; noise of 5, 15, 30 levels; JPEG quality of 60, 30, 10; …), on
nine photographs of scikit-image, and checked on 30 others; `tests/scorers/test_signal.py` holds the ladder. Right of all
ordered pairs there: within a family of defects 99.5 % of the nine, 99.1 % of the others; across families 98.1 and 97.9 %.

They compare responses to one prompt. Between prompts they tell mostly how much fine detail the subject has. And a night
scene is dark, not badly exposed: brightened, it scores higher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Place, measured
from curate.scorers.arguments import NoArguments, arguments
from curate.scorers.measures.formulas import Measures, measure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = {
    "sharpness": 0.07,
    "noise": 0.16,
    "blockiness": 0.24,
    "exposure": 0.15,
    "contrast": 0.11,
    "resolution": 0.27,
}
"""Of the geometric mean; they sum to 1. Small ones belong to dimensions that fall fast."""


def grades(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Every dimension, in [0, 1] and larger better, for RGB pixels (height, width, 3)."""
    found = _graded(measure(pixels))
    found["overall"] = math.prod(found[name] ** weight for name, weight in WEIGHTS.items())
    return found


def _graded(found: Measures) -> dict[str, float]:
    stops = math.log2(max(found.brightness, 1 / 255) / 0.45)
    return {
        "sharpness": _falling(found.edge_width, 0.7),
        "noise": _falling(found.noise, 10),
        "blockiness": _falling(found.blockiness, 3),
        "exposure": math.exp(-((stops / 4) ** 2)) * (1 - found.clipped) ** 2,
        "contrast": min(1.0, 2 * found.contrast),
        "colourfulness": min(1.0, found.colourfulness / 109),
        "resolution": found.side / (found.side + 512),
    }


def _falling(amount: float, half: float) -> float:
    """1 for none of a defect, 1/2 at `half`, towards 0 beyond."""
    return 1 / (1 + math.pow(amount / half, 1.5))


class Signal(BatchRater):
    """Grades pictures where they are decoded."""

    place: Place = "worker"
    batch_size = 1
    dimensions = (*WEIGHTS, "colourfulness", "overall")

    def __init__(self, file: CardFile, settings: Settings) -> None:
        del settings  # Neither a device nor batches: nothing of a run matters here.
        arguments(file, NoArguments)

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        return [
            Judgement(
                item=item.number,
                values={name: measured(value) for name, value in grades(item.pixels[0]["response"]).items()},
            )
            for item in batch
        ]
