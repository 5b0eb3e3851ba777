"""How InternLM-XComposer2.5 looks at a picture: squashed to one tile, and tile by tile.

Four patches are one visual token and a learnt token ends each row of them; another stands between the two views. Source:
InternLM/InternLM-XComposer (`ixc_utils.py`, `build_mlp.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from curate.errors import CurateError
from curate.scorers.arguments import Arguments
from curate.scorers.libraries import import_transformers
from curate.scorers.pixels import Normalise
from curate.scorers.vlm.images import resize_tensor
from curate.scorers.vlm.loading import empty, filled
from curate.scorers.vlm.qwen import CLIP_MEAN, CLIP_STD
from curate.shards.resize import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOWER = "vit.vision_tower.vision_model."


class VisionArguments(Arguments):
    """The vision tower, a CLIP; the weights do not say how it is built. What stands here is ViT-L/14 for tiles of 560 pixels."""

    image_size: int = 560
    patch_size: int = 14
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """A preparation: from RGB pixels (height, width, 3) to sides that are multiples of `side`, the rest filled with white.

    The longer side becomes as many tiles as give at most `most` of them, and no more than it has pixels for; the shorter one
    follows, and white is put below it, or to the right of a portrait. A picture of which no row would be left becomes one pixel.
    """

    most: int
    side: int

    @property
    def name(self) -> str:
        """What it makes, completely: equal names, equal pixels."""
        return f"pillow:tiles-{self.most}-of-{self.side}-bilinear"

    def size(self, short: int, long: int) -> tuple[int, int]:
        """The shorter and the longer side after resizing, before white is put around."""
        ratio = long / short
        tiles = 1
        while (tiles + 1) * math.ceil((tiles + 1) / ratio) <= self.most:
            tiles += 1
        made = min(math.ceil(long / self.side), tiles) * self.side
        return int(made / ratio), made

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # Turned as the original turns portraits: Pillow rounds between its two passes, so the order of axes shows.
        portrait = pixels.shape[1] < pixels.shape[0]
        lying = np.ascontiguousarray(pixels.swapaxes(0, 1)) if portrait else pixels
        tall, wide = self.size(*lying.shape[:2])
        if tall < 1:
            return np.ascontiguousarray(pixels[:1, :1])
        white = np.full((self._whole(tall), wide, 3), 255, dtype=np.uint8)
        white[:tall] = resize(lying, tall, wide, "bilinear")
        return np.ascontiguousarray(white.swapaxes(0, 1)) if portrait else white

    def on_tensor(self, pixels: Float[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 tall wide"]:
        """The same by tensor operations, of RGB in [0, 1]; raises `CurateError` where no row would be left."""
        portrait = pixels.shape[-1] < pixels.shape[-2]
        lying = pixels.transpose(-1, -2) if portrait else pixels
        tall, wide = self.size(*lying.shape[-2:])
        if tall < 1:
            raise CurateError(f"{pixels.shape[-1]} x {pixels.shape[-2]} pixels are too long and thin for the network")
        below = (0, 0, 0, self._whole(tall) - tall)
        white = nn.functional.pad(resize_tensor(lying, tall, wide, "bilinear"), below, value=1.0)
        return white.transpose(-1, -2) if portrait else white

    def _whole(self, length: int) -> int:
        return math.ceil(length / self.side) * self.side


class TiledEye(nn.Module):
    """The vision tower, the projector to the decoder's width, and the learnt tokens at the ends of rows and between the views."""

    def __init__(self, tower: Any, width: int, hidden: int) -> None:
        super().__init__()
        self.tower = tower
        self.projector = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        self.row_end = nn.Parameter(torch.empty(1, 1, 1, width))
        self.between = nn.Parameter(torch.empty(1, 1, width))
        self._normalise = Normalise(CLIP_MEAN, CLIP_STD)

    def see(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens hidden"]:
        """The visual tokens of pictures whose sides are multiples of a tile's, RGB in [0, 1]."""
        side = int(self.tower.config.image_size)
        rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
        normalised = self._normalise(pixels)
        # Without antialiasing, as in the original.
        small = nn.functional.interpolate(normalised, size=(side, side), mode="bicubic")
        tiles = normalised.reshape(-1, 3, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        whole = self._ended(self._tokens(small, rows=1, columns=1))
        parts = self._ended(self._tokens(tiles, rows=rows, columns=columns))
        between = self.between.to(whole.dtype).expand(len(pixels), -1, -1)
        return self.projector(torch.cat([whole, between, parts], dim=1))  # type: ignore[no-any-return]

    def _tokens(self, tiles: Tensor, *, rows: int, columns: int) -> Float[Tensor, "batch tall wide width"]:
        """Of the tiles of pictures, one picture after the other and row by row, their tokens in the picture's order."""
        states: Tensor = self.tower(tiles.to(self.tower.dtype)).last_hidden_state[:, 1:]
        half = math.isqrt(states.shape[1]) // 2
        fours = states.reshape(-1, rows, columns, half, 2, half, 2, states.shape[-1])
        return fours.permute(0, 1, 3, 2, 5, 4, 6, 7).reshape(-1, rows * half, columns * half, 4 * states.shape[-1])

    def _ended(self, tokens: Float[Tensor, "batch tall wide width"]) -> Float[Tensor, "batch tokens width"]:
        ends = self.row_end.to(tokens.dtype).expand(tokens.shape[0], tokens.shape[1], 1, -1)
        return torch.cat([tokens, ends], dim=2).flatten(1, 2)


def load_tiled_eye(
    args: VisionArguments, state: Mapping[str, Tensor], *, hidden: int, dtype: torch.dtype, device: torch.device, where: str
) -> TiledEye:
    """The eye of a checkpoint, by the original's names; `WeightsError` where the state does not hold exactly its tensors."""
    transformers = import_transformers()
    tower = empty(transformers.CLIPVisionModel, transformers.CLIPVisionConfig(**args.model_dump()), dtype)
    eye = TiledEye(tower, 4 * args.hidden_size, hidden)
    return filled(eye, {_own_name(name): tensor.to(dtype) for name, tensor in state.items()}, where=where).to(device)  # type: ignore[no-any-return]


def _own_name(name: str) -> str:
    """The name here of a tensor of the original; names that are not known come through."""
    if name.startswith(_TOWER):
        return f"tower.{name.removeprefix(_TOWER)}"
    return {"plora_sub_GN": "row_end", "plora_glb_GN": "between"}.get(name, name.replace("vision_proj.", "projector."))
