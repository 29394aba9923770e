"""What the inputs and outputs of a bundle's graphs mean, in the doc strings of the graphs.

For whoever runs a bundle in another language; docs/format.md says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx
from ortist_models.program import Part

__all__ = ["describe", "describe_features"]

_MEANINGS = {
    r"image": "The piece's pixels, (sRGB in [0, 1] - mean) / std, [1, 3, h, w]; of a band, with the"
    " rows that its features see beyond its own.",
    r"rows": "The piece's own rows of pixels, [1, 3, n + 2, w]: with one more each side, at the"
    " picture's border the outermost twice.",
    r"gradient": "dL/dimage, [1, 3, h, w]; of a band, rows beyond its own are to be added to the"
    " next band's.",
    r"variation": "x^T K x of the own pixels that count, []: the sum of squared differences of"
    " neighbours.",
    r"tv_weight": "Weight of the total variation, [].",
    r"mixing_(\d+)": "M_r = 2 dL/dS_r of tap {}, side by side, [C, R C].",
    r"shift_(\d+)": "v_r = dL/dm_r of tap {}, [C, R].",
    r"content_weight_(\d+)": "w, weight of ||F - P||^2 of tap {}, [].",
    r"content_(\d+)_(\d+)": "P, the content's features at tap {}, part {}, [1, C, h, w].",
    r"guides_(\d+)_(\d+)": "T_r, weights of the positions of tap {}, part {}, [R, 1, h, w];"
    " [0, 1, h, w] where all are 1.",
    r"first_pixels": "Row and column where the pixels that count begin, [2].",
    r"end_pixels": "Row and column behind the pixels that count, [2].",
    r"first_(\d+)_(\d+)": "Row and column where positions of tap {}, part {}, count, [2].",
    r"end_(\d+)_(\d+)": "Row and column behind those of tap {}, part {}, that count, [2].",
    r"moments_(\d+)": "S_r = sum of T_r F F^T of tap {}, one below the other, [R C, C].",
    r"sums_(\d+)": "m_r = sum of T_r F of tap {}, [R, C].",
    r"content_error_(\d+)": "||F - P||^2 of tap {} over the positions that count, [].",
    r"halo(\d+)\.(above|below)": "Exchange {}: the row of the band {}, zeros beyond the border.",
    r"edge(\d+)\.(first|last)": "Exchange {}: the {} row, which a neighbour takes as its halo.",
    r"d_halo(\d+)\.(above|below)": "Exchange {}: what to add to the gradient of the band {}.",
    r"d_edge(\d+)": "Exchange {}: the gradient to which neighbours' d_halo are added, before it is"
    " read.",
}
"""By the form of a value's name; numbers in it are filled in."""


def describe(segments: Sequence[onnx.ModelProto], taps: Mapping[int, Sequence[Part]]) -> None:
    """Gives the segments' inputs and outputs their doc strings; ``taps`` are a Program's.

    What has no meaning outside is handed on from the segment that makes it to those that read it.
    """
    features = {
        part.value: f"F, features of tap {tap}, part {index}, [1, C, h, w]."
        for tap, parts in taps.items()
        for index, part in enumerate(parts)
    }
    makers = {v.name: i for i, s in enumerate(segments) for v in s.graph.output}
    readers: dict[str, list[str]] = {}
    for index, segment in enumerate(segments):
        for value in segment.graph.input:
            readers.setdefault(value.name, []).append(str(index))
    for segment in segments:
        for value in segment.graph.output:
            handed = f"Handed on to segment {', '.join(readers.get(value.name, ()))}."
            value.doc_string = features.get(value.name) or _meaning(value.name) or handed
        for value in segment.graph.input:
            handed = f"Handed on by segment {makers.get(value.name)}."
            value.doc_string = features.get(value.name) or _meaning(value.name) or handed


def describe_features(forward: onnx.ModelProto) -> None:
    """Gives the graph of the features alone its doc strings."""
    for value in forward.graph.input:
        value.doc_string = "The picture's pixels, (sRGB in [0, 1] - mean) / std, [1, 3, H, W]."
    for value in forward.graph.output:
        value.doc_string = f"F, features of tap {value.name.removeprefix('tap_')}, [1, C, h, w]."


def _meaning(name: str) -> str:
    for form, text in _MEANINGS.items():
        found = re.fullmatch(form, name)
        if found:
            return text.format(*found.groups())
    return ""
