"""The architectures whose weights are known by name: their layers, and where weights are.

SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016;
layer sizes as in the authors' v1.0 and v1.1 model definitions. VGG-19: Simonyan and Zisserman,
"Very deep convolutional networks for large-scale image recognition", 2015, configuration E. Indices
and names of parameters are those of torchvision's ``features``; style transfer has no use for the
classifier, nor for what lies behind VGG's conv5_1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .errors import ExportUsageError

__all__ = [
    "BACKBONES",
    "Backbone",
    "Convolution",
    "Fire",
    "Layer",
    "Pool",
    "Pooling",
    "Relu",
    "parse_taps",
]

Pooling = Literal["max", "avg"]
"""How a backbone pools: by maxima, as it was trained, or by means (layers.py)."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of ``inputs`` to ``outputs`` channels, with equal sides, and a bias."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    pad: int = 0


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Pool:
    """A pooling of stride 2 without padding; in ``ceil_mode`` windows may end past the border."""

    kernel: int
    ceil_mode: bool


@dataclass(frozen=True)
class Fire:
    """Squeeze to few channels by 1 x 1, expand by 1 x 1 and 3 x 3 side by side, ReLU after each."""

    inputs: int
    squeezed: int
    expanded: int

    @property
    def squeeze(self) -> Convolution:
        """The first convolution."""
        return Convolution(self.inputs, self.squeezed, 1)

    @property
    def expands(self) -> dict[str, Convolution]:
        """The two others, by torchvision's names."""
        return {
            "expand1x1": Convolution(self.squeezed, self.expanded, 1),
            "expand3x3": Convolution(self.squeezed, self.expanded, 3, pad=1),
        }


Layer = Convolution | Relu | Pool | Fire


@dataclass(frozen=True)
class Backbone:
    """One architecture.

    ``features[i]`` is torchvision's layer of that index, ``layers[i]`` its name here.
    ``default_taps`` are the indices into ``features`` that a model taps unless others are named.
    """

    name: str
    features: tuple[Layer, ...]
    layers: tuple[str, ...]
    default_taps: tuple[int, ...]

    def convolutions(self, last: int) -> Iterator[tuple[str, Convolution]]:
        """(name of its parameters, convolution) of the layers up to ``features[last]``."""
        for index, layer in enumerate(self.features[: last + 1]):
            if isinstance(layer, Convolution):
                yield f"features.{index}", layer
            elif isinstance(layer, Fire):
                yield f"features.{index}.squeeze", layer.squeeze
                for name, expand in layer.expands.items():
                    yield f"features.{index}.{name}", expand

    def parameters(self, last: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights of the layers up to ``features[last]``, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, conv in self.convolutions(last):
            shapes[f"{name}.weight"] = (conv.outputs, conv.inputs, conv.kernel, conv.kernel)
            shapes[f"{name}.bias"] = (conv.outputs,)
        return shapes


def _squeezenet(first: Convolution, pools: tuple[int, int, int]) -> tuple[Layer, ...]:
    """The layers of a SqueezeNet, whose poolings stand at those indices."""
    fires = [
        *(Fire(64 if first.outputs == 64 else 96, 16, 64), Fire(128, 16, 64)),
        *(Fire(128, 32, 128), Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192)),
        *(Fire(384, 64, 256), Fire(512, 64, 256)),
    ]
    layers: list[Layer] = [first, Relu()]
    while fires or len(layers) in pools:
        layers.append(Pool(3, ceil_mode=True) if len(layers) in pools else fires.pop(0))
    return tuple(layers)


def _vgg19() -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The layers up to relu5_1, and their names."""
    layers: list[Layer] = []
    names: list[str] = []
    channels = 3
    for block, (count, width) in enumerate(
        ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512)), start=1
    ):
        if block > 1:
            layers.append(Pool(2, ceil_mode=False))
            names.append(f"pool{block - 1}")
        for number in range(1, count + 1):
            layers += [Convolution(channels, width, 3, pad=1), Relu()]
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
            channels = width
    return tuple(layers), tuple(names)


BACKBONES = {
    "squeezenet1_0": Backbone(
        name="squeezenet1_0",
        features=_squeezenet(Convolution(3, 96, 7, stride=2), pools=(2, 6, 11)),
        layers=(
            *("conv1-linear", "conv1", "pool1", "fire2", "fire3", "fire4", "pool4"),
            *("fire5", "fire6", "fire7", "fire8", "pool8", "fire9"),
        ),
        default_taps=(1, 2, 3, 4, 5, 6, 7),
    ),
    "squeezenet1_1": Backbone(
        name="squeezenet1_1",
        features=_squeezenet(Convolution(3, 64, 3, stride=2), pools=(2, 5, 8)),
        layers=(
            *("conv1-linear", "conv1", "pool1", "fire2", "fire3", "pool3", "fire4"),
            *("fire5", "pool5", "fire6", "fire7", "fire8", "fire9"),
        ),
        default_taps=(1, 2, 3, 4, 5, 6, 7),
    ),
    # relu1_1 … relu5_1 for style and relu4_2 for content are the layers of Gatys et al.
    "vgg19": Backbone("vgg19", *_vgg19(), default_taps=(1, 6, 11, 20, 22, 29)),
}
"""The architectures that can be exported, by name."""


def parse_taps(text: str, backbone: Backbone) -> tuple[int, ...]:
    """``"1,fire3,6"`` -> sorted indices into ``features``, each once.

    Raises ExportUsageError for a word that is no index or name of a layer after the first.
    """
    taps = set()
    for word in text.split(","):
        word = word.strip()
        index = backbone.layers.index(word) if word in backbone.layers else -1
        if word.isdecimal():
            index = int(word)
        if not 1 <= index < len(backbone.layers):
            known = ", ".join(f"{i} {name}" for i, name in enumerate(backbone.layers) if i)
            raise ExportUsageError(f"{backbone.name} has no layer {word!r} to tap; it has {known}.")
        taps.add(index)
    return tuple(sorted(taps))
