"""Whether a picture shows the person of its reference: the cosine of two face embeddings, by YuNet and SFace.

    value = the largest, over the faces of the picture, of cos(embedding, mean embedding of the references' largest faces)

The references that a sample has are averaged, however many they are (`takes.optional`); one without a face leaves no value.
The identity reward of ID-Aligner (Chen et al., 2024) is the model, with a detector and a recogniser whose weights come inside a
package: Zhong et al., SFace, TIP 2021, by OpenCV's zoo. Not comparable with numbers of ArcFace or FaceNet; OpenCV takes 0.363 and
more as the same person. Where no face is found there is no value: neither a 0 nor the lowest of the group.

Faces are found and aligned where pictures are decoded, so that only squares of 112 pixels travel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Sample, Status
from curate.scorers.adapters.onnx import open_session
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.references.faces import SIDE, FaceCrops, open_detector
from curate.scorers.sharing import Memo
from curate.scorers.towers.two_towers import REMEMBERED_PICTURES
from curate.scorers.vectors import unit
from curate.weights import weights_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INPUT = "data"


class IdentityArguments(Arguments):
    """The `args` of a card for `Identity`."""

    min_confidence: float = Field(default=0.6, ge=0, le=1)
    """Faces that the detector is less sure of are taken as none."""
    faces: Literal["best", "largest"] = "best"
    """Which face of the picture counts where it shows several."""


class Identity(NetworkRater):
    """Judges pictures by how much their faces are like those of the references."""

    differentiable = False

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, IdentityArguments)
        self.references = file.card.takes.roles[1:]
        if not file.card.takes.conditions:
            raise CardError(f"{file.where}, field 'takes.conditions': say whose face is looked for, such as [reference]")
        detector = weights_file(file, "detector", offline=settings.offline)
        open_detector(detector, args.min_confidence)  # What cannot be run is said now, not sample by sample.
        digest = hashlib.sha256(detector.read_bytes()).hexdigest()
        make = FaceCrops(detector=detector, min_confidence=args.min_confidence, digest=digest)
        roles = ("response", *self.references)
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make, role=role) for role in roles])
        self._recogniser = Recogniser(open_session(weights_file(file, "recogniser", offline=settings.offline), "cpu", file.where))
        self._known: Memo[Tensor] = Memo(REMEMBERED_PICTURES)
        self._faces = args.faces

    def close(self) -> None:
        self._known.clear()

    def forward(self, inputs: Inputs) -> Scores:
        """The values of a batch; here "pixels" are faces, (batch, faces, 3, 112, 112), as many in each item of the batch."""
        count = len(inputs.pixels["response"])
        there = [role for role in self.references if role in inputs.pixels]
        for role in ("response", *there):
            if inputs.pixels[role].shape[1] == 0:
                which = "picture" if role == "response" else role
                why_not = (Status.NOT_APPLICABLE, f"no face was found in the {which}")
                return Scores(values=torch.zeros(count, 1), failures=dict.fromkeys(range(count), why_not))
        faces = self._embedded(inputs, "response")
        references = torch.stack([self._embedded(inputs, role)[:, 0] for role in there]).mean(dim=0)
        alike = torch.nn.functional.cosine_similarity(faces, references[:, None], dim=-1)
        values = alike.amax(dim=1, keepdim=True) if self._faces == "best" else alike[:, :1]
        return Scores(values=values, notes=self._left_out(inputs.samples))

    def _left_out(self, samples: Sequence[Sample]) -> dict[int, str]:
        """By position in the batch: references of the samples that the card does not name, and which did not count."""
        numbered = re.compile("|".join(rf"{re.escape(role)}_\d+" for role in self.card.takes.conditions))
        further = [[role for role in one.conditions if numbered.fullmatch(role)] for one in samples]
        counts = (len(set(roles) - set(self.references)) for roles in further)
        return {number: f"{count} further references did not count" for number, count in enumerate(counts) if count}

    def _embedded(self, inputs: Inputs, role: str) -> Float[Tensor, "batch faces dim"]:
        pixels, keys = inputs.pixels[role], inputs.keys_of(role)
        assert keys is not None, "without gradients there are always keys"
        return torch.stack(self._known.many(keys, lambda new: [self._recogniser(pixels[position].cpu()) for position in new]))


class Recogniser:
    """SFace as an ONNX model: from aligned faces to embeddings of unit length."""

    def __init__(self, session: Any) -> None:
        self._session = session
        # The zoo's 8-bit file still lists its old weights as inputs. No node reads them, but the runtime wants them fed; pages
        # of zeros that nobody touches cost nothing.
        self._unread = {one.name: np.zeros(one.shape, dtype=np.float32) for one in session.get_inputs() if one.name != _INPUT}

    def __call__(self, faces: Float[Tensor, "faces 3 112 112"]) -> Float[Tensor, "faces dim"]:
        """Embeddings of RGB faces in [0, 1], one by one, which is the batch that the model takes."""
        levels: NDArray[np.float32] = (faces * 255).numpy()
        assert levels.shape[-2:] == (SIDE, SIDE), "as the preparation makes them"
        rows = [self._session.run(None, {_INPUT: face[None], **self._unread})[0][0] for face in levels]
        return unit(torch.from_numpy(np.stack(rows)))
