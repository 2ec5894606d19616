"""The application: /predict, /health, /metrics, and the page that OpenAPI tools read."""

from __future__ import annotations

import asyncio
import gc
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import luthier
from luthier.data import PictureEncoder, TableEncoder
from luthier.errors import LuthierError
from luthier.machine import torch_settings
from luthier.optional import require
from luthier.saved import Model
from luthier.serving.batching import RequestBatches
from luthier.serving.picture_reader import PictureReader
from luthier.serving.predictions import Answers
from luthier.serving.requests import Reader, RefusedError
from luthier.serving.row_reader import RowReader

PURPOSE = "serving a model"


@dataclass(frozen=True)
class Limits:
    """What a request may cost: rows, bytes of its body, and seconds until the answer."""

    rows: int = 10_000
    body: int = 16 << 20
    seconds: float = 30.0


def make_app(
    model: Model,
    *,
    token: str = "",
    origins: Sequence[str] = (),
    limits: Limits | None = None,
    runtime: str = "torch",
) -> Any:
    """The FastAPI application of a model, computed by the `runtime` "torch" or "onnx".

    With a `token`, /predict and /metrics ask for it as a bearer; `origins` are web pages that may call (CORS).
    """
    fastapi, responses, offline, security = (
        require(name, extra="serve", purpose=PURPOSE)
        for name in ("fastapi", "fastapi.responses", "fastapi_offline", "fastapi.security")
    )
    prometheus = require("prometheus_client", extra="serve", purpose=PURPOSE)
    reader, bounds = _reader_of(model), limits or Limits()
    content = dict(reader.content)
    answers = Answers(model, reader, runtime)
    batches = RequestBatches(answers, bounds.rows, reader.few)
    registry = prometheus.CollectorRegistry()
    counted = prometheus.Counter("luthier_requests", "Requests by status.", ["status"], registry=registry)
    predicted = prometheus.Counter("luthier_rows", "Rows predicted.", registry=registry)
    seconds = prometheus.Histogram(
        "luthier_seconds",
        "Seconds from request to answer.",
        registry=registry,
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
    )

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what is loaded stays: without this each full collection stops all answers for a fifth of a second
        with torch_settings(threads=1):  # one request is a few rows: threads would only wait for each other
            yield
        gc.unfreeze()
        batches.close()

    # Its page's scripts come from here: from elsewhere they would need a network, and could read a token.
    app = offline.FastAPIOffline(
        title=f"Luthier: {model.task.target}", version=luthier.__version__, lifespan=lifespan, redoc_url=None
    )
    if origins:
        cors = require("fastapi.middleware.cors", extra="serve", purpose=PURPOSE)
        app.add_middleware(
            cors.CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["POST", "GET"],
            allow_headers=["authorization", "content-type"],
        )

    def allowed(request: Any) -> None:
        given = request.headers.get("authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise RefusedError(401, "the header `Authorization: Bearer TOKEN` is missing or wrong")

    async def answered(request: Any) -> dict[str, Any]:
        allowed(request)
        try:
            async with asyncio.timeout(bounds.seconds):
                found = await predictions(request)
        except TimeoutError:
            raise RefusedError(503, f"no answer within {bounds.seconds:g} s; send fewer rows per request") from None
        except LuthierError as error:
            raise RefusedError(422, str(error)) from None
        predicted.inc(len(found))
        return {"predictions": found}

    async def predictions(request: Any) -> list[dict[str, Any]]:
        body = await _body(request, bounds.body)
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in content:
            raise RefusedError(415, f"the body must be {' or '.join(content)}, not {kind[:60]}")
        reading = (kind, body, bounds.rows)
        rows = await asyncio.to_thread(reader.read, *reading) if reader.decodes else reader.read(*reading)
        return await batches.answers(rows)

    async def predict(request: Any) -> Any:
        """Predictions for the rows, or pictures, of a body."""
        began = time.perf_counter()
        answer = await _caught(answered, request, responses)
        counted.labels(str(answer.status_code)).inc()
        seconds.observe(time.perf_counter() - began)
        return answer

    async def health() -> dict[str, Any]:
        """Whether the model is ready, and what it predicts."""
        return {
            "status": "ok",
            "target": model.task.target,
            "task": model.task.kind,
            "classes": list(model.task.classes),
        }

    async def metrics(request: Any) -> Any:
        """Counts and times, for Prometheus."""

        async def written(request: Any) -> Any:
            allowed(request)
            return responses.Response(prometheus.generate_latest(registry), media_type="text/plain; version=0.0.4")

        return await _caught(written, request, responses)

    described = {"requestBody": {"required": True, "content": content}}
    predict.__annotations__ = metrics.__annotations__ = {"request": fastapi.Request}
    told = {200: {"description": "one prediction per row", "content": answers.content}, **_refusals()}
    asked = [fastapi.Depends(security.HTTPBearer(auto_error=False))] if token else []  # for the page's sake
    app.add_api_route(
        "/predict", predict, methods=["POST"], openapi_extra=described, responses=told, dependencies=asked
    )
    app.add_api_route("/health", health)
    app.add_api_route(
        "/metrics", metrics, responses={401: {"description": "missing or wrong token"}}, dependencies=asked
    )
    return app


async def _caught(work: Callable[[Any], Awaitable[Any]], request: Any, responses: Any) -> Any:
    try:
        found = await work(request)
    except RefusedError as refused:
        content = {"error": refused.sentence, "fields": refused.errors}
        return responses.JSONResponse(content, refused.status)
    return found if hasattr(found, "status_code") else responses.JSONResponse(found)


async def _body(request: Any, most: int) -> bytes:
    """The body, given up as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise RefusedError(413, f"the body is larger than {most:,} bytes")
        parts.append(part)
    return b"".join(parts)


def _reader_of(model: Model) -> Reader:
    if isinstance(model.encoder, PictureEncoder):
        return PictureReader(model.encoder)
    assert isinstance(model.encoder, TableEncoder)
    return RowReader(model.encoder, model.typical_row())


def _refusals() -> dict[int | str, dict[str, Any]]:
    words = {
        400: "the body does not match its content type",
        401: "missing or wrong token",
        413: "the body is too large",
        415: "unsupported content type",
        422: "invalid fields",
        503: "timeout",
    }
    return {status: {"description": sentence} for status, sentence in words.items()}
