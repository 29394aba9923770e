"""Taking orders: limits before any work, the form, the plan, the queue."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

from starlette.requests import Request

from ..engine import Engine
from ..errors import OptionError, OrtistError, OutputError
from ..network.bundle import installed_models
from ..options.parsing import shown
from ..pictures.outputs import output_depth, takes_rows
from ..run.setup import Asked
from .folders import JobFolder
from .job import Job, Work
from .names import Names
from .order import Order, Sent, order_of
from .problems import Problem, refusal
from .service import Service, facts_of
from .uploads import Form, receive_form

__all__ = ["Reception"]


class Reception:
    """What stands between a request and the queue of its service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._planner = Engine(threads=service.own.threads)
        self._uploads: Counter[str] = Counter()  # under way, by the callers' addresses
        # Threads hold the interpreter from the loop, for milliseconds each.
        self._planning = asyncio.Semaphore(2)

    async def accept(self, request: Request, format: str, direct: bool = False) -> tuple[Job, bool]:
        """The job that a request asks for, in the queue; and whether it is a new one.

        ``format`` is the picture's where the form says none. Raises Problem.
        """
        caller = request.client.host if request.client else ""
        self._admit(caller)
        key = None if direct else _key_of(request)
        self._uploads[caller] += 1
        job_id, folder = self._service.folders.new()
        try:
            most = self._service.configuration.max_upload
            form = await receive_form(request, folder, most, durable=not direct)
            self._service.metrics.received.inc(form.size)
            self._admit_now(caller)
            async with self._planning:
                job = await asyncio.to_thread(self._ordered, job_id, folder, form, format)
            job.direct, job.caller = direct, caller
            if direct:
                self._admit_now(caller)
            known = None if direct else await self._written(job, key)
            if known is not None:
                self._service.remove_soon(folder)
                return known, False
            self._service.jobs[job.id] = job
        except BaseException:
            self._service.remove_soon(folder)
            raise
        finally:
            self._drop_upload(caller)
        await self._service.dispatcher.add(job)
        return job, True

    def _admit(self, caller: str) -> None:
        """Raises Problem where a job cannot be taken now, before any of it is read."""
        if self._service.dispatcher.stopping.is_set():
            raise Problem(503, "the service is stopping; try again.", {"Retry-After": "10"})
        most = self._service.configuration.max_queue
        if len(self._service.dispatcher.waiting) >= most or self._uploads.total() >= max(32, most):
            seconds = self._service.dispatcher.seconds_left() or 10
            raise Problem(
                429,
                f"{most} jobs wait, and no more can; try again later.",
                {"Retry-After": str(max(1, round(seconds / max(1, most))))},
            )
        each, dispatcher = self._service.configuration.max_each, self._service.dispatcher
        if each is not None:
            own = sum(job.caller == caller for job in (*dispatcher.waiting, *dispatcher.running))
            if own + self._uploads[caller] >= each:
                raise Problem(
                    429,
                    f"{each} jobs of yours are under way, and no more can be; try again later.",
                    {"Retry-After": "10"},
                )
        free = shutil.disk_usage(self._service.configuration.state).free
        if free < 3 * self._service.configuration.max_upload:
            raise Problem(507, "the service has no room on its disk now; try again later.")

    def _ordered(self, job_id: str, folder: JobFolder, form: Form, format: str) -> Job:
        """The job of a form, planned from the headers of its pictures."""
        sent = {str(folder.path / picture.file): picture.name for picture in form.sent}
        names = Names(sent, str(folder.path))
        try:
            order = order_of(
                form.parts,
                lambda name: self._named_style(name, folder),
                format,
                self._service.configuration.max_size,
            )
            names = Names(order.names(folder.path), str(folder.path))
            work = self._plan(order, folder.path)
        except OrtistError as error:
            raise refusal(error, names) from error
        except OSError as error:
            raise Problem(507, "the service has no room on its disk now.") from error
        return Job(job_id, order, folder, work, time.time())

    def _named_style(self, name: str, folder: JobFolder) -> Sent:
        """A style of the gallery, copied into the job's folder: it may be another one later."""
        style = self._service.gallery.named(name)
        number = len(list(folder.path.iterdir())) + 1
        sent = Sent(f"named-{number}", style.called)
        shutil.copyfile(style.path, folder.path / sent.file)
        return sent

    def _plan(self, order: Order, path: Path) -> Work:
        """The run that the order would be; raises OrtistError for what cannot be painted here."""
        options = self._service.own.options(order, path)
        known = dict(installed_models())
        if options.model is not None and options.model not in known:
            raise OptionError(
                f"there is no model {shown(options.model)}; choose one of {', '.join(known)}."
            )
        engine = self._planner
        if not (engine.was_made_for(options) or engine.fits(options)):
            engine = Engine(options.model, options.provider, options.threads)
        picture = Path(f"picture.{order.format}")
        asked = Asked(
            None if order.content is None else path / order.content.file,
            [path / style.file for style in order.styles] or None,
            [
                (path / mask.file, None if part is None else path / part.file)
                for mask, part in order.masks
            ],
        )
        plan = engine.plan(asked, options, by_rows=takes_rows(picture))
        output_depth(picture, options.depth, plan.size)
        return Work(plan.size, tuple((scale.side, scale.iterations) for scale in plan.scales))

    async def _written(self, job: Job, key: str | None) -> Job | None:
        """Writes a job into the store; the one that was accepted with the key, if there is one.

        Raises Problem: 422 for a key that was used for another request, 429 where the queue is full
        by now, 507 for a full disk.
        """
        store = self._service.store
        digest = await asyncio.to_thread(job.order.digest, job.folder.path)
        known = None if key is None else await asyncio.to_thread(store.keyed, key)
        if known is None:
            self._admit_now(job.caller)
            try:
                await asyncio.to_thread(job.folder.sync)
                await asyncio.to_thread(store.add, job.id, key, digest, job.created, facts_of(job))
                return None
            except sqlite3.IntegrityError:  # the same request came twice at once
                known = await asyncio.to_thread(store.keyed, key or "")
            except (OSError, OutputError) as error:
                raise Problem(507, "the service has no room on its disk now.") from error
        if known is None or known.digest != digest:
            raise Problem(
                422, "this Idempotency-Key was used for another request; take a new one for this."
            )
        return self._service.jobs.get(known.id) or self._service.job_of(known)

    def _admit_now(self, caller: str) -> None:
        """Raises Problem where the queue filled up while the request was read."""
        self._drop_upload(caller)
        try:
            self._admit(caller)
        finally:
            self._uploads[caller] += 1

    def _drop_upload(self, caller: str) -> None:
        self._uploads[caller] -= 1
        if not self._uploads[caller]:
            del self._uploads[caller]


def _key_of(request: Request) -> str | None:
    """The Idempotency-Key; raises Problem for one that is empty, too long or not printable."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise Problem(400, "the Idempotency-Key should be 1 to 200 printable characters.")
    return key
