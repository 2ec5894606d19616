"""What is done with a request, from its headers to its answer."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from luthier.errors import LuthierError
from luthier.machine import torch_settings
from luthier.optional import require
from luthier.serving.access import Access
from luthier.serving.escaping import as_json
from luthier.serving.faster import faster_by_onnx
from luthier.serving.intake import Intake, RequestClock, clock
from luthier.serving.readers.batching import in_slices
from luthier.serving.readers.limits import SHARED_COUNTS, SMALL, Limits
from luthier.serving.readers.requests import RefusedError
from luthier.serving.reloading import Reloader
from luthier.serving.served_model import ServedModel

PURPOSE = "serving a model"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"  # `curl -d` calls any body a form
WRITTEN = 256  # answers that are written as JSON at a time
# Seconds after which a thread hands over the interpreter: Python's 5 ms are waited for at every product of a small
# request while a large one is read.
SWITCHED = 0.0005
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)  # that answers are counted by
HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}  # of refusals
log = logging.getLogger(__name__)


class Service:
    """A model that is asked over HTTP."""

    def __init__(
        self, served: ServedModel, access: Access, limits: Limits, path: Path | None = None, *, watch: bool = False
    ) -> None:
        self.served, self.access, self._limits = served, access, limits
        self._path, self._watch = path, watch
        self._faster: asyncio.Task[None] | None = None
        self._intake = Intake(limits.body)
        self._responses = require("starlette.responses", extra="serve", purpose=PURPOSE)
        self._requests = require("starlette.requests", extra="serve", purpose=PURPOSE)
        self._prometheus = require("prometheus_client", extra="serve", purpose=PURPOSE)
        self._registry = self._prometheus.CollectorRegistry()
        count, times = self._prometheus.Counter, self._prometheus.Histogram
        self._counted = count("luthier_requests", "Requests by status.", ["status"], registry=self._registry)
        self._rows = count("luthier_rows", "Rows predicted.", registry=self._registry)
        self._seconds = times(
            "luthier_seconds", "Seconds from request to answer.", registry=self._registry, buckets=SECONDS
        )

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """While the server runs."""
        gc.collect()
        gc.freeze()  # what is loaded stays: without this each full collection stops all answers for a fifth of a second
        switched = sys.getswitchinterval()
        sys.setswitchinterval(SWITCHED)
        with torch_settings(threads=1):  # one request is a few rows: threads would only wait for each other
            reloading = None if self._path is None else asyncio.create_task(self._reloader(self._path).run())
            self._speed_up()
            yield
            for task in filter(None, (reloading, self._faster)):
                task.cancel()
        sys.setswitchinterval(switched)
        gc.unfreeze()
        self.served.batches.close()

    def _reloader(self, path: Path) -> Reloader:
        def put(served: ServedModel) -> None:
            self.served = served
            self._speed_up()

        return Reloader(path, self.served, put, watch=self._watch)

    def _speed_up(self) -> None:
        """Compute by what is faster, where the runtime was left open; of the newest model alone."""
        if self._faster is not None:
            self._faster.cancel()
        if self.served.runtime == "auto":
            self._faster = asyncio.create_task(faster_by_onnx(self.served.answers))

    async def predict(self, request: Any) -> Any:
        """Predictions for the rows, or pictures, of a body."""
        began = time.perf_counter()
        answer = await self.caught(self._predicted, request)
        self._counted.labels(str(answer.status_code)).inc()
        self._seconds.observe(time.perf_counter() - began)
        return answer

    async def health(self, request: Any) -> Any:
        """Whether the process lives, and what its model predicts."""
        task = self.served.model.task
        found: dict[str, object] = {"status": "ok"}
        if self.access.allowed(request):
            found |= {"target": task.target, "task": task.kind, "classes": list(task.classes)}
        return self.json(found)

    async def ready(self, _: Any) -> Any:
        """Whether the model answers, and by what; 503 where it has no prediction for a typical row."""
        try:
            well = await self.served.answers_a_typical_row()
        except Exception:
            log.exception("the model does not answer")
            well = False
        said = {"status": "ready" if well else "not ready", "runtime": self.served.answers.runtime}
        return self.json(said, 200 if well else 503)

    async def metrics(self, request: Any) -> Any:
        """Counts and times, for Prometheus."""

        async def written(request: Any) -> Any:
            self.access.check(request)
            return self._responses.Response(self._counts(), media_type="text/plain; version=0.0.4")

        return await self.caught(written, request)

    def _counts(self) -> bytes:
        """What was counted, by all workers where there are several."""
        registry = self._registry
        if SHARED_COUNTS in os.environ:
            multiprocess = require("prometheus_client.multiprocess", extra="serve", purpose=PURPOSE)
            registry = self._prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        result: bytes = self._prometheus.generate_latest(registry)
        return result

    def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        """A value as a response."""
        return self._written(as_json(value), status, headers)

    def _written(self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        told = {"x-content-type-options": "nosniff", **(headers or {})}
        return self._responses.Response(content, status, told, media_type=JSON)

    async def caught(self, work: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
        """What the work gives; what it raises, as a response."""
        try:
            return await work(request)
        except RefusedError as refused:
            said = {"error": refused.sentence, "fields": refused.errors}
            return self.json(said, refused.status, HEADERS.get(refused.status))
        except self._requests.ClientDisconnect:
            return self.json({"error": "the caller has gone", "fields": []}, 400)
        except Exception:
            log.exception("a request failed")
            return self.json({"error": "the prediction failed; the server's log says why", "fields": []}, 500)

    async def _predicted(self, request: Any) -> Any:
        self.access.check(request)
        served = self.served
        kind = _kind_of(request, served.content)
        rest = served.batches.rest
        async with clock(self._limits.seconds) as time_left, self._intake.body(request, time_left, rest) as body:
            if len(body) <= SMALL:
                return self._written(await self._answer(served, kind, body))
            async with _while_waited_for(request, time_left):
                return self._written(await self._answer(served, kind, body))

    async def _answer(self, served: ServedModel, kind: str, body: bytes) -> bytes:
        """The answer to a body, as JSON."""
        try:
            pieces = await served.reader.read_in_turns(kind, body, self._limits, served.batches.rest)
            found = await served.batches.answers(pieces)
        except LuthierError as error:
            raise RefusedError(422, str(error)) from None
        if None in found:
            row = found.index(None)
            raise RefusedError(422, f"the prediction of row {row} is not a finite number: its values are too large")
        self._rows.inc(len(found))
        if len(found) <= WRITTEN:
            return b'{"predictions":%b}' % as_json(found)
        starts = range(0, len(found), WRITTEN)
        written = (as_json(found[at : at + WRITTEN])[1:-1] for at in starts)
        parts = [part async for part in in_slices(written, served.batches.rest)]
        return b'{"predictions":[%b]}' % b",".join(parts)


@asynccontextmanager
async def _while_waited_for(request: Any, time_left: RequestClock) -> AsyncIterator[None]:
    """Work that ends when the caller goes away."""

    async def gone() -> None:
        await request.receive()  # behind the body nothing comes but the end of the connection
        time_left.stop("the caller has gone")

    watch = asyncio.create_task(gone())
    try:
        yield
    finally:
        watch.cancel()


def _kind_of(request: Any, content: Mapping[str, Any]) -> str:
    kind: str = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    kind = JSON if kind == FORM else kind
    if kind not in content:
        raise RefusedError(415, f"the body must be {' or '.join(content)}, not {kind[:60]}")
    return kind
