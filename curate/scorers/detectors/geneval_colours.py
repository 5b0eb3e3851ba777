"""Which colour an object has, as GenEval tells it: by CLIP, without training.

    colour = argmax over colours c of cos(E(crop), mean over templates t of T(t(c, object)))

T and E are embeddings of length 1; the crop is the object's box out of the picture, of one grey outside the object's mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from curate.scorers.detectors.geneval_rules import Found
from curate.scorers.pixels import Normalise
from curate.scorers.towers.two_towers import Towers

COLOUR, OBJECT = "{colour}", "{object}"
"""What templates hold."""


class Colours:
    """Tells the colours of objects."""

    def __init__(
        self,
        towers: Towers,
        normalise: Normalise,
        fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
        *,
        names: Sequence[str],
        templates: Sequence[str],
        background: tuple[int, int, int],
        device: torch.device,
    ) -> None:
        self._towers, self._normalise, self._fit, self._device = towers, normalise, fit, device
        self._names, self._templates = tuple(names), tuple(templates)
        self._background = np.array(background, dtype=np.uint8)

    def of(self, name: str, objects: Sequence[Found[Tensor]], picture: UInt8[np.ndarray, "height width 3"]) -> list[str]:
        """The colour of each of a picture's objects, all of the class `name`; their masks have the size of the picture.

        Raises `FloatingPointError` where there is no telling, since the network's numbers are not finite.
        """
        crops = np.stack([self._fit(self._cut_out(picture, one)) for one in objects])
        batch = torch.from_numpy(crops).to(self._device).movedim(-1, 1).float() / 255
        pictures = self._towers.images(self._normalise(batch), None)
        cosines = pictures @ self._classifier(name).T
        if not cosines.isfinite().all():
            raise FloatingPointError("the numbers of the network that tells colours are not finite")
        return [self._names[column] for column in cosines.argmax(dim=-1).tolist()]

    def _cut_out(self, picture: NDArray[np.uint8], one: Found[Tensor]) -> NDArray[np.uint8]:
        left, top, right, bottom = map(int, one.box)
        mask = one.mask[top:bottom, left:right, None].cpu().numpy()
        return np.ascontiguousarray(np.where(mask, picture[top:bottom, left:right], self._background))

    def _classifier(self, name: str) -> Tensor:
        """An embedding of length 1 for each colour (colours, width)."""
        texts = [one.replace(COLOUR, colour).replace(OBJECT, name) for colour in self._names for one in self._templates]
        embeddings, _ = self._towers.texts(texts)
        means = embeddings.view(len(self._names), len(self._templates), -1).mean(dim=1)
        return torch.nn.functional.normalize(means, dim=-1)
