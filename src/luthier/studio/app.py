"""The pages in the browser: a Dash application that asks nothing of the network, behind a token off loopback."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from luthier.labs.pages import gallery_page, page_html, page_names
from luthier.messages import Message, spoken, tr
from luthier.optional import require
from luthier.recipe import worded
from luthier.server_address import LOOPBACK
from luthier.studio import descent, network_pages, small
from luthier.studio.live import Growth, curves, growth, runs_below, scatter
from luthier.studio.spoken_pages import speak_to_browsers
from luthier.studio.widgets import Page, SelectBox, Shown, Slider, Table, soft

PAGES: dict[str, Page] = {page.name: page for page in (*small.PAGES, *descent.PAGES, *network_pages.PAGES)}
# Names of offline pages, where they differ.
OFFLINE = {"scales": "search", "paths": "landscapes", "range": "schedules", "weights": "first_weights"}
COOKIE = "luthier-studio"
EVERY = 2000  # milliseconds between looks at a run
LARGEST_FILE = 1_000_000  # bytes of a table of one's own
PLAY = """
function(clicks, ticks, value, low, high, step) {
    const by = window.dash_clientside.callback_context.triggered_id;
    if (typeof by === "string" && by.endsWith("-run")) { return [low, false]; }
    const stride = Math.max(step, Math.round((high - low) / 40 / step) * step);
    const next = Math.min(high, value + stride);
    return [next, next >= high];
}
"""


def make_app(runs: Sequence[Path], *, token: str = "", host: str = "127.0.0.1") -> Any:
    """The Dash application over these runs. With a `token` nothing is answered without it.

    MissingExtraError where Dash is not installed.
    """
    dash = require("dash", extra="studio", purpose="the studio")
    app = dash.Dash(
        __name__,
        title="Luthier studio",
        suppress_callback_exceptions=True,
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
    )
    speak_to_browsers(app)
    _guard(app.server, token, host)
    app.layout = partial(_frame, dash)
    _serve_offline_pages(app.server)
    _follow_runs(dash, app, list(runs))
    for page in PAGES.values():
        _connect(dash, app, page)

    @app.callback(dash.Output("content", "children"), dash.Input("where", "pathname"))  # type: ignore[untyped-decorator]
    def _show(pathname: str) -> Any:
        page = PAGES.get((pathname or "/").removeprefix("/lab/"))
        return _runs_page(dash, list(runs)) if page is None else _lab_page(dash, page)

    return app


def _guard(server: Any, token: str, host: str) -> None:
    """Refuse who does not know the token; on loopback, who came by another name (DNS rebinding)."""
    flask = require("flask", extra="studio", purpose="the studio")

    @server.before_request  # type: ignore[untyped-decorator]
    def _check() -> Any:
        named = (flask.request.host or "").rsplit(":", 1)[0].strip("[]")
        if host in LOOPBACK and named not in LOOPBACK:
            return flask.Response(tr("the studio answers requests from this machine only"), 403)
        if not token or hmac.compare_digest(flask.request.cookies.get(COOKIE, ""), token):
            return None
        if hmac.compare_digest(flask.request.args.get("token", ""), token):
            answer = flask.redirect(flask.request.path)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
            return answer
        return flask.Response(tr("open the address printed by `luthier studio`; it ends with the token"), 401)


def _serve_offline_pages(server: Any) -> None:
    """The labs' pages that ask for a prediction first, as `luthier lab page` writes them."""
    flask = require("flask", extra="studio", purpose="the studio")

    @server.route("/pages/<name>.html")  # type: ignore[untyped-decorator]
    def _page(name: str) -> Any:
        if name not in ("index", *page_names()):
            return flask.Response(tr("there is no page '{name}'", name=name), 404)
        return gallery_page() if name == "index" else page_html(name)


def _frame(dash: Any) -> Any:
    html, dcc = dash.html, dash.dcc
    links = [
        dcc.Link(tr("Runs"), href="/"),
        *(dcc.Link(spoken(page.title), href=f"/lab/{page.name}") for page in PAGES.values()),
    ]
    links.append(html.A(tr("All lab pages"), href="/pages/index.html"))
    return html.Div(
        [
            dcc.Location(id="where"),
            html.Header([html.Strong(tr("Luthier studio")), html.Nav(links)]),
            html.Main(id="content"),
        ]
    )


