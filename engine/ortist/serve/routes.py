"""The routes that paint: a picture at once, or a job to follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .job import Job
from .order import FORMATS
from .problems import Problem
from .reception import Reception
from .service import Service

__all__ = ["job_routes", "wanted_format"]

_LOOK_SECONDS = 0.25
"""Between two looks whether a caller who waits is still there."""


def job_routes(service: Service) -> list[Route]:
    """The routes of one service."""
    routes = _Routes(service)
    job = "/v1/jobs/{job_id}"
    return [
        Route("/v1/transfer", routes.transfer, methods=["POST"]),
        Route("/v1/jobs", routes.accept, methods=["POST"]),
        Route(job, routes.show, methods=["GET"]),
        Route(job, routes.delete, methods=["DELETE"]),
        Route(f"{job}/events", routes.events, methods=["GET"]),
        Route(f"{job}/picture", routes.picture, methods=["GET"]),
        Route(f"{job}/preview", routes.preview, methods=["GET"]),
        Route(f"{job}/report", routes.report, methods=["GET"]),
    ]


class _Routes:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reception = Reception(service)

    async def transfer(self, request: Request) -> Response:
        """Paints, and answers the picture; ends the work when the caller goes away."""
        service = self._service
        job, _ = await self._reception.accept(request, wanted_format(request), direct=True)
        try:
            while not await job.ended_within(_LOOK_SECONDS):
                if await request.is_disconnected():
                    raise Problem(408, "the caller went away.")
                if service.dispatcher.stopping.is_set() and job not in service.dispatcher.running:
                    raise Problem(503, "the service is stopping; try again.")
            if job.state == "failed":
                raise Problem(job.outcome["error"]["status"], job.outcome["error"]["detail"])
            if job.state != "done":
                raise Problem(503, "the work was ended; try again.")
            path = job.folder.picture(job.order.format)
            picture = await asyncio.to_thread(path.read_bytes)
        finally:
            service.drop_soon(job)
        return Response(picture, 200, _picture_headers(job), FORMATS[job.order.format])

    async def accept(self, request: Request) -> Response:
        """Takes a job; answers where to follow it."""
        job, new = await self._reception.accept(request, wanted_format(request))
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if not new:
            headers["Idempotency-Replayed"] = "true"
        return JSONResponse(self._service.describe(job), 202, headers)

    async def show(self, request: Request) -> Response:
        """What there is to say of a job."""
        return JSONResponse(self._service.describe(await self._job(request)))

    async def delete(self, request: Request) -> Response:
        """Ends a job that has not ended; removes one that has."""
        service, job = self._service, await self._job(request)
        if job.is_over:
            await asyncio.to_thread(service.forget, job.id)
            return Response(status_code=204)
        await service.dispatcher.cancel(job)
        await job.ended_within(5)
        return JSONResponse(service.describe(job))

    async def events(self, request: Request) -> Response:
        """Follows a job: server-sent events, from after Last-Event-ID on."""
        job = await self._job(request)
        word = request.headers.get("last-event-id", "")
        after = int(word[:18]) if word.isascii() and word.isdecimal() else 0
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._stream(job, after), 200, headers, media_type="text/event-stream"
        )

    async def _stream(self, job: Job, after: int) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        async for event in job.events(after, self._service.dispatcher.stopping):
            if event is None:
                yield b": still here\n\n"
            else:
                data = json.dumps(event.data)
                yield f"id: {event.number}\nevent: {event.name}\ndata: {data}\n\n".encode()

    async def picture(self, request: Request) -> Response:
        """The picture of a job that is done."""
        job = await self._job(request)
        if job.state != "done":
            raise Problem(409, f"there is no picture: the job is {job.state}.")
        path = job.folder.picture(job.order.format)
        return _file(path, FORMATS[job.order.format], _picture_headers(job))

    async def preview(self, request: Request) -> Response:
        """The last small picture of a job, JPEG."""
        job = await self._job(request)
        if job.preview is None:
            raise Problem(404, "there is no preview of this job yet.")
        return Response(job.preview, media_type="image/jpeg")

    async def report(self, request: Request) -> Response:
        """Settings, losses of every step, times and notes of a job that is done."""
        job = await self._job(request)
        if job.state != "done":
            raise Problem(409, f"there is no report: the job is {job.state}.")
        return _file(job.folder.report, "application/json", {})

    async def _job(self, request: Request) -> Job:
        return await self._service.find(request.path_params["job_id"])


def _file(path: Path, media_type: str, headers: dict[str, str]) -> Response:
    """A file of a job; raises Problem, 404, where it was removed meanwhile."""
    if not path.is_file():
        raise Problem(404, "the result was removed, as results are after a time.")
    return FileResponse(path, headers=headers, media_type=media_type)


def _picture_headers(job: Job) -> dict[str, str]:
    """The name of the picture, for whoever saves it; only printable ASCII is in the plain one."""
    name = job.order.output_name
    plain = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
    plain = plain.encode("ascii", "replace").decode("ascii").replace("?", "_")
    return {
        "Content-Disposition": f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, '')}"
    }


def wanted_format(request: Request) -> str:
    """The format that Accept likes best, png where it likes all; raises Problem, 406, for none."""
    header = request.headers.get("accept", "*/*")
    best, liked = "", 0.0
    for part in header.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        for form, media_type in FORMATS.items():
            if kind in (media_type, "image/*", "*/*") and quality > liked:
                best, liked = form, quality
    # A job's answer is JSON; the picture's format is another thing then.
    if not best and not request.url.path.startswith("/v1/jobs"):
        known = ", ".join(FORMATS.values())
        raise Problem(406, f"the picture can be {known}; ask for one of them by Accept.")
    return best or "png"
