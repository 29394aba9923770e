"""Bound runs: the same as plain ones, with inputs and outputs that stay and are kept."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from ortist.network.bundle import Model
from ortist.network.providers import CPU
from ortist.network.sessions import open_session
from ortist.objective.bands import Bound, Value, aligned


def test_a_bound_run_gives_what_a_plain_one_gives(procedural: Model) -> None:
    """The first segment: its arrays written anew, replaced, and of another size."""
    rng = np.random.default_rng(0)
    segment = procedural.program.segments[0]
    switches = {name: name == "with_moments_1" for name in segment.switches}
    session = open_session(procedural.read(segment.file), CPU, 1, switches=switches)
    names = [output.name for output in session.get_outputs()]
    for height, width in ((40, 52), (48, 40), (40, 52)):
        plain = {
            value.name: rng.standard_normal(
                [axis if isinstance(axis, int) else 0 for axis in value.shape]
            ).astype(np.int64 if value.type == "tensor(int64)" else np.float32)
            for value in session.get_inputs()
        }
        plain["image"] = rng.standard_normal((1, 3, height, width), np.float32)
        inputs = {name: Value(array) for name, array in plain.items()}
        bound = Bound(session, inputs)
        expected = session.run(names, plain)
        first = bound.run_first(names)
        for name, value in zip(names, expected, strict=True):
            np.testing.assert_array_equal(first[name], value)
        outputs = {name: Value(np.empty_like(array)) for name, array in first.items()}
        bound.bind_outputs(outputs)
        for replaced in (False, True):
            plain["image"] = rng.standard_normal((1, 3, height, width), np.float32)
            if replaced:
                bound.bind_input("image", Value(plain["image"]))
            else:
                inputs["image"].array[...] = plain["image"]
                inputs["image"].publish()
            bound.run()
            for name, value in zip(names, session.run(names, plain), strict=True):
                np.testing.assert_array_equal(outputs[name].fetch(), value)


def test_what_is_bound_is_kept(procedural: Model) -> None:
    """ONNX Runtime has the address of an array and no hold of it."""
    segment = procedural.program.segments[0]
    switches = dict.fromkeys(segment.switches, False)
    session = open_session(procedural.read(segment.file), CPU, 1, switches=switches)
    values = [Value(np.zeros((1, 3, 40, 52), np.float32)) for _ in range(2)]
    refs = [weakref.ref(value.array) for value in values]
    bound = Bound(session, {"image": values[0]})
    bound.bind_input("image", values[1])
    del values
    gc.collect()
    assert refs[1]() is not None
    output = Value(np.zeros((1, 64, 9, 12), np.float32))
    refs.append(weakref.ref(output.array))
    name = session.get_outputs()[0].name
    bound.bind_outputs({name: output})
    del output
    gc.collect()
    assert refs[2]() is not None
    del bound
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_a_value_is_its_array(shape: tuple[int, ...]) -> None:
    array = aligned(shape, np.float32)
    array[...] = 1
    value = Value(array)
    assert value.fetch() is array
    np.testing.assert_array_equal(value.ort.numpy(), array)
    array += 1
    value.publish()
    np.testing.assert_array_equal(value.ort.numpy(), array)


def test_another_array_is_copied_to_where_a_cache_line_begins() -> None:
    whole = aligned((9,), np.float32)
    whole[...] = np.arange(9)
    value = Value(whole[1:])
    assert value.array.ctypes.data % 64 == 0
    np.testing.assert_array_equal(value.array, whole[1:])
    assert not np.shares_memory(value.array, whole)
