"""/docs: Swagger's page of what the model takes and answers, brought along, with nothing from elsewhere on it."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from luthier.optional import require

ASSETS = "/static-offline-docs"
# No script of the page's own text runs, whatever a name in the data says; styles are Swagger's.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SCRIPT = """\
SwaggerUIBundle({
  url: document.body.dataset.openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="stylesheet" href="{root}{assets}/swagger-ui.css">
<link rel="icon" href="{root}{assets}/favicon.png">
<title>{title}</title>
</head>
<body data-openapi="{root}/openapi.json">
<div id="swagger-ui"></div>
<script src="{root}{assets}/swagger-ui-bundle.js"></script>
<script src="{root}/docs.js"></script>
</body>
</html>
"""


def page(title: str, root: str = "") -> str:
    """The page of HTML; `root` is the path that a proxy in front adds.

    >>> "<script>alert" in page("<script>alert(1)</script>")
    False
    """
    return PAGE.format(title=escape(title), root=escape(root), assets=ASSETS)


def assets() -> Any:
    """The scripts and styles, as an application to mount."""
    offline = require("fastapi_offline", extra="serve", purpose="serving a model")
    static = require("starlette.staticfiles", extra="serve", purpose="serving a model")
    return static.StaticFiles(directory=Path(str(offline.__file__)).parent / "static")
