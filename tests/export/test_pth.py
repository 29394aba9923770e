"""State dicts read without torch: equal to what torch reads, and nothing of a hostile file runs."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist_export.errors import ExportError
from ortist_export.pth import read_state_dict

from tests.conftest import shared


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    whole = torch.randn(6, 5)
    return collections.OrderedDict(
        {
            "plain": torch.randn(4, 3, 2, 2),
            "half": torch.randn(3).half(),
            "double": torch.randn(2, 2).double(),
            "transposed": whole.T,
            "view": whole[2:, 1:3],
            "count": torch.tensor(7),
            "empty": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(torch.randn(2)),
        }
    )


def saved(path: Path, content: Any, zipped: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_it_reads_what_torch_reads(zipped: bool, tmp_path: Path) -> None:
    content = state()
    read = read_state_dict(saved(tmp_path / "w.pth", content, zipped))
    assert list(read.tensors) == list(content)
    for name, value in content.items():
        assert read.tensors[name].shape == tuple(value.shape)
        np.testing.assert_array_equal(read.read(name), value.detach().float().numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_modules_state_dict_with_its_notes(zipped: bool, tmp_path: Path) -> None:
    """A module's state dict carries versions (BUILD), and counts of batches."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    read = read_state_dict(saved(tmp_path / "w.pth", module.state_dict(), zipped))
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(read.read(name), value.float().numpy())


def test_the_imagenet_file_is_read_as_torch_reads_it() -> None:
    path = shared("weights/squeezenet1_1.pth")
    expected = torch.load(path, weights_only=True)
    read = read_state_dict(path)
    assert set(read.tensors) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(read.read(name), value.float().numpy())


def zipped_pickle(path: Path, data: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name, content in members.items():
            archive.writestr(f"archive/data/{name}", content)
    return path


def sequence(path: Path, data: bytes, keys: list[str], storages: bytes) -> Path:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in head]
    path.write_bytes(b"".join(parts) + data + pickle.dumps(keys, 2) + storages)
    return path


class Calls:
    """Its pickle calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


FLAG = "ORTIST_TEST_A_PICKLE_RAN"
HOSTILE: dict[str, bytes] = {
    "system": pickle.dumps({"w": Calls(os.putenv, FLAG, "1")}, 2),
    "eval": pickle.dumps({"w": Calls(eval, f"__import__('os').putenv('{FLAG}', '1')")}, 2),
    "stack global": pickle.dumps({"w": Calls(os.putenv, FLAG, "1")}, 4),
    "getattr chain": b"\x80\x02cbuiltins\ngetattr\n(ctorch\nFloatStorage\nX\x03\0\0\0newtR.",
    "torch.load": b"\x80\x02ctorch\nload\n(X\x01\0\0\0xtR.",
    "dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x12OrderedDict.update\x93)R.",
    "inst": b"(ios\nsystem\n.",
    "obj": b"\x80\x02(cos\nsystem\nX\x02\0\0\0idoR.",
    "newobj": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "calls a storage": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "calls a tuple": b"\x80\x02))R.",
    "builds a function": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}b.",
    "fills a tuple": b"\x80\x02)(K\x01K\x02u.",
    "nothing": b"",
    "no end": b"\x80\x02}",
    "empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02}t.",
    "unknown memo": b"\x80\x02h\x07.",
    "unhashable": b"\x80\x02}]K\x01s.",
    "long text": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"abc.",
    "huge integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    files = [
        zipped_pickle(tmp_path / "zip.pth", HOSTILE[name]),
        sequence(tmp_path / "old.pth", HOSTILE[name], [], b""),
    ]
    for file in files:
        with pytest.raises(ExportError) as caught:
            read_state_dict(file)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)
        assert file.name in str(caught.value)
    assert os.environ.get(FLAG) is None
    assert os.getenv(FLAG) is None


def tensor_pickle(count: int, offset: int, shape: tuple[int, ...], strides: Any) -> bytes:
    """A pickle of {"w": tensor}, whatever the numbers are."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return value.value if isinstance(value, Persistent) else None

    class Persistent:
        value = ("storage", torch.FloatStorage, "0", "cpu", count)

    stream = io.BytesIO()
    made = Calls(torch._utils._rebuild_tensor_v2, Persistent(), offset, shape, strides, False, None)
    Pickler(stream, 2).dump({"w": made})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides"),
    [
        (4, 1, (4,), (1,)),  # beyond the end
        (4, 0, (2, 3), (3, 1)),
        (4, 0, (2**20, 2**20), (0, 0)),  # a large tensor of one number
        (4, -1, (2,), (1,)),
        (4, 0, (2,), (-1,)),
        (4, 0, (2, 2), (1,)),
        (2**40, 0, (1,), (1,)),  # a storage that cannot be
        (4, 0, (True,), (1,)),
        (4, 0.5, (1,), (1,)),
    ],
)
def test_tensors_outside_their_storage_are_refused(
    count: int, offset: Any, shape: Any, strides: Any, tmp_path: Path
) -> None:
    file = zipped_pickle(tmp_path / "w.pth", tensor_pickle(count, offset, shape, strides))
    with pytest.raises(ExportError, match=r"w\.pth.* is not a file of weights"):
        read_state_dict(file)


def test_storages_that_are_not_there_are_refused(tmp_path: Path) -> None:
    data = tensor_pickle(4, 0, (4,), (1,))
    good = zipped_pickle(tmp_path / "good.pth", data, **{"0": np.arange(4.0, dtype="f4").tobytes()})
    np.testing.assert_array_equal(read_state_dict(good).read("w"), np.arange(4.0))
    for members in ({}, {"0": b"\0" * 15}, {"0": b"\0" * 17}):
        read = read_state_dict(zipped_pickle(tmp_path / "bad.pth", data, **members))
        with pytest.raises(ExportError, match=r"bad\.pth"):
            read.read("w")
    for length, numbers in ((4, b"\0" * 15), (5, b"\0" * 20), (-1, b"")):
        file = sequence(tmp_path / "old.pth", data, ["0"], struct.pack("<q", length) + numbers)
        with pytest.raises(ExportError, match=r"old\.pth"):
            read_state_dict(file)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    """What torch never writes could be a bomb."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(ExportError, match="compressed or too large"):
        read_state_dict(path)


def test_other_objects_and_files_are_refused(tmp_path: Path) -> None:
    for content in ([1, 2], {"w": 3}, {1: torch.zeros(1)}, torch.zeros(1)):
        with pytest.raises(ExportError, match="holds no state dict"):
            read_state_dict(saved(tmp_path / "w.pth", content, zipped=True))
    for data in (b"<!DOCTYPE html>", b"", b"PK\3\4", b"\x80", os.urandom(100)):
        (tmp_path / "w.pth").write_bytes(data)
        with pytest.raises(ExportError, match="is not a file of weights"):
            read_state_dict(tmp_path / "w.pth")
    with pytest.raises(ExportError, match="there is no weights file"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(ExportError, match="is not a file of weights"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_read_right_or_refused(zipped: bool, tmp_path: Path) -> None:
    data = saved(tmp_path / "w.pth", {"w": torch.arange(10.0)}, zipped).read_bytes()

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, len(data) - 1), st.integers(0, 255), st.booleans())
    def damage(place: int, byte: int, cut: bool) -> None:
        spoilt = data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1 :]
        (tmp_path / "w.pth").write_bytes(spoilt)
        try:
            read = read_state_dict(tmp_path / "w.pth")
            for name in read.tensors:
                read.read(name)
        except ExportError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either may happen

    damage()
