"""The application: /predict, /health, /ready, /metrics, and /docs, the page of what the model takes and answers.

Starlette answers; FastAPI writes the description alone, as its own way with a request costs as much as a prediction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import luthier
from luthier.optional import require
from luthier.saved import Model
from luthier.server_address import LOOPBACK
from luthier.serving.access import COOKIE, Access, OwnNames
from luthier.serving.docs_page import ASSETS, POLICY, SCRIPT, assets, page
from luthier.serving.escaping import as_json
from luthier.serving.readers.limits import Limits
from luthier.serving.request_log import LoggedRequests
from luthier.serving.served_model import ServedModel
from luthier.serving.service import PURPOSE, Service

REFUSALS = {
    400: "the body does not match its content type",
    401: "missing or wrong token",
    413: "the body is too large",
    415: "unsupported content type",
    422: "invalid fields",
    503: "timeout",
}


def make_app(
    model: Model,
    *,
    token: str = "",
    origins: Sequence[str] = (),
    limits: Limits | None = None,
    runtime: str = "torch",
    host: str = "",
    names: Sequence[str] = (),
    path: Path | None = None,
    watch: bool = False,
    logged: bool = False,
) -> Any:
    """The ASGI application of a model, computed by the `runtime` "torch", "onnx", or "auto": what is faster.

    With a `token` all but /health asks for it as a bearer; `origins` are web pages that may call (CORS). Where it
    listens on a loopback `host`, it answers to loopback's names and to `names` alone. The model of a `path` is read
    again on SIGHUP, and with `watch` when it changes. With `logged` each request has a line in the log.
    """
    starlette, routing = (
        require(name, extra="serve", purpose=PURPOSE) for name in ("starlette.applications", "starlette.routing")
    )
    service = Service(ServedModel(model, runtime), Access(token), limits or Limits(), path, watch=watch)
    answered = (
        ("/predict", service.predict, "POST"),
        ("/health", service.health, "GET"),
        ("/ready", service.ready, "GET"),
        ("/metrics", service.metrics, "GET"),
    )
    pages = _pages(service)
    app = starlette.Starlette(
        routes=[
            *(routing.Route(path, work, methods=[method]) for path, work, method in answered),
            *(routing.Route(path, partial(service.caught, work)) for path, work in pages.items()),
            routing.Mount(ASSETS, assets()),
        ],
        lifespan=service.lifespan,
    )
    if origins:
        cors = require("starlette.middleware.cors", extra="serve", purpose=PURPOSE)
        allowed = {"allow_methods": ["POST", "GET"], "allow_headers": ["authorization", "content-type"]}
        app.add_middleware(cors.CORSMiddleware, allow_origins=list(origins), **allowed)
    if host in LOOPBACK:
        app.add_middleware(OwnNames, names=names)
    if logged:
        app.add_middleware(LoggedRequests)
    return app


def _pages(service: Service) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    """/docs, its script, and the description that it shows."""
    responses = require("starlette.responses", extra="serve", purpose=PURPOSE)
    access = service.access

    @lru_cache(1)
    def description(served: ServedModel) -> bytes:
        return as_json(describe(service, served))

    async def described(request: Any) -> Any:
        access.check_page(request)
        return responses.Response(description(service.served), media_type="application/json")

    async def shown(request: Any) -> Any:
        root = request.scope.get("root_path", "")
        if access.opens(request):
            answer = responses.RedirectResponse(f"{root}/docs", 303)
            answer.set_cookie(COOKIE, access.cookie, httponly=True, samesite="strict", path=root or "/")
            return answer
        access.check_page(request)
        return responses.HTMLResponse(page(_title(service.served), root), headers={"content-security-policy": POLICY})

    async def script(_: Any) -> Any:
        return responses.Response(SCRIPT, media_type="text/javascript")

    return {"/openapi.json": described, "/docs": shown, "/docs.js": script}


def _title(served: ServedModel) -> str:
    return f"Luthier: {served.model.task.target}"


def describe(service: Service, served: ServedModel) -> dict[str, object]:
    """What is taken and answered, as OpenAPI says it."""
    fastapi = require("fastapi", extra="serve", purpose=PURPOSE)
    security = require("fastapi.security", extra="serve", purpose=PURPOSE)
    app = fastapi.FastAPI(title=_title(served), version=luthier.__version__)
    asked = [fastapi.Depends(security.HTTPBearer(auto_error=False))] if service.access.token else []
    answers = {200: {"description": "one prediction per row", "content": served.answers.content}}
    answers |= {status: {"description": sentence} for status, sentence in REFUSALS.items()}
    body = {"requestBody": {"required": True, "content": served.content}}
    refused = {401: {"description": REFUSALS[401]}}

    def route(path: str, work: Any, **more: Any) -> None:
        app.add_api_route(path, lambda: None, name=work.__name__, description=work.__doc__, **more)

    route("/predict", service.predict, methods=["POST"], openapi_extra=body, responses=answers, dependencies=asked)
    route("/health", service.health)
    route("/ready", service.ready, responses={503: {"description": "the model does not answer"}})
    route("/metrics", service.metrics, responses=refused, dependencies=asked)
    result: dict[str, object] = app.openapi()
    return result
