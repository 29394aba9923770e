"""SqueezeNet 1.0 and 1.1 as torch modules with torchvision's state-dict keys.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016; layer sizes as
in the authors' v1.0 and v1.1 model definitions. Only ``features`` is built: style transfer has no
use for the classifier. torchvision itself is not used, since it has no CPU build.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .errors import ExportUsageError

__all__ = ["BACKBONES", "AveragePool", "Backbone", "Fire", "Pooling", "Taps", "parse_taps"]

Pooling = Literal["max", "avg"]
"""How a backbone pools: by maxima, as it was trained, or by means (``AveragePool``)."""


class Fire(nn.Module):
    """Squeeze to few channels by 1 x 1, expand by 1 x 1 and 3 x 3 side by side, ReLU after each."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, 2 expand, H, W]."""
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


class MaxPool(nn.MaxPool2d):
    """The maximum of every 3 x 3 window at stride 2: the pooling that the weights know."""

    def __init__(self) -> None:
        super().__init__(3, 2, ceil_mode=True)


class AveragePool(nn.AvgPool2d):
    """The mean of a window, times 2, in the place of its maximum.

    Gatys et al. (CVPR 2016, section 2) pool by means; they normalise each filter's activation and
    so need no factor. The weights behind a pooling expect activations the size of maxima. Over
    photos and paintings, the root mean square of SqueezeNet 1.1's maxima (ImageNet's weights) is
    1.8 to 2.1 times that of the means; 2 is also what crowsonkb/style-transfer-pytorch takes for
    VGG's 2 x 2 windows. A window that reaches over the border is divided by what lies inside.
    """

    SCALE = 2.0

    def __init__(self) -> None:
        super().__init__(3, 2, ceil_mode=True, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> twice the windows' means, [N, C, h, w]."""
        return self.SCALE * super().forward(x)


_POOLS: dict[Pooling, type[nn.Module]] = {"max": MaxPool, "avg": AveragePool}


def _squeezenet1_0(pooling: Pooling) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, 2),
        nn.ReLU(),
        _POOLS[pooling](),
        Fire(96, 16, 64),
        Fire(128, 16, 64),
        Fire(128, 32, 128),
        _POOLS[pooling](),
        Fire(256, 32, 128),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        _POOLS[pooling](),
        Fire(512, 64, 256),
    )


def _squeezenet1_1(pooling: Pooling) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2),
        nn.ReLU(),
        _POOLS[pooling](),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        _POOLS[pooling](),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        _POOLS[pooling](),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    )


@dataclass(frozen=True)
class Backbone:
    """One architecture: its layers and the torchvision weights made for it.

    ``layers[i]`` names ``features[i]``. ``url`` is torchvision's official file, whose name ends in
    the first eight digits of its SHA-256. ``default_taps`` are the indices into ``features`` that a
    model taps unless others are named.
    """

    name: str
    layers: tuple[str, ...]
    url: str
    default_taps: tuple[int, ...]

    def build(self, pooling: Pooling = "max") -> nn.Sequential:
        """The layers as a module, [N, 3, H, W] -> [N, C, h, w], its weights drawn at random."""
        makers = {"squeezenet1_0": _squeezenet1_0, "squeezenet1_1": _squeezenet1_1}
        return makers[self.name](pooling)

    @property
    def hash_prefix(self) -> str:
        """The first eight hex digits of the SHA-256 of torchvision's file."""
        return self.url.rsplit("-", 1)[1].removesuffix(".pth")


_SERVER = "https://download.pytorch.org/models/"

BACKBONES = {
    "squeezenet1_0": Backbone(
        name="squeezenet1_0",
        layers=(
            *("conv1-linear", "conv1", "pool1", "fire2", "fire3", "fire4", "pool4"),
            *("fire5", "fire6", "fire7", "fire8", "pool8", "fire9"),
        ),
        url=_SERVER + "squeezenet1_0-b66bff10.pth",
        default_taps=(1, 2, 3, 4, 5, 6, 7),
    ),
    "squeezenet1_1": Backbone(
        name="squeezenet1_1",
        layers=(
            *("conv1-linear", "conv1", "pool1", "fire2", "fire3", "pool3", "fire4"),
            *("fire5", "pool5", "fire6", "fire7", "fire8", "fire9"),
        ),
        url=_SERVER + "squeezenet1_1-b8a52dc0.pth",
        default_taps=(1, 2, 3, 4, 5, 6, 7),
    ),
}
"""The architectures that can be exported, by name."""


class Taps(nn.Module):
    """A backbone that ends at its deepest tap and returns the feature map of every tap.

    ``taps`` are indices into ``features``.
    """

    def __init__(self, features: nn.Sequential, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.features = features[: max(taps) + 1]
        self.taps = taps

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Normalised values [1, 3, H, W] -> the feature maps [1, C, h, w], shallow ones first."""
        tapped, x = [], image
        for index, layer in enumerate(self.features.children()):
            x = layer(x)
            if index in self.taps:
                tapped.append(x)
        return tuple(tapped)


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
