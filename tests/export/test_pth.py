"""State dicts read without torch: equal to what torch reads, and nothing of a hostile file runs."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist_export.backbones import BACKBONES
from ortist_export.errors import ExportError
from ortist_export.pth import read_state_dict
from ortist_export.weights import read_weights

from tests.conftest import shared

from .zoo import random_state, zoo_file


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


SHAPELESS = {
    "deep": b")" + b"\x85" * 150_000,
    "each twice in the next": b")q\x07" + b"h\x07h\x07\x86q\x07" * 60 + b"h\x07",
    "lists in lists": b"]" + b"q\x07]h\x07a" * 20_000,
    "each thrice in the next": b")q\x07" + b"h\x07h\x07h\x07\x87q\x07" * 10_000,
}
"""What takes for ever, or all of the stack, to hash, to compare or to write out."""
_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n("
_STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
PLACES = {
    "all of it": b"%s.",
    "a key": b"}%sK\x01s.",
    "keys": b"}(%sK\x01%sK\x02u.",
    "a value": b"}K\x01%ss.",
    "a key of pairs": b"ccollections\nOrderedDict\n]](%sK\x01ea\x85R.",
    "pairs": b"ccollections\nOrderedDict\n%s\x85R.",
    "arguments": b"ccollections\nOrderedDict\n%sR.",
    "a function": b"%s)R.",
    "a module": b"%sX\x01\0\0\0x\x93.",
    "a name": b"X\x01\0\0\0x%s\x93.",
    "a storage": b"%sQ.",
    "its kind": _STORAGE.replace(b"X\x07\0\0\0storage", b"%s") + b".",
    "its numbers": _STORAGE.replace(b"ctorch\nFloatStorage\n", b"%s") + b".",
    "its key": _STORAGE.replace(b"X\x01\0\0\x000", b"%s") + b".",
    "its device": _STORAGE.replace(b"X\x03\0\0\0cpu", b"%s") + b".",
    "its length": _STORAGE.replace(b"K\x04", b"%s") + b".",
    "a tensor of it": _TENSOR + b"%sK\0)))tR.",
    "an offset": _TENSOR + _STORAGE + b"%s)))tR.",
    "a shape": _TENSOR + _STORAGE + b"K\0%sK\x01\x85)tR.",
    "a length": _TENSOR + _STORAGE + b"K\0%s\x85K\x01\x85)tR.",
    "strides": _TENSOR + _STORAGE + b"K\0K\x01\x85%s)tR.",
    "a hook": _TENSOR + _STORAGE + b"K\0K\x01\x85K\x01\x85%stR.",
    "notes": b"}%sb.",
    "the receiver of items": b"%sK\x01K\x02s.",
    "the receiver of notes": b"%s}b.",
}
"""Where a pickle can have a value."""
READ = """
import sys
from pathlib import Path
from ortist_export.errors import ExportError
from ortist_export.pth import read_state_dict
for file in sys.argv[1:]:
    try:
        read_state_dict(Path(file))
    except ExportError as error:
        print(error)
    else:
        print("taken")
"""


@pytest.mark.parametrize("name", SHAPELESS)
def test_what_takes_for_ever_to_look_through_is_refused_at_once(name: str, tmp_path: Path) -> None:
    """Wherever it stands; by another process, since this one would be gone too."""
    files, notes = [], tmp_path / f"{[*PLACES].index('notes')}.pth"  # which nobody reads
    for number, form in enumerate(PLACES.values()):
        data = b"\x80\x04" + form.replace(b"%s", SHAPELESS[name])
        files.append(zipped_pickle(tmp_path / f"{number}.pth", data))
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001)]
    system = pickle.dumps({"little_endian": True}, 2)
    bomb = b"\x80\x04" + SHAPELESS[name] + b"."
    empty = pickle.dumps({}, 2)
    listed = b"\x80\x04]" + SHAPELESS[name] + b"a."
    for number, parts in enumerate(
        [[bomb], [head[0], bomb], [*head, bomb], [*head, system, bomb]]
        + [[*head, system, empty, keys] for keys in (bomb, listed)]
    ):
        files.append(tmp_path / f"part{number}.pth")
        files[-1].write_bytes(b"".join(parts))
    done = subprocess.run(
        [sys.executable, "-c", READ, *files], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(files)
    for file, line in zip(files, told, strict=True):
        assert file.name in line or (file == notes and line == "taken")
        assert len(line) < 600


@pytest.mark.parametrize("once", [b"h\x07h\x08\x85R", b"h\x09Q", b"}"])
def test_much_that_is_made_of_little_is_refused(once: bytes, tmp_path: Path) -> None:
    """A list of 100,000 pairs, and a tuple, looked through 100,000 times; a million dicts."""
    data = b"\x80\x04ccollections\nOrderedDict\nq\x07"
    data += b"](" + b"K\x01K\x02\x86" * 100_000 + b"eq\x08"
    data += b"(" + b"K\x01" * 100_000 + b"tq\x09" + once * (1_200_000 // len(once)) + b"}."
    file = zipped_pickle(tmp_path / "w.pth", data)
    with pytest.raises(ExportError, match=r"of another form|more than 1048576 instr"):
        read_state_dict(file)


def test_a_dict_of_pairs_is_read(tmp_path: Path) -> None:
    """Python 2 wrote an OrderedDict so."""
    data = b"\x80\x02ccollections\nOrderedDict\n]](X\x01\0\0\0w%sea\x85R."
    made = _TENSOR + _STORAGE + b"K\0K\x04\x85K\x01\x85\x89)tR"
    file = zipped_pickle(
        tmp_path / "w.pth", data.replace(b"%s", made), **{"0": np.arange(4.0, dtype="f4").tobytes()}
    )
    np.testing.assert_array_equal(read_state_dict(file).read("w"), np.arange(4.0))


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
    checkpoint = {"epoch": 3, "state_dict": state(), "optimizer": {"lr": 0.1}}
    with pytest.raises(ExportError, match=r"a dict whose entry 'state_dict' is one.*save that"):
        read_state_dict(saved(tmp_path / "w.pth", checkpoint, zipped=True))
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


@pytest.mark.parametrize(
    ("zoo", "wrong"),
    [(zoo, wrong) for zoo in (False, True) for wrong in (np.nan, np.inf, -np.inf)]
    + [(False, 1e300)],
)
def test_weights_that_are_not_finite_are_refused(zoo: bool, wrong: float, tmp_path: Path) -> None:
    """In float32, where 1e300 is infinite, in a file of either kind."""
    weights = random_state("squeezenet1_1")
    name = "features.4.expand3x3.bias"
    weights[name] = weights[name].double()
    weights[name][-1] = wrong
    path = tmp_path / "w.pth"
    if zoo:
        zoo_file("squeezenet1_1", weights, path)
    else:
        torch.save(weights, path)
    with pytest.raises(ExportError, match=rf"the weights {name} are not finite"):
        read_weights(path, BACKBONES["squeezenet1_1"], 12)


@pytest.mark.parametrize("prefix", ["module.", "module.features.", "net.backbone.features."])
def test_names_of_a_model_within_another_are_told(prefix: str, tmp_path: Path) -> None:
    plain = random_state("squeezenet1_1", classifier=False)
    named = {name.replace("features.", prefix, 1): value for name, value in plain.items()}
    torch.save(named, tmp_path / "w.pth")
    told = prefix.removesuffix("features.")
    with pytest.raises(ExportError, match=rf"names its tensors '{told}'….*a plain state dict"):
        read_weights(tmp_path / "w.pth", BACKBONES["squeezenet1_1"], 12)
