"""Where the weights of known models are, and by which hash a file of them is known.

The hash decides, not the host: a file from a mirror or a memory stick is as good. torchvision's
names end in the first eight digits of their file's SHA-256, which stop accidents, and an adversary
who cannot try four billion files. The zoo's files are known by all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SOURCES", "Source"]

_MB = 10**6


@dataclass(frozen=True)
class Source:
    """One file: its address, the beginning of its SHA-256 in hex, or all of it, and its licence.

    ``size`` are its bytes where they are known; it has no more than ``most``.
    """

    url: str
    sha256: str
    license: str
    most: int
    size: int | None = None

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def begins(self) -> tuple[bytes, ...]:
        """First bytes that such a file may have and no text has: ONNX's, a pickle's, a zip's."""
        return (b"\x08",) if self.file.endswith(".onnx") else (b"\x80", b"PK\x03\x04")

    def is_hash(self, digest: str) -> bool:
        """Whether a file with that SHA-256, in hex, is this one."""
        return digest.startswith(self.sha256)


_TORCH = "https://download.pytorch.org/models/"
_ZOO = "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/"


def _torchvision(file: str, most: int) -> Source:
    prefix = file.rsplit("-", 1)[1].removesuffix(".pth")
    return Source(_TORCH + file, prefix, "BSD-3-Clause (torchvision)", most)


def _zoo(path: str, size: int, sha256: str) -> Source:
    return Source(_ZOO + path, sha256, "Apache-2.0 (ONNX model zoo)", size, size)


SOURCES: dict[str, Sequence[Source]] = {
    "squeezenet1_1": (
        _torchvision("squeezenet1_1-b8a52dc0.pth", 8 * _MB),
        _zoo(
            "squeezenet/model/squeezenet1.1-7.onnx",
            4_956_208,
            "1eeff551a67ae8d565ca33b572fc4b66e3ef357b0eb2863bb9ff47a918cc4088",
        ),
    ),
    "squeezenet1_0": (
        _torchvision("squeezenet1_0-b66bff10.pth", 8 * _MB),
        _zoo(
            "squeezenet/model/squeezenet1.0-9.onnx",
            4_952_222,
            "f2d3201f013b72988109e677e9244250f4cc02394529432972f05e1f6dcc7b62",
        ),
    ),
    "vgg19": (
        _torchvision("vgg19-dcbb9e9d.pth", 600 * _MB),
        _zoo(
            "vgg/model/vgg19-7.onnx",
            574_677_321,
            "692f9f927f1df1b89033787a77a73eac59fd9b3344f9ecdf0b13221e41c2046f",
        ),
    ),
}
"""Backbone -> the files of its weights; the first one is asked for first."""
