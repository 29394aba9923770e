"""Colour profiles: the floats agree with LittleCMS, and no profile can do harm."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from ortist.pictures.profiles import convert, srgb_profile, to_srgb
from ortist.pictures.reading import load_picture
from PIL import Image, ImageCms

from tests.engine.pictures.test_sixteen import png

# Of Adobe RGB (1998), adapted to D50.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
CURVES = {
    "gamma": b"curv\0\0\0\0" + struct.pack(">IH", 1, 563),
    "linear": b"curv\0\0\0\0" + struct.pack(">I", 0),
    "table": b"curv\0\0\0\0"
    + struct.pack(">I256H", 256, *[round(65535 * (i / 255) ** 1.8) for i in range(256)]),
    "power": b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(1.8 * 65536)),
}
for kind, numbers in enumerate(
    (
        (2.4, 1.1, -0.1),
        (2.4, 1.1, -0.1, 0.0),
        (2.4, 0.948, 0.052, 0.077, 0.04),
        (2.2, 0.9, 0.05, 0.3, 0.1, 0.02, 0.0),
    ),
    start=1,
):
    fixed = [round(number * 65536) for number in numbers]
    CURVES[f"kind {kind}"] = b"para\0\0\0\0" + struct.pack(f">HH{len(fixed)}i", kind, 0, *fixed)


def profile(curve: bytes, gray: bool = False, **more: bytes) -> bytes:
    """An ICC profile, version 4.3, of one curve and Adobe RGB's primaries, or of grey."""
    elements = {"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)}
    if gray:
        elements["kTRC"] = curve
    else:
        for name, column in zip("rgb", ADOBE, strict=True):
            fixed = [round(value * 65536) for value in column]
            elements[f"{name}XYZ"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *fixed)
            elements[f"{name}TRC"] = curve
    elements |= more
    place = 132 + 12 * len(elements)
    table, body = struct.pack(">I", len(elements)), b""
    for name, element in elements.items():
        table += struct.pack(">4sII", name.encode(), place + len(body), len(element))
        body += element.ljust(-(-len(element) // 4) * 4, b"\0")
    head = bytearray(128)
    head[0:4] = struct.pack(">I", place + len(body))
    head[8:12] = b"\x04\x30\0\0"
    head[12:24] = b"mntr" + (b"GRAY" if gray else b"RGB ") + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(head) + table + body


@pytest.mark.parametrize("name", CURVES)
def test_floats_agree_with_littlecms(name: str) -> None:
    data = profile(CURVES[name])
    levels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    image = Image.fromarray(levels)
    expected = convert(image, data)
    assert expected is not image
    converted = to_srgb(levels.astype(np.float32) / np.float32(255), data)
    assert converted is not None
    # LittleCMS's 8-bit arithmetic rounds more than once, which shows where curves are steep.
    difference = np.abs(converted * 255 - np.asarray(expected))
    assert difference.mean() < 0.3
    assert difference.max() < 1.5


@pytest.mark.parametrize("name", CURVES)
def test_grey_is_the_same_as_equal_colours(name: str) -> None:
    """LittleCMS's own grey is off by up to ten levels in the shadows."""
    gray = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 30, 1)
    converted = to_srgb(gray.copy(), profile(CURVES[name], gray=True))
    colors = to_srgb(gray.repeat(3, axis=2), profile(CURVES[name]))
    assert converted is not None
    assert colors is not None
    np.testing.assert_allclose(np.broadcast_to(converted, colors.shape), colors, atol=2e-3)


def test_the_constants_of_the_parametric_curves() -> None:
    """Where black is not 0, LittleCMS compensates for it; these are the formulas' own numbers."""
    srgb = profile(b"para\0\0\0\0" + struct.pack(">HH4i", 2, 0, 2 << 16, 1 << 16, 0, 1 << 14))
    zero = to_srgb(np.zeros((1, 1, 3), np.float32), srgb)
    assert zero is not None
    np.testing.assert_allclose(zero, 1.055 * 0.25 ** (1 / 2.4) - 0.055, atol=2e-3)
    fixed = [1 << 16, 1 << 16, 0, 0, 1 << 15, 0, 1 << 14]
    bent = profile(b"para\0\0\0\0" + struct.pack(">HH7i", 4, 0, *fixed))
    converted = to_srgb(np.full((1, 1, 3), 0.25, np.float32), bent)
    assert converted is not None
    np.testing.assert_allclose(converted, 1.055 * 0.25 ** (1 / 2.4) - 0.055, atol=2e-3)


def test_srgb_itself_changes_nothing() -> None:
    values = np.random.default_rng(0).random((9, 9, 3), np.float32)
    np.testing.assert_array_equal(to_srgb(values.copy(), srgb_profile()), values)
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    converted = to_srgb(values.copy(), other)
    assert converted is not None
    np.testing.assert_allclose(converted, values, atol=1e-4)


def test_ours_is_a_profile_and_always_the_same() -> None:
    opened = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(opened)
    srgb_profile.cache_clear()
    assert srgb_profile() == srgb_profile()


def test_tables_are_left_to_littlecms() -> None:
    values = np.zeros((2, 2, 3), np.float32)
    assert to_srgb(values, profile(CURVES["gamma"], A2B0=b"mft2")) is None
    assert to_srgb(values, profile(CURVES["gamma"], gray=True)) is None
    assert to_srgb(values, b"") is None


def test_damaged_profiles_do_no_harm() -> None:
    whole = profile(CURVES["kind 4"])
    rng = np.random.default_rng(0)
    values = rng.random((5, 5, 3), np.float32)
    attacks = [whole[:n] for n in range(0, len(whole), 3)]
    for _ in range(300):
        changed = bytearray(whole)
        for position in rng.integers(0, len(whole), 4):
            changed[position] = int(rng.integers(0, 256))
        attacks.append(bytes(changed))
    computed = 0
    for attack in attacks:
        converted = to_srgb(values.copy(), attack)
        if converted is not None:
            computed += 1
            assert np.isfinite(converted).all()
            assert 0 <= converted.min() <= converted.max() <= 1
    assert 20 < computed < len(attacks)


def test_a_picture_of_16_bits_is_converted_in_16(tmp_path: Path) -> None:
    import zlib

    ramp = np.linspace(20000, 20600, 60).astype(np.uint16)
    values = np.broadcast_to(ramp[None, :, None], (4, 60, 3))
    icc = b"Adobe\0\0" + zlib.compress(profile(CURVES["gamma"]))
    path = tmp_path / "adobe.png"
    path.write_bytes(png(np.ascontiguousarray(values), (b"iCCP", icc)))
    pixels = load_picture(path, 10**6).pixels
    expected = to_srgb((values / 65535).astype(np.float32), profile(CURVES["gamma"]))
    assert expected is not None
    np.testing.assert_allclose(pixels, expected * 65535, atol=0.6)
    assert len(np.unique(pixels[..., 0])) == 60
    assert not np.array_equal(pixels, values)
