"""Scores of pictures in memory, for notebooks and training scripts; for raters with a network and without."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from curate.batch_raters import BatchRater
from curate.cards import Card
from curate.errors import CurateError
from curate.scorers.pictures import Picture, items_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


def scores_of(
    card: Card,
    rater: BatchRater,
    images: Sequence[Picture],
    prompts: Sequence[str] | None,
    conditions: Mapping[str, Sequence[Picture | None]],
) -> NDArray[np.float32]:
    """Scores (pictures, dimensions), larger is better, columns in the order of the card's dimensions.

    Raises `CurateError` for what the card needs and was not given, and where a picture could not be judged.
    """
    items = items_of(card, rater.preparations, images, prompts, conditions)
    judged = {judgement.item: judgement.values for judgement in rater.judge(items)}
    scores = np.empty((len(images), len(card.dimensions)), dtype=np.float32)
    for number in range(len(images)):
        for column, dimension in enumerate(card.dimensions):
            value = judged[number][dimension]
            if value.value is None:
                raise CurateError(f"{card.name} could not judge picture {number}: {value.status}, {value.detail}")
            scores[number, column] = value.value
    tell(card, [said for values in judged.values() if (said := values[card.main].detail)], len(images))
    return scores if card.higher_is_better else -scores


def tell(card: Card, notes: Sequence[str], pictures: int) -> None:
    """Say what is to be said beside numbers that stand, once for each thing."""
    for note, count in Counter(notes).items():
        logger.warning("%s, of %d of %d pictures: %s", card.name, count, pictures, note)


class PictureScorer:
    """The door to a rater without a network of torch: measures, readers of text, ONNX models."""

    def __init__(self, card: Card, rater: BatchRater) -> None:
        self.card = card
        self.dimensions = tuple(card.dimensions)
        self._rater = rater

    def score(
        self, images: Sequence[Picture], prompts: Sequence[str] | None = None, **conditions: Sequence[Picture | None]
    ) -> NDArray[np.float32]:
        """Scores of pictures, as `curate.scorers.network.NetworkRater.score` gives them, in an array: torch may not be there."""
        return scores_of(self.card, self._rater, images, prompts, conditions)

    def score_tensor(self, *_: object, **__: object) -> NoReturn:
        """Raises `CurateError`: there is nothing that gradients could go through."""
        raise CurateError(f"the scores of {self.card.name} have no gradients: use score")

    def close(self) -> None:
        """Give back what the rater holds."""
        self._rater.close()
