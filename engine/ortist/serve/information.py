"""The routes that tell what there is: styles, models, options, health, metrics, the page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from .._version import __version__
from ..errors import ModelError, OptionError
from ..network.bundle import default_model_name, installed_models, load_model
from ..options.presets import PRESETS
from .document import openapi
from .offered import describe_options
from .order import FORMATS
from .problems import Problem
from .service import Service

__all__ = ["information_routes"]

_PAGE = Path(__file__).parent / "page"


def information_routes(service: Service) -> list[BaseRoute]:
    """The routes of one service, and its page."""
    routes = _Routes(service)
    return [
        Route("/v1/styles", routes.styles, methods=["GET"]),
        Route("/v1/styles/{name}/thumbnail", routes.thumbnail, methods=["GET"]),
        Route("/v1/models", routes.models, methods=["GET"]),
        Route("/v1/options", routes.options, methods=["GET"]),
        Route("/openapi.json", routes.document, methods=["GET"]),
        Route("/healthz", routes.healthy, methods=["GET"]),
        Route("/readyz", routes.ready, methods=["GET"]),
        Route("/metrics", routes.metrics, methods=["GET"]),
        Route("/", routes.page, methods=["GET"]),
        Mount("/page", StaticFiles(directory=_PAGE)),
    ]


class _Routes:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def styles(self, _: Request) -> Response:
        """The styles that may be named."""
        return JSONResponse(
            [
                {
                    "name": style.name,
                    "file": style.called,
                    "built_in": style.built_in,
                    "thumbnail": f"/v1/styles/{quote(style.name, '')}/thumbnail",
                }
                for style in self._service.gallery
            ]
        )

    async def thumbnail(self, request: Request) -> Response:
        """A small picture of a style, JPEG."""
        try:
            style = self._service.gallery.named(request.path_params["name"])
        except OptionError as error:
            raise Problem(404, str(error)) from error
        return Response(style.thumbnail, media_type="image/jpeg")

    async def models(self, _: Request) -> Response:
        """The models that may be named, usable or not."""
        default, told = default_model_name(), []
        for name, folder in installed_models():
            entry = {"name": name, "default": name == default}
            try:
                model = load_model(folder)
            except ModelError:
                told.append({**entry, "usable": False})
                continue
            about = {"backbone": model.backbone, "license": model.license, "sha256": model.sha256}
            layers = [tap.index for tap in model.taps]
            told.append({**entry, "usable": True, **about, "layers": layers})
        return JSONResponse(told)

    async def options(self, _: Request) -> Response:
        """What may be asked for: options, presets, formats and the limits of this service."""
        configuration = self._service.configuration
        return JSONResponse(
            {
                "options": describe_options(configuration.max_size),
                "presets": sorted(PRESETS),
                "formats": FORMATS,
                "limits": {
                    "upload_bytes": configuration.max_upload,
                    "pixels": configuration.max_pixels,
                    "size": configuration.max_size,
                    "queue": configuration.max_queue,
                    "keep_seconds": configuration.keep,
                },
                "version": __version__,
            }
        )

    async def document(self, _: Request) -> Response:
        """The OpenAPI document."""
        return JSONResponse(openapi(self._service.configuration.max_size))

    async def healthy(self, _: Request) -> Response:
        """Whether the server answers: it does."""
        return JSONResponse({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """Whether a process has made a step with the model, and none failed to since."""
        dispatcher = self._service.dispatcher
        if dispatcher.stopping.is_set():
            raise Problem(503, "the service is stopping.")
        if dispatcher.unfit is not None:
            raise Problem(503, "no process can paint now; the service's log says why.")
        if dispatcher.facts is None:
            raise Problem(503, "the processes that paint are starting.")
        facts = dispatcher.facts
        model = {"provider": facts["provider"], "model": facts["model"]}
        return JSONResponse({"status": "ready", **model})

    async def metrics(self, _: Request) -> Response:
        """Prometheus's text."""
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return Response(self._service.metrics.text(), media_type=kind)

    async def page(self, _: Request) -> Response:
        """The page for people."""
        return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})
