"""Objects and their outlines: Mask2Former of transformers, with the preparation and the reading of mmdetection.

    score(query, class) = softmax(class logits)[class] * mean of sigmoid(mask logits) inside the mask

The best hundred of all (query, class) are taken, masks are enlarged to the picture before they are cut at 0, and a box is what
its mask spans. transformers' own reading stops at 384 x 384 pixels, which moves boxes; so this one is not used.
Resizing is bilinear without antialiasing, as OpenCV does it there, and padding to a multiple of 32 comes after normalising.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate, pad

from curate.cards import CardFile
from curate.scorers.libraries import import_transformers
from curate.scorers.passes import Pixels
from curate.scorers.pixels import Normalise
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD
from curate.scorers.sharing import loaded_once, weights_key
from curate.weights import weights_folder

_MULTIPLE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An object in a picture."""

    number: int
    """Of its class."""
    confidence: float
    box: tuple[int, int, int, int]
    """Left, top, right, bottom, in pixels; right and bottom are the first beyond it."""
    mask: Bool[Tensor, "height width"]


class Segmenter:
    """Mask2Former in evaluation mode, on one device."""

    def __init__(self, model: Any, *, shortest: int, longest: int, most: int) -> None:
        self.classes = int(model.config.num_labels)
        self._model = model
        self._shortest, self._longest, self._most = shortest, longest, most
        self._normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)

    def find(self, pixels: Pixels, *, at_least: float) -> list[list[Instance]]:
        """The objects of each picture surer than `at_least`, the surest first.

        Raises `FloatingPointError` where the network's numbers are not finite: they are above nothing, and would show no object.
        """
        height, width = pixels.shape[-2:]
        tall, wide = self.resized(height, width)
        inside = self._normalise(interpolate(pixels, (tall, wide), mode="bilinear"))
        padded = pad(inside, (0, -wide % _MULTIPLE, 0, -tall % _MULTIPLE))
        outputs = self._model(pixel_values=padded)
        if not outputs.class_queries_logits.isfinite().all() or outputs.masks_queries_logits.isnan().any():
            raise FloatingPointError("the numbers of the detector are not finite")
        found = []
        for classes, masks in zip(outputs.class_queries_logits, outputs.masks_queries_logits, strict=True):
            scores = classes.softmax(dim=-1)[:, :-1].flatten()
            best = scores.topk(min(self._most, len(scores)))
            # What a mask takes off a score cannot bring it up again.
            chosen = best.indices[best.values > at_least]
            logits = masks[chosen.div(self.classes, rounding_mode="floor")]
            logits = _enlarged(_enlarged(logits, tuple(padded.shape[-2:]))[:, :tall, :wide], (height, width))
            found.append(read_instances(logits, scores[chosen], chosen % self.classes, at_least))
        return found

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a picture for the network."""
        scale = min(self._longest / max(height, width), self._shortest / min(height, width))
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def load_segmenter(
    file: CardFile, role: str, *, shortest: int, longest: int, most: int, device: torch.device, offline: bool
) -> Segmenter:
    """The network under `weights.<role>`; `most` are the (query, class) that are looked at. Raises `WeightsError`."""

    def load() -> Any:
        folder = weights_folder(file, role, *MODEL_FILES, offline=offline)
        network = import_transformers().Mask2FormerForUniversalSegmentation
        return load_pretrained(network, folder, where=file.where, model_type="mask2former").to(device)

    model = loaded_once(("mask2former", weights_key(file), role, str(device)), load)
    return Segmenter(model, shortest=shortest, longest=longest, most=most)


def _enlarged(logits: Float[Tensor, "masks height width"], size: tuple[int, ...]) -> Float[Tensor, "masks tall wide"]:
    return interpolate(logits[None], size, mode="bilinear")[0] if len(logits) else logits.new_zeros(0, *size)


def read_instances(
    logits: Float[Tensor, "masks height width"],
    scores: Float[Tensor, " masks"],
    classes: Tensor,
    at_least: float,
) -> list[Instance]:
    """The instances that masks of a picture's size, before the sigmoid, and scores of classes make; the surest first."""
    masks = logits > 0
    inside = (logits.sigmoid() * masks).flatten(1).sum(dim=1) / (masks.flatten(1).sum(dim=1) + 1e-6)
    confidences = scores * inside
    found = []
    for position in confidences.argsort(descending=True, stable=True).tolist():
        if float(confidences[position]) > at_least:
            mask = masks[position]
            rows, columns = (mask.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
            box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            confidence = float(confidences[position])
            found.append(Instance(number=int(classes[position]), confidence=confidence, box=box, mask=mask))
    return found
