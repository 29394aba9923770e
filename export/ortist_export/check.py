"""Is a bundle right? Its files against torch autograd and against a float64 reference.

The same losses are written once more here, in torch, straight from the formulas, and differentiated
by autograd in float32 and in float64; the ONNX files are run by ONNX Runtime. Nothing of the
graph-building code is shared with the reference. The pullback is compared on a function of the
moments that exercises all of its inputs: 1/2 <M, S> + <v, m> with fixed M and v.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .backbones import BACKBONES, Pooling
from .errors import ExportError
from .modules import Taps, build_module, load_weights
from .one_piece import run_one_piece
from .phases import PHASES
from .probes import (
    TOLERANCE,
    Array,
    Given,
    check_images,
    error_of,
    fed,
    joined,
    natural,
    read_bundle,
    variation,
    whole,
    worst,
)
from .program import Program
from .weights import Weights

__all__ = ["Deviation", "bundled_module", "check_bundle"]


@dataclass(frozen=True)
class Deviation:
    """Worst relative errors of one image.

    ``features`` and ``sums`` (moments, errors, total variation) are against float64. So are
    ``gradient``, of a program with plain style and content terms, and ``guided``, of one that has
    regions, shifts and positions that do not count besides; of autograd that is given the decisions
    of the graph itself: which ReLUs are active, and which value of a window is the maximum, are
    read off the activations that the graph computed (``_Decided``), since rounding may decide
    between two all but equal values, and then correct programs differ. For the record: ``float32``
    and ``float64`` are the largest errors of the plain gradient against autograd with decisions of
    its own, ``autograd`` that of autograd's float32, and ``undecided`` counts the components where
    its float32 and float64 differ by more than the tolerance.
    """

    image: str
    size: tuple[int, int]
    features: float
    sums: float
    gradient: float
    guided: float
    undecided: int
    float32: float
    float64: float
    autograd: float

    @property
    def worst(self) -> float:
        """The largest of the errors that are held against the tolerance; NaN where one is."""
        return float(np.max([self.features, self.sums, self.gradient, self.guided]))

    @property
    def passed(self) -> bool:
        """Whether all of those are within it; NaN is not."""
        return self.worst <= TOLERANCE


def check_bundle(
    folder: Path, weights: Path | None, extra: Mapping[str, Array]
) -> Iterator[Deviation]:
    """Compares the bundle in ``folder`` with torch on every image, worst errors image by image.

    ``weights`` is the file that the bundle was exported from; its hash must be the manifest's.
    Without it, the weights are read back from the bundle's own graph, which then checks the graph
    and not the weights. Raises ExportError for a bundle that cannot be read.
    """
    manifest, program = read_bundle(folder)
    features = _build(manifest)
    if weights is not None:
        given = Weights(weights, "", "")
        load_weights(features, given)
        if given.sha256 != manifest["weights"]["sha256"]:
            raise ExportError(f"{str(weights)!r} is not the file that {folder.name} came from.")
    else:
        _weights_from_program(features, program)
    module = Taps(features, tuple(program.taps)).eval()
    for name, image in check_images(extra, manifest["smallest_side"]):
        yield _compare(name, image, module, program)


def bundled_module(folder: Path, taps: tuple[int, ...]) -> Taps:
    """The backbone of the bundle in ``folder`` as a torch module, weights read from its graph."""
    manifest, program = read_bundle(folder)
    features = _build(manifest)
    _weights_from_program(features, program)
    return Taps(features, taps).eval()


def _build(manifest: Mapping[str, Any]) -> torch.nn.Sequential:
    if manifest.get("backbone") not in BACKBONES:
        raise ExportError(f"{manifest['name']} is of no backbone that torch has modules of here.")
    pooling = manifest.get("pooling", "max")  # which all bundles had before there was a choice
    if pooling not in get_args(Pooling):
        raise ExportError(f"{manifest['name']} has a pooling {pooling!r} that is unknown here.")
    return build_module(manifest["backbone"], pooling)


def _weights_from_program(features: torch.nn.Sequential, program: Program) -> None:
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for segment in program.segments
        for tensor in segment.graph.initializer
        if tensor.name.startswith("features.")
    }
    state = {
        key: torch.from_numpy(stored[f"features.{key}"].copy())
        for key in features.state_dict()
        if f"features.{key}" in stored
    }
    features.load_state_dict(state, strict=False)


def _compare(name: str, image: Array, module: Taps, program: Program) -> Deviation:
    with torch.no_grad():
        maps = module(torch.from_numpy(image))
        contents = module(torch.from_numpy(natural(image.shape[2], image.shape[3], seed=1)))
    own, others = [m.numpy() for m in maps], [m.numpy() for m in contents]
    plain = Given.plain(own, others, module.taps)
    guided = Given.guided(own, others, module.taps, image.shape)
    both = [_both(module, program, given, image) for given in (plain, guided)]
    computed, expected = [pair[0] for pair in both], [pair[1] for pair in both]
    single = _reference(module, image, plain, torch.float32)
    double = _reference(module, image, plain, torch.float64)
    features = worst(computed[0].features, double.features)
    autograd = np.abs(single.gradient - double.gradient) / np.abs(double.gradient).max()
    return Deviation(
        image=name,
        size=(image.shape[2], image.shape[3]),
        features=features,
        sums=max(worst(f.sums, e.sums) for f, e in zip(computed, expected, strict=True)),
        gradient=error_of(computed[0].gradient, expected[0].gradient),
        guided=error_of(computed[1].gradient, expected[1].gradient),
        undecided=int((autograd > TOLERANCE).sum()),
        float32=error_of(computed[0].gradient, single.gradient),
        float64=error_of(computed[0].gradient, double.gradient),
        autograd=float(autograd.max()),
    )


@dataclass(frozen=True)
class _Computed:
    """What a program or autograd gives: gradient, sums and features, all in one order."""

    gradient: NDArray[Any]
    sums: list[Any]
    features: list[NDArray[Any]]


def _both(
    module: Taps, program: Program, given: Given, image: Array
) -> tuple[_Computed, _Computed]:
    """What the program finds, and autograd in float64 with the program's own decisions."""
    nodes = [node for segment in program.segments for node in segment.graph.node]
    relus = [node.output[0] for node in nodes if node.op_type == "Relu"]
    values = run_one_piece(program, *fed(program, given, image), observed=relus)
    sums: list[Any] = [values["variation"]]
    features = []
    for tap, own in given.taps.items():
        sums += [values[f"moments_{tap}"], values[f"content_error_{tap}"]]
        sums += [] if own.shift is None else [values[f"sums_{tap}"]]
        features.append(whole(program, tap, values))
    computed = _Computed(values["gradient"], sums, features)
    with _Decided(_activations({name: values[name] for name in relus if name in values})):
        return computed, _reference(module, image, given, torch.float64)


