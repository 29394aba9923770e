"""CPUs, threads and providers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ortist.errors import OptionError, ResourceError
from ortist.network import sessions as runtime
from ortist.network.bundle import Model
from ortist.network.providers import CPU


def test_cpus_follow_the_affinity_of_the_process() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= runtime.available_cpus() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert runtime.available_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)


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