def _lab_page(dash: Any, page: Page) -> Any:
    html, dcc = dash.html, dash.dcc
    shown = page.compute(page.start())
    controls = [
        html.Div(
            [
                html.Label(_label(control), htmlFor=_id(page, control.name), id=f"{page.name}-{control.name}-label"),
                _control(dash, page, control),
            ],
            className="control",
        )
        for control in page.controls
    ]
    if page.play:
        controls.append(html.Button(tr("Run"), id=f"{page.name}-run"))
        controls.append(dcc.Interval(id=f"{page.name}-clock", interval=60, disabled=True))
    drawn = [
        html.Figure(
            [
                html.Figcaption(spoken(words)),
                dcc.Graph(
                    id=f"{page.name}-figure-{k}", figure=figure, config={"displayModeBar": False, "responsive": True}
                ),
            ]
        )
        for k, (words, figure) in enumerate(shown.figures)
    ]
    return [
        html.H1(spoken(page.title)),
        html.P(
            [
                tr("{claim}. ", claim=Message(page.claim)),
                html.A(tr("Predict first ▸"), href=f"/pages/{OFFLINE.get(page.name, page.name)}.html"),
            ]
        ),
        html.Div(
            [
                html.Div(controls, className="controls"),
                html.Div(
                    [
                        html.Dl(_numbers(dash, shown), id=f"{page.name}-numbers"),
                        html.P(spoken(shown.problem), id=f"{page.name}-problem", className="warning", role="alert"),
                        *drawn,
                    ]
                ),
            ],
            className="bench",
        ),
    ]


def _control(dash: Any, page: Page, control: Slider | SelectBox | Table) -> Any:
    dcc, name = dash.dcc, _id(page, control.name)
    if isinstance(control, Table):
        return dcc.Upload(
            dash.html.Button(tr("Choose a file"), type="button"), id=name, max_size=LARGEST_FILE, accept=".csv"
        )
    if isinstance(control, SelectBox):
        options = [{"label": spoken(one), "value": one} for one in control.options]
        return dcc.Dropdown(options, control.value, id=name, clearable=False, searchable=False)
    marks = {v: f"{control.given(v):.3g}" for v in (control.low, control.high)}
    return dcc.Slider(
        control.low,
        control.high,
        control.step,
        value=control.value,
        id=name,
        marks=marks,
        updatemode="drag",
        tooltip={"placement": "top"},
    )


def _connect(dash: Any, app: Any, page: Page) -> None:
    """What follows from a page's controls."""
    count = len(page.compute(page.start()).figures)
    outputs = [dash.Output(f"{page.name}-figure-{k}", "figure") for k in range(count)]
    outputs += [dash.Output(f"{page.name}-numbers", "children"), dash.Output(f"{page.name}-problem", "children")]
    inputs = [dash.Input(_id(page, c.name), "contents" if isinstance(c, Table) else "value") for c in page.controls]

    @app.callback(*outputs, *inputs, prevent_initial_call=True)  # type: ignore[untyped-decorator]
    def _compute(*given: Any) -> list[Any]:
        values = {
            control.name: control.given(_text(value) if isinstance(control, Table) else value)  # type: ignore[arg-type]
            for control, value in zip(page.controls, given, strict=True)
        }
        shown = page.compute(values)
        figures: list[Any] = [figure for _, figure in shown.figures] or [dash.no_update] * count
        return [*figures, _numbers(dash, shown), spoken(shown.problem)]

    if page.play:
        slider = next(control for control in page.controls if control.name == page.play)
        assert isinstance(slider, Slider)
        name = _id(page, page.play)
        app.clientside_callback(
            PLAY,
            dash.Output(name, "value"),
            dash.Output(f"{page.name}-clock", "disabled"),
            dash.Input(f"{page.name}-run", "n_clicks"),
            dash.Input(f"{page.name}-clock", "n_intervals"),
            dash.State(name, "value"),
            dash.State(name, "min"),
            dash.State(name, "max"),
            dash.State(name, "step"),
            prevent_initial_call=True,
        )


