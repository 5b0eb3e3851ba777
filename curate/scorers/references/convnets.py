"""The convolutional layers of AlexNet and VGG16 under torchvision's names, for metrics that compare what they see.

Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (this AlexNet); Simonyan and Zisserman, Very
Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015. Channels are read from the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.states import fit, load_state

Step = tuple[int, int, int] | Literal["tap", "pool"]
"""A convolution (kernel, stride, padding) with the ReLU behind it, a place where is looked, or a halving of the size."""

ALEXNET: tuple[Step, ...] = (
    *((11, 4, 2), "tap", "pool"),
    *((5, 1, 2), "tap", "pool"),
    *((3, 1, 1), "tap"),
    *((3, 1, 1), "tap"),
    *((3, 1, 1), "tap"),
)

_TWO: tuple[Step, ...] = ((3, 1, 1), (3, 1, 1), "tap")
_THREE: tuple[Step, ...] = ((3, 1, 1), *_TWO)
VGG16: tuple[Step, ...] = (*_TWO, "pool", *_TWO, "pool", *_THREE, "pool", *_THREE, "pool", *_THREE)

_UNUSED = ("classifier.", "pre_logits.", "head.")
"""Of checkpoints that classify: the layers behind the convolutions."""


class ConvNet(nn.Module):
    """From normalised pixels to what each tap sees, the layer nearest to the pixels first."""

    def __init__(
        self,
        plan: Sequence[Step],
        widths: Sequence[int],
        pool: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._taps = []
        channels, wider = 3, iter(widths)
        for step in plan:
            if step == "tap":
                self._taps.append(len(layers) - 1)
            elif isinstance(step, tuple):
                before, channels = channels, next(wider)
                kernel, stride, padding = step
                layers += [nn.Conv2d(before, channels, kernel, stride=stride, padding=padding), nn.ReLU()]
            else:
                layers.append(pool(channels))
        self.features = nn.Sequential(*layers)

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch channels tall wide"]]:
        seen = []
        for number, layer in enumerate(self.features):
            pixels = layer(pixels)
            if number in self._taps:
                seen.append(pixels)
        return seen


def load_convnet(
    file: CardFile,
    plan: Sequence[Step],
    *,
    pool: Callable[[int], nn.Module],
    offline: bool,
) -> ConvNet:
    """The layers of `plan` with the weights under `weights.backbone`, in evaluation mode, on the CPU.

    Raises `WeightsError` where these are the weights of another network.
    """
    state = load_state(file, "backbone", offline=offline)
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}
    kernels = _in_order(kept)
    if len(kernels) != sum(isinstance(step, tuple) for step in plan):
        raise WeightsError(f"{file.where}: weights.backbone holds {len(kernels)} convolutions, which is another network")
    network = ConvNet(plan, [len(one) for one in kernels], pool)
    fit(network, kept, where=file.where, place="weights.backbone")
    return network


def _in_order(state: Mapping[str, Tensor]) -> list[Tensor]:
    """The kernels of the convolutions, from the pixels on."""
    names = [name for name in state if name.startswith("features.") and name.endswith(".weight")]
    return [state[name] for name in sorted(names, key=lambda name: int(name.split(".")[1]))]
