"""CPUs, threads and providers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from ortist.errors import OptionError, ProviderError, ResourceError
from ortist.network import sessions as runtime
from ortist.network.bundle import Model
from ortist.network.machine import available_memory
from ortist.network.providers import CPU


def test_cpus_follow_the_affinity_of_the_process() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= runtime.available_cpus() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert runtime.available_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.fixture
def groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, str]], None]:
    """Makes this process one of control groups whose files are given by their paths."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    read = Path.read_text

    def moved(path: Path, **how: Any) -> str:
        if path == Path("/proc/self/cgroup"):
            return read(tmp_path / "own")
        if path.is_relative_to("/sys/fs/cgroup"):
            return read(tmp_path / path.relative_to("/sys/fs/cgroup"))
        return read(path, **how)

    def make(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(Path, "read_text", moved)

    return make


OLD = "4:memory:/a/b\n3:cpu,cpuacct:/a\n1:name=systemd:/x\n"


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"cpu/a/cpu": 150_000}, 2),
        ({"cpu/cpu": 100_000}, 1),  # a container's root
        ({"cpu/a/cpu": -1, "cpu/cpu": 300_000}, 3),
        ({"cpu/a/cpu": -1}, 8),
    ],
    ids=str,
)
def test_cpus_follow_the_older_groups_too(
    groups: Any, quotas: dict[str, int], expected: int
) -> None:
    files = {f"{name}.cfs_quota_us": f"{quota}\n" for name, quota in quotas.items()}
    files |= {f"{name}.cfs_period_us": "100000\n" for name in quotas}
    groups(OLD, files)
    assert runtime.available_cpus() == expected


@pytest.mark.parametrize(
    ("own", "folder", "limit", "left"),
    [
        (OLD, "memory/a/b/", 300, 300 - 80 + 30),
        (OLD, "memory/", 200, 200 - 80 + 30),
        (OLD, "memory/a/", 2**63 - 4096, None),
        ("0::/c\n", "c/", 300, 300 - 80 + 30),
        ("0::/c\n", "", "max", None),
    ],
)
def test_memory_follows_the_groups(
    groups: Any, own: str, folder: str, limit: Any, left: int | None
) -> None:
    groups("", {})
    everything = available_memory()
    old = own == OLD
    names = ("limit_in_bytes", "usage_in_bytes") if old else ("max", "current")
    cached = "total_inactive_file" if old else "inactive_file"
    files = dict(zip((f"{folder}memory.{name}" for name in names), (str(limit), "80"), strict=True))
    groups(own, {**files, f"{folder}memory.stat": f"cache 1\n{cached} 30\n"})
    assert available_memory() == pytest.approx(left or everything, rel=0.2)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (f"{'/a/long/path' * 20} pthread_create failed, error code: 11", "no more threads"),
        (f"{'/a/long/path' * 20} PosixThread::PosixThread(int, ThreadOptions)", "no more threads"),
        (f"{'/a/long/path' * 20} std::bad_alloc", "not enough memory to open the model"),
    ],
)
def test_what_the_system_lacks_is_no_fault_of_the_model(
    procedural: Model, monkeypatch: pytest.MonkeyPatch, reason: str, said: str
) -> None:
    """However far behind ONNX Runtime's own paths it says so."""

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError(reason)

    monkeypatch.setattr(runtime.load_onnxruntime(), "InferenceSession", refused)
    data = procedural.read(procedural.program.segments[0].file)
    with pytest.raises(ResourceError, match=said):
        runtime.open_session(data, "CPUExecutionProvider", 1)


def test_a_limit_of_processes_is_said(
    procedural: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("env.cc:278 pthread_create failed, error code: 11 error msg: ")

    monkeypatch.setattr(runtime.load_onnxruntime(), "InferenceSession", refused)
    data = procedural.read(procedural.program.segments[0].file)
    with pytest.raises(ResourceError, match="may start no more threads"):
        runtime.open_session(data, "cpu", 1)

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    command = importlib.import_module("ortist.cli.main")
    monkeypatch.setattr(command, "app", none)
    assert command.main() == 4
    assert "may start no more threads" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 2), ("100000 100000", 1), ("5000 100000", 1), ("max 100000", 8)],
)
def test_cpus_follow_the_quota_of_the_group(
    quota: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: quota)
    assert runtime.available_cpus() == expected


