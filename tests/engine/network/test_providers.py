"""Providers: names, the order of auto, and what is said of one that is not there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest
from ortist.errors import ProviderError
from ortist.network import providers
from ortist.options.fields import Provider

from tests.conftest import ROOT


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ONNX Runtime's names of the providers that it says it has, to be filled."""
    names: list[str] = []
    runtime = SimpleNamespace(__version__="1.99", get_available_providers=lambda: names)
    monkeypatch.setattr(providers, "load_onnxruntime", lambda: runtime)
    return names


def test_every_provider_has_a_name_and_onnx_runtime_knows_it() -> None:
    import onnxruntime

    assert {*get_args(Provider)} == {"auto", *providers.PROVIDERS}
    assert {*providers.PROVIDERS.values()} <= {*onnxruntime.get_all_providers()}


def test_auto_takes_them_in_the_documented_order(having: list[str]) -> None:
    having += ["CPUExecutionProvider", "OpenVINOExecutionProvider", "CoreMLExecutionProvider"]
    having += ["CUDAExecutionProvider"]
    assert providers.candidates("auto") == ["cuda", "coreml", "cpu"]
    assert providers.candidates("openvino") == ["openvino"]
    words = ", ".join(f"`{name}`" for name in providers.AUTO)
    assert words in " ".join((ROOT / "docs" / "usage.md").read_text(encoding="utf-8").split())


def test_one_that_is_not_there_says_what_brings_it(having: list[str]) -> None:
    having += ["CPUExecutionProvider"]
    with pytest.raises(ProviderError, match=r"1\.99 has no provider 'dml'\. pip install onnxr"):
        providers.candidates("dml")
    with pytest.raises(ProviderError, match=r"'webgpu'\. install an onnxruntime that was built"):
        providers.check_provider("webgpu")
    providers.check_provider("auto")
