"""Backbones as torch modules with torchvision's state-dict keys: for training, and as a reference.

What is exported is built without torch (layers.py). These modules are written independently of
that, so that the tests can hold one against the other. torchvision itself is not used, since it has
no CPU build.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .backbones import BACKBONES, Backbone, Pooling
from .errors import ExportError
from .weights import Weights

__all__ = ["AveragePool", "Fire", "Taps", "build_module", "load_weights"]

_PREFIX = "features."


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

    def __init__(self, kernel: int = 3, ceil_mode: bool = True) -> None:
        super().__init__(kernel, 2, ceil_mode=ceil_mode, count_include_pad=False)

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


def _vgg19(pooling: Pooling) -> nn.Sequential:
    channels, layers = 3, list[nn.Module]()
    for count, width in ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512)):
        if layers:
            layers.append(nn.MaxPool2d(2) if pooling == "max" else AveragePool(2, ceil_mode=False))
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


_MAKERS = {"squeezenet1_0": _squeezenet1_0, "squeezenet1_1": _squeezenet1_1, "vgg19": _vgg19}


def build_module(backbone: Backbone | str, pooling: Pooling = "max") -> nn.Sequential:
    """The layers of a backbone, [N, 3, H, W] -> [N, C, h, w], their weights drawn at random."""
    known = BACKBONES[backbone] if isinstance(backbone, str) else backbone
    return _MAKERS[known.name](pooling)


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


def load_weights(features: nn.Sequential, weights: Weights) -> None:
    """Loads the keys ``features.*`` into ``features`` in place; others (a classifier) are ignored.

    The file is read with ``weights_only=True``: tensors, no code. Raises ExportError for a file
    that is missing, that is no state dict or that belongs to another architecture.
    """
    path = weights.path
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ExportError(f"there is no weights file {str(path)!r}.") from error
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        raise ExportError(
            f"{str(path)!r} is not a file of weights that torch.save wrote "
            f"({type(error).__name__}); give a state dict in .pth form."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ExportError(f"{str(path)!r} holds no state dict (names -> tensors).")
    wanted = features.state_dict()
    matching = {
        key.removeprefix(_PREFIX): value.float()
        for key, value in state.items()
        if isinstance(key, str) and key.removeprefix(_PREFIX) in wanted
    }
    for key, parameter in wanted.items():
        given = matching.get(key)
        if given is None or given.shape != parameter.shape:
            has = "nothing" if given is None else f"shape {tuple(given.shape)}"
            raise ExportError(
                f"{str(path)!r} does not fit this architecture: {_PREFIX}{key} should have shape "
                f"{tuple(parameter.shape)}, the file has {has}; export the architecture that the "
                "file was made for."
            )
    features.load_state_dict(matching)