def _label(control: Slider | SelectBox | Table) -> str:
    label = Message(control.label)
    power = isinstance(control, Slider) and control.log
    return tr("{label}, as a power of ten", label=label) if power else label.spoken()


def _id(page: Page, control: str) -> str:
    return f"{page.name}-{control}"


def _text(contents: str | None) -> str:
    """The text of an uploaded file; a problem in words is left to the page where it is none."""
    if not contents:
        return ""
    try:
        return base64.b64decode(contents.partition(",")[2], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return "not text"


def _numbers(dash: Any, shown: Shown) -> list[Any]:
    html = dash.html
    return [html.Div([html.Dt(spoken(name)), html.Dd(spoken(value))]) for name, value in shown.numbers]


def _runs_page(dash: Any, paths: list[Path]) -> Any:
    html, dcc = dash.html, dash.dcc
    result = [str(path) for path in runs_below(paths)]
    named = ", ".join(map(str, paths))
    return [
        html.H1(tr("Runs")),
        html.P(
            tr("In {named}." if result else "No run in {named} yet; start one with luthier fit.", named=named),
            id="runs-none",
        ),
        html.Label(tr("run"), htmlFor="run"),
        dcc.Dropdown(result, result[0] if result else None, id="run", clearable=False),
        dcc.Interval(id="runs-clock", interval=EVERY),
        html.Dl(id="run-numbers"),
        html.Div(
            [
                html.Figure(
                    [
                        html.Figcaption(tr("Losses of the latest populations (dotted: training)")),
                        dcc.Graph(id="run-curves", figure=soft(go.Figure()), config={"displayModeBar": False}),
                    ]
                ),
                html.Figure(
                    [
                        html.Figcaption(tr("The latest population of several networks; each dot is a network")),
                        dcc.Graph(id="run-scatter", figure=soft(go.Figure()), config={"displayModeBar": False}),
                    ]
                ),
            ],
            id="run-figures",
        ),
        html.H2(tr("Findings")),
        html.Ul(id="run-findings"),
        html.H2(tr("Decisions")),
        html.Div(html.Table(id="run-decisions"), className="scroll"),
    ]


def _follow_runs(dash: Any, app: Any, paths: list[Path]) -> None:
    outputs = [
        dash.Output("run-numbers", "children"),
        dash.Output("run-curves", "figure"),
        dash.Output("run-scatter", "figure"),
        dash.Output("run-figures", "hidden"),
        dash.Output("run-findings", "children"),
        dash.Output("run-decisions", "children"),
        dash.Output("run", "options"),
    ]

    @app.callback(*outputs, dash.Input("runs-clock", "n_intervals"), dash.Input("run", "value"))  # type: ignore[untyped-decorator]
    def _look(ticks: int | None, chosen: str | None) -> list[Any]:
        known = {str(path): path for path in runs_below(paths)}
        if chosen not in known:  # no other path is opened, whatever the browser asks for
            return [*[dash.no_update] * 6, list(known)]
        now = growth(known[chosen])
        several = [one for one in now.populations if one[1]["member"].n_unique() > 1]
        return [
            _numbers(dash, Shown((), tuple(_facts(now)))),
            curves(now.populations),
            scatter(several[-1:] or now.populations[-1:]),
            not now.populations,  # a transfer keeps no curves
            [dash.html.Li(one.get("sentence") or one.get("title", "")) for one in map(worded, now.of_kind("finding"))]
            or dash.html.Li(tr("none")),
            _decisions(dash, now),
            list(known),
        ]


def _facts(now: Growth) -> list[tuple[str, str]]:
    facts = [
        ("status", now.status),
        ("decisions", str(len(now.of_kind("decision")))),
        ("populations", str(len(now.populations))),
    ]
    judged = now.of_kind("judgement")
    return [*facts, ("verdict", str(worded(judged[-1]).get("sentence", "")))] if judged else facts


def _decisions(dash: Any, now: Growth) -> list[Any]:
    html = dash.html
    rows = [
        html.Tr([html.Td(str(one[name])) for name in ("step", "topic", "chosen", "reason")])
        for one in map(worded, reversed(now.of_kind("decision")))
    ]
    return [
        html.Thead(html.Tr([html.Th(tr(name)) for name in ("recipe step", "question", "answer", "reason")])),
        html.Tbody(rows),
    ]
