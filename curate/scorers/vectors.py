"""Directions in the spaces that networks embed into."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def unit(vectors: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """Each vector by its length, in float32.

    One of length 0 has no direction and becomes NaN, which ends as a status. `torch.nn.functional.normalize` would leave it at
    zero, and its cosine with anything would be the number 0.
    """
    vectors = vectors.float()
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / lengths
