"""What callers may ask for is what ``Options`` declares: nothing is listed twice, or drifts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ortist import OptionError, Options
from ortist.options.declaring import declaration
from ortist.serve.document import openapi
from ortist.serve.offered import OFFERED, describe_options, read_options

OWN = {"provider", "threads", "max_memory", "scratch", "max_pixels", "snapshots", "tile"}


def test_every_option_is_offered_or_the_services_own() -> None:
    assert {field.name for field in dataclasses.fields(Options)} == OWN | set(OFFERED)
    for name in OWN:
        with pytest.raises(OptionError, match="the service's own"):
            read_options({name: "1"}, 512)


def test_the_document_describes_the_options_as_they_are_declared() -> None:
    order = openapi(700)["components"]["schemas"]["Order"]["properties"]
    for name, field in OFFERED.items():
        assert order[name]["description"] == declaration(field).help
    assert order["size"]["maximum"] == 700
    assert order["optimizer"]["enum"] == ["adam", "lbfgs"]
    assert order["rescale"]["enum"] == ["true", "false"]


@pytest.mark.parametrize("told", describe_options(2048), ids=lambda told: str(told["name"]))
def test_what_is_told_of_an_option_can_be_sent(told: dict[str, Any]) -> None:
    """Its default, its bounds and each of its choices; and what is beyond the bounds cannot."""
    name = told["name"]
    if told["default"]:
        assert read_options({name: told["default"]}, 10**6)[name] == OFFERED[name].default
    for value in (*told.get("choices", ()), told.get("least"), told.get("most"), told["unset"]):
        if value is not None:
            read_options({name: str(value)}, 10**6)
    if "least" in told:
        with pytest.raises(OptionError, match=name):
            read_options({name: str(told["least"] - 1)}, 10**6)
    if told["type"] != "text":
        with pytest.raises(OptionError):
            read_options({name: "\x00;"}, 10**6)


def test_every_path_of_the_document_has_answers() -> None:
    paths = openapi(512)["paths"]
    assert len(paths) > 14
    for path, methods in paths.items():
        assert path.count("{") == len(methods.get("parameters", ())) or path.startswith(
            "/v1/styles"
        )
        for method in ("get", "post", "delete"):
            if method in methods:
                assert any(code.startswith("2") for code in methods[method]["responses"])
