"""ONNX's reference evaluator, which runs graphs in float64, with the one op that it gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

__all__ = ["reference"]


class Pad(OpRun):
    """Constant padding where a negative number cuts, as in ONNX; the evaluator's own refuses it."""

    op_domain = ""

    def _run(
        self,
        x: NDArray[Any],
        pads: NDArray[Any],
        value: Any = None,
        axes: Any = None,
        mode: Any = 0,
    ) -> tuple[NDArray[Any]]:
        along = range(x.ndim) if axes is None else axes
        for position, axis in enumerate(along):
            before, after = pads[position], pads[position + len(pads) // 2]
            cut = slice(max(0, -before), x.shape[axis] - max(0, -after))
            x = x[tuple(cut if a == axis else slice(None) for a in range(x.ndim))]
            widths = [(0, 0)] * x.ndim
            widths[axis] = (max(0, before), max(0, after))
            x = np.pad(x, widths, constant_values=0.0 if value is None else value)
        return (x,)


def reference(model: onnx.ModelProto) -> ReferenceEvaluator:
    return ReferenceEvaluator(model, new_ops=[Pad])
