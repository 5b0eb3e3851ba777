"""A rater with a network on a device, and the two doors to it.

An engine says what its network makes of a batch (`forward`), and gets

- the rater: see `curate.scorers.device_batches`;
- `score`, for pictures in memory: batched, without gradients;
- `score_tensor`, for pixels that a generator made: the same network behind a resize made of tensor operations, so that gradients
  reach the pixels.

Both doors give larger-is-better numbers, whatever the direction of the network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from curate.errors import CurateError
from curate.scorers.device_batches import DeviceBatches
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.pictures import Picture, check_beside
from curate.scorers.pixels import fit_tensor
from curate.scorers.precision import full_precision
from curate.scorers.scoring import scores_of, tell

_BEYOND = 0.1
"""How far outside [0, 1] the step of an optimiser leaves a pixel; further, all of them are on another scale."""


class NetworkRater(DeviceBatches):
    """Base of engines with a network; see the module."""

    differentiable: ClassVar[bool] = True
    """Whether gradients of the scores reach the pixels."""

    def score(
        self, images: Sequence[Picture], prompts: Sequence[str] | None = None, **conditions: Sequence[Picture | None]
    ) -> Float[Tensor, "batch dimensions"]:
        """Scores of pictures, larger is better, columns in the order of the card's dimensions; float32, on the CPU.

        A picture is a Pillow image, RGB pixels (height, width, 3) in 8 bits, the bytes of a file, or its path; `conditions` are
        pictures by role (`source=…`, `reference=…`). Raises `CurateError` for what the card needs and was not given, and where
        a picture could not be judged: a failure is no number.
        """
        return torch.from_numpy(scores_of(self.card, self, images, prompts, conditions))

    def score_tensor(
        self,
        pixels: Pixels,
        prompts: Sequence[str] | None = None,
        *,
        dimension: str | None = None,
        **conditions: Pixels,
    ) -> Float[Tensor, " batch"]:
        """Scores of RGB pixels in [0, 1], larger is better, on the network's device; gradients reach `pixels`.

        The resize is made of tensor operations, so numbers differ a little from `score`'s where that rounds pictures to 8
        bits. `dimension` is the card's main one where it is not said. Raises `CurateError` as `score` does.
        """
        given = {"response": pixels, **conditions}

        def forward(fitted: Mapping[str, Pixels]) -> Scores:
            return self.forward(Inputs(pixels=fitted, prompts=texts))

        self.check_pixels(given)
        texts = self._texts_beside(given, prompts)
        return self.through(given, forward, dimension)

    def check_pixels(self, given: Mapping[str, Pixels]) -> None:
        """Raise `CurateError` where gradients of the scores cannot reach what is given by role, or it is not RGB in [0, 1]."""
        if not self.differentiable:
            raise CurateError(f"the scores of {self.card.name} have no gradients: use score")
        for role, one in given.items():
            _check_pixels(role, one, video=role == "response" and self.card.takes.response == "video")

    def through(
        self, given: Mapping[str, Pixels], forward: Callable[[Mapping[str, Pixels]], Scores], dimension: str | None
    ) -> Float[Tensor, " batch"]:
        """One dimension of what `forward` makes of checked pixels by role, fitted to the network, larger is better."""
        chosen = dimension or self.card.main
        if chosen not in self.dimensions:
            raise CurateError(f"{self.card.name} has no dimension '{chosen}', but {', '.join(self.dimensions)}")
        with full_precision():
            fitted = {
                one.role: fit_tensor(one.make, given[one.role].to(self.device, torch.float32))
                for one in self.preparations
                if one.role in given
            }
            scores = forward(fitted)
        tell(self.card, list(scores.notes.values()), len(given["response"]))
        return self.column(scores, chosen)

    def _texts_beside(self, given: Mapping[str, Pixels], prompts: Sequence[str] | None) -> list[str]:
        """A prompt for each of the pictures given; `CurateError` where they are not what the card takes."""
        pictures = len(given["response"])
        check_beside(self.card, pictures, prompts, {role: one for role, one in given.items() if role != "response"})
        texts = [""] * pictures if prompts is None else [prompt or "" for prompt in prompts]
        if self.card.takes.prompt == "required" and not all(text.strip() for text in texts):
            raise CurateError(f"{self.card.name} needs a prompt for each picture, and one is blank")
        return texts

    def column(self, scores: Scores, dimension: str) -> Float[Tensor, " batch"]:
        """One dimension of some scores, larger is better, with gradients; `CurateError` where a picture has no number."""
        for number, (status, detail) in scores.failures.items():
            raise CurateError(f"{self.card.name} could not judge picture {number}: {status}, {detail}")
        values = scores.values[:, self.dimensions.index(dimension)]
        if not values.isfinite().all():
            raise CurateError(f"{self.card.name} gave a number that is not finite: {values.tolist()}")
        return values if self.card.higher_is_better else -values


def _check_pixels(role: str, pixels: Tensor, *, video: bool) -> None:
    """Raise `CurateError` for what is not RGB in [0, 1]; a little over is what an optimiser's step leaves."""
    axes = (5, "frames, 3") if video else (4, "3")
    if not isinstance(pixels, Tensor):
        raise CurateError(
            f"{role}: pixels are a tensor (batch, {axes[1]}, height, width) of torch, not {type(pixels).__name__}; other "
            "pictures go to score"
        )
    fits = pixels.ndim == axes[0] and pixels.shape[-3] == 3 and pixels.numel() > 0
    if not fits or pixels.dtype not in (torch.float32, torch.float64):
        raise CurateError(
            f"{role}: pixels are (batch, {axes[1]}, height, width) in float32, not {tuple(pixels.shape)} in "
            f"{str(pixels.dtype)[6:]}"
        )
    least, most = (float(one) for one in pixels.detach().aminmax())
    if least < -_BEYOND or most > 1 + _BEYOND:
        raise CurateError(f"{role}: pixels are RGB in [0, 1], and these go from {least:g} to {most:g}")
