"""The OpenAPI document, whose form of an order is derived from the fields of ``Options``."""

from __future__ import annotations

from typing import Any

from .._version import __version__
from ..options.presets import PRESETS
from .offered import OFFERED, option_schema
from .order import FORMATS

__all__ = ["openapi"]

_PICTURE = {"type": "string", "contentMediaType": "application/octet-stream"}
_TEXTS = {
    400: "The request cannot be read.",
    401: "The token is missing or wrong.",
    403: "A page of another origin sent it.",
    404: "There is none.",
    406: "No format that Accept names.",
    408: "The request did not come to its end.",
    409: "The job has no result now.",
    413: "The request is too large.",
    415: "The request is no multipart form.",
    421: "The header Host is not a name of this service.",
    422: "A picture or an option is off.",
    429: "The queue is full.",
    500: "Something went wrong here.",
    503: "It cannot be done here now.",
    507: "The disk is full.",
}


def openapi(max_size: int) -> dict[str, Any]:
    """The document, for a service that paints up to ``max_size``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ortist",
            "version": __version__,
            "description": "Paints photos in the style of paintings.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {**_painting(), **_telling()},
        "components": {
            "schemas": {"Order": order_schema(max_size), "Job": _JOB, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def order_schema(max_size: int) -> dict[str, Any]:
    """The form that an order is sent as."""
    several = {"type": "array", "items": _PICTURE}
    return {
        "type": "object",
        "properties": {
            "content": {**_PICTURE, "description": "The photo."},
            "style": {**several, "description": "Paintings or style files, or names of styles."},
            "content_mask": {**several, "description": "White where the content takes a style."},
            "style_mask": {**several, "description": "White where it is taken from; - for all."},
            "command": {"type": "string", "enum": ["transfer", "invert", "texture"]},
            "preset": {"type": "string", "enum": sorted(PRESETS)},
            "format": {"type": "string", "enum": list(FORMATS)},
            **{name: option_schema(name, max_size) for name in OFFERED},
        },
        "additionalProperties": False,
    }


def _painting() -> dict[str, Any]:
    form = {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Order"}}},
    }
    pictures = {media_type: {"schema": _PICTURE} for media_type in FORMATS.values()}
    job = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
    number = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    resume = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
    refusals = (400, 401, 403, 408, 413, 415, 421, 422, 429, 500, 503, 507)
    paths: dict[str, Any] = {
        "/v1/transfer": {
            "post": {
                "summary": "Paint, and answer the picture.",
                "requestBody": form,
                "responses": _answers(200, "The picture.", pictures, (*refusals, 406)),
            }
        },
        "/v1/jobs": {
            "post": {
                "summary": "Put a job into the queue.",
                "parameters": [key],
                "requestBody": form,
                "responses": _answers(202, "The job.", job, refusals),
            }
        },
        "/v1/jobs/{job_id}": {
            "parameters": [number],
            "get": {
                "summary": "Tell where a job stands.",
                "responses": _answers(200, "The job.", job, (401, 404)),
            },
            "delete": {
                "summary": "End a job; remove one that has ended.",
                "responses": {
                    **_answers(200, "The job, ended.", job, (401, 403, 404)),
                    "204": {"description": "It is removed."},
                },
            },
        },
    }
    for name, summary, kinds, codes in (
        ("events", "Follow a job.", ["text/event-stream"], (401, 404)),
        ("picture", "The picture of a job that is done.", FORMATS.values(), (401, 404, 409)),
        ("preview", "The last small picture of a job.", ["image/jpeg"], (401, 404)),
        ("report", "Settings, losses and times.", ["application/json"], (401, 404, 409)),
    ):
        content: dict[str, Any] = {kind: {} for kind in kinds}
        path: dict[str, Any] = {
            "summary": summary,
            "responses": _answers(200, summary, content, codes),
        }
        if name == "events":
            path["parameters"] = [resume]
        paths[f"/v1/jobs/{{job_id}}/{name}"] = {"parameters": [number], "get": path}
    return paths


def _telling() -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    paths: dict[str, Any] = {}
    for path, summary, kind, codes in (
        ("/v1/styles", "The styles that may be named.", "application/json", (401,)),
        ("/v1/styles/{name}/thumbnail", "A small picture of one.", "image/jpeg", (401, 404)),
        ("/v1/models", "The models that may be named.", "application/json", (401,)),
        ("/v1/options", "Options, presets, formats, limits.", "application/json", (401,)),
        ("/openapi.json", "This document.", "application/json", (401,)),
        ("/healthz", "That the server answers.", "application/json", ()),
        ("/readyz", "That the model has been proved.", "application/json", (503,)),
        ("/metrics", "Prometheus's text.", "text/plain", (401,)),
        ("/", "The page for people.", "text/html", ()),
    ):
        paths[path] = {
            "get": {"summary": summary, "responses": _answers(200, summary, {kind: {}}, codes)}
        }
        if "{name}" in path:
            paths[path]["parameters"] = [name]
    return paths


def _answers(code: int, text: str, content: Any, refusals: tuple[int, ...]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers: dict[str, Any] = {str(code): {"description": text, "content": content}}
    for refusal in sorted(refusals):
        answers[str(refusal)] = {"description": _TEXTS[refusal], "content": problem}
    return answers


_PROBLEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}
_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "state": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "place": {"type": ["integer", "null"]},
        "eta": {"type": ["number", "null"]},
        "progress": {"type": ["object", "null"]},
        "error": {"type": "object"},
        "links": {"type": "object"},
    },
    "required": ["id", "state"],
}