@pytest.mark.parametrize(
    ("system", "machine", "libc", "said"),
    [
        ("darwin", "x86_64", "", "no wheels for Intel Macs, so use a machine with an Apple chip"),
        ("linux", "x86_64", "x86_64-alpine-linux-musl", "no wheels for musl .Alpine., so use"),
        ("linux", "x86_64", "x86_64-pc-linux-gnu", "pip install 'onnxruntime>=1.24' brings it"),
    ],
)
def test_without_onnxruntime_it_is_said_what_to_do(
    system: str, machine: str, libc: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: libc)
    monkeypatch.setattr("importlib.import_module", missing)  # last: pytest imports by it
    with pytest.raises(ResourceError, match=f"No module named 'onnxruntime'.; .*{said}"):
        runtime.load_onnxruntime.__wrapped__()


def test_threads_are_bounded_by_the_cpus(procedural: Model) -> None:
    cpus = runtime.available_cpus()
    segment = procedural.program.segments[0]
    switches = dict.fromkeys(segment.switches, False)
    data = procedural.read(segment.file)
    session = runtime.open_session(data, CPU, cpus, switches=switches)
    assert session.get_session_options().intra_op_num_threads == cpus
    with pytest.raises(OptionError, match=f"{cpus + 1} threads are more than the {cpus} CPUs"):
        runtime.count_threads(cpus + 1)
    assert (runtime.count_threads(None), runtime.count_threads(1)) == (cpus, 1)


def test_a_thread_has_a_cpu_of_its_own_where_there_are_as_many() -> None:
    cpus = os.sched_getaffinity(0)
    for number, cpu in enumerate(sorted(cpus)):
        with runtime.pinned_cpu(number, len(cpus)):
            inside = os.sched_getaffinity(0)
        assert inside == ({cpu} if len(cpus) > 1 else cpus)
        assert os.sched_getaffinity(0) == cpus
    with runtime.pinned_cpu(0, len(cpus) + 1):  # others take turns on these CPUs too
        assert os.sched_getaffinity(0) == cpus
    with pytest.raises(KeyError), runtime.pinned_cpu(0, len(cpus)):
        raise KeyError
    assert os.sched_getaffinity(0) == cpus


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU is never pinned")
def test_an_interruption_leaves_all_cpus_to_count_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come when a thread is pinned, and before anything would undo that."""
    cpus, pin = os.sched_getaffinity(0), os.sched_setaffinity

    def interrupted(thread: int, mask: set[int]) -> None:
        pin(thread, mask)
        raise KeyboardInterrupt

    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "sched_setaffinity", interrupted)
            with pytest.raises(KeyboardInterrupt), runtime.pinned_cpu(0, len(cpus)):
                pass
        assert len(os.sched_getaffinity(0)) == 1
        assert runtime.available_cpus() == len(cpus)
        with runtime.pinned_cpu(1, len(cpus)):
            assert runtime.available_cpus() == len(cpus)
        assert os.sched_getaffinity(0) == cpus
    finally:
        pin(0, cpus)


def _reshaping() -> bytes:
    """A graph that no picture but one of two values fits."""
    two = numpy_helper.from_array(np.array([2]), "two")
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "two"], ["y"])],
        "reshaping",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [two],
    )
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def test_both_ways_to_run_a_graph_say_that_it_cannot_be_run() -> None:
    session = runtime.open_session(_reshaping(), CPU, 1)
    x = np.zeros(3, np.float32)
    with pytest.raises(Exception, match="Reshape") as plain:
        session.run(None, {"x": x})
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu")
    with pytest.raises(RuntimeError, match="Reshape") as bound:
        session.run_with_iobinding(binding)
    assert runtime.refuses_to_run(plain.value)
    assert runtime.refuses_to_run(bound.value)
    assert not runtime.refuses_to_run(RuntimeError("cannot schedule new futures after shutdown"))


def test_the_libraries_of_cuda_are_looked_for_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    onnxruntime, looked = runtime.load_onnxruntime(), []

    def preload() -> None:
        looked.append(True)
        print("Failed to load libcudart.so")
        raise OSError("no such file")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    for _ in range(2):
        with pytest.raises(ProviderError, match="CUDAExecutionProvider cannot be used here"):
            runtime.open_session(_reshaping(), "CUDAExecutionProvider", 1)
    assert looked == [True]
    assert capfd.readouterr().out == ""