class _Decided(TorchFunctionMode):
    """Inside it, the ReLUs of a module give the ``activations``, one after the other.

    What a ReLU passes on is the given value, and its gradient where that value is positive; a max
    pooling behind it finds the maximum of such values, the first in row order among equal ones.
    """

    def __init__(self, activations: Sequence[Array]) -> None:
        super().__init__()
        self._activations = iter(activations)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func not in (torch.relu, torch.nn.functional.relu):
            return func(*args, **(kwargs or {}))
        values = torch.from_numpy(next(self._activations)).to(args[0].dtype)
        passed = args[0] * (values > 0)
        return passed + (values - passed).detach()


def _activations(values: Mapping[str, Array]) -> list[Array]:
    """ReLUs' outputs in the order of the network, phases put together."""
    maps: dict[str, Any] = {}
    for name, value in values.items():
        base, _, suffix = name.rpartition(".")
        if suffix in PHASES:
            maps.setdefault(base, {})[suffix] = value
        else:
            maps[name] = value
    return [joined(v) if isinstance(v, dict) else v for v in maps.values()]


def _reference(module: Taps, image: Array, given: Given, dtype: torch.dtype) -> _Computed:
    """By autograd, of 1/2 <M, S> + <v, m> over all positions, content and total variation."""
    module = module.to(dtype)
    x = torch.from_numpy(image).to(dtype).requires_grad_()
    vertical, horizontal = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    loss = given.tv_weight * (vertical.square().sum() + horizontal.square().sum())
    maps = module(x)
    sums: list[Any] = [variation(image.astype(np.float64)[0], given.own)]
    for own, features in zip(given.taps.values(), maps, strict=True):
        mixing = torch.from_numpy(own.mixing).to(dtype)
        guides = torch.ones(1, *features.shape[2:], dtype=dtype)
        if own.guides is not None:
            guides = torch.from_numpy(own.guides).to(dtype)
        second, first = _moments(features, guides)
        loss = loss + 0.5 * (mixing * second).sum()
        if own.shift is not None:
            loss = loss + (torch.from_numpy(own.shift).to(dtype) * first).sum()
        difference = features - torch.from_numpy(own.content).to(dtype)
        loss = loss + own.weight * difference.square().sum()
        with torch.no_grad():
            counted = (..., *own.own)
            second, first = _moments(features[counted], guides[counted])
            sums += [second.flatten(0, 1).numpy(), difference[counted].square().sum().numpy()]
            sums += [] if own.shift is None else [first.numpy()]
    loss.backward()  # type: ignore[no-untyped-call]
    module.to(torch.float32)
    assert x.grad is not None
    return _Computed(x.grad.numpy(), sums, [m.detach().numpy() for m in maps])


def _moments(features: Tensor, guides: Tensor) -> tuple[Tensor, Tensor]:
    """S [R, C, C] and m [R, C] of features [1, C, h, w] with guides [R, h, w]."""
    matrix, weights = features.flatten(2)[0], guides.flatten(1)
    return torch.einsum("rn,cn,dn->rcd", weights, matrix, matrix), weights @ matrix.T
