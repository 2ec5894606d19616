"""The studio in the language of whoever looks: what was asked on the command line, else what the browser prefers."""

from __future__ import annotations

import os
from typing import Any

import plotly.graph_objects as go

from luthier.messages import LANGUAGES, language, speaking, spoken
from luthier.optional import require


def speak_to_browsers(app: Any) -> None:
    """Each request of a Dash application is answered in one language, and its page says in which."""
    flask = require("flask", extra="studio", purpose="the studio")
    asked = language() if language() != "en" else os.environ.get("LUTHIER_LANG", "")
    page = app.interpolate_index

    @app.server.before_request  # type: ignore[untyped-decorator]
    def _listen() -> None:
        preferred = flask.request.accept_languages.best_match(LANGUAGES, "en")
        flask.g.speaking = speaking(asked if asked in LANGUAGES else preferred)
        flask.g.speaking.__enter__()

    @app.server.teardown_request  # type: ignore[untyped-decorator]
    def _done(error: BaseException | None) -> None:
        if hasattr(flask.g, "speaking"):
            flask.g.speaking.__exit__(None, None, None)

    app.interpolate_index = lambda **parts: page(**parts).replace("<html>", f'<html lang="{language()}">')


def in_words(figure: go.Figure) -> go.Figure:
    """The figure with its axes and lines named in the language of now."""
    for axis in ("xaxis", "yaxis"):
        if title := figure.layout[axis].title.text:
            figure.layout[axis].title.text = spoken(title)
    for line in figure.data:
        if line.name:
            line.name = spoken(line.name)
    return figure
