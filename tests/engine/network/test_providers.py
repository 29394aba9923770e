"""Providers: names, the order of auto, and what is said of one that is not there."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize("name", [name for name in providers.PROVIDERS if name != "cpu"])
def test_one_that_is_not_there_says_in_one_sentence_what_brings_it(
    name: Provider, having: list[str]
) -> None:
    having += ["CPUExecutionProvider"]
    for ask in (providers.candidates, providers.check_provider):
        with pytest.raises(ProviderError) as caught:
            ask(name)
        said = str(caught.value)
        assert re.fullmatch(
            rf"this onnxruntime 1\.99 has no provider '{name}'; "
            r"(pip install onnxruntime-\w+, which has it|install an onnxruntime that was built "
            r"with it), or take --provider cpu\.",
            said,
        )
    assert ("pip install onnxruntime-" in said) == (name in providers._PACKAGES)


def test_auto_needs_none(having: list[str]) -> None:
    having += ["CPUExecutionProvider"]
    providers.check_provider("auto")
