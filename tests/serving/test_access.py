"""Who may ask, by what name, and what a page makes of names that come from data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from tests.serving import models
from tests.serving.neighbours import ROW

from luthier.cli.serve import _token
from luthier.errors import ConfigError, InputError
from luthier.serving.application import make_app
from luthier.serving.escaping import as_json

BODY = json.dumps({"rows": [ROW]})
PATHS = ("/predict", "/metrics", "/docs", "/openapi.json")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = make_app(models.table(), token="a-secret", host="127.0.0.1", names=("Model.example",))
    with TestClient(app, base_url="http://localhost:8000", follow_redirects=False) as result:
        yield result


def status(client: TestClient, path: str, **headers: str) -> int:
    method = "POST" if path == "/predict" else "GET"
    answer = client.request(method, path, content=BODY if method == "POST" else None, headers=headers)
    return int(answer.status_code)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "given", ["", "a-secret", "Bearer", "Bearer wrong", "Bearer a-secret-", "Basic a-secret", "Bearer \xfc"]
)
def test_nothing_without_the_token(client: TestClient, path: str, given: str) -> None:
    headers = {"authorization": given.encode("latin-1")} if given else {}
    assert status(client, path, **headers) == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER "])
def test_the_scheme_is_written_in_any_case(client: TestClient, path: str, scheme: str) -> None:
    assert status(client, path, authorization=f"{scheme} a-secret") == 200


def test_health_says_what_is_predicted_to_those_who_may_know(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/health", headers={"authorization": "bearer a-secret"}).json()["classes"] == ["no", "yes"]


def test_a_browser_opens_the_page_with_the_token_in_its_address(client: TestClient) -> None:
    """What it keeps is not the token, and opens the page alone."""
    assert client.get("/docs?token=wrong").status_code == 401
    answer = client.get("/docs?token=a-secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    assert "a-secret" not in answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    assert status(client, "/predict") == status(client, "/metrics") == 401
    client.cookies.clear()


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        *[
            (name, 200)
            for name in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000", "[::1]", "")
        ],
        *[(name, 200) for name in ("luthier.localhost:80", "localhost.", "box:8000", "model.EXAMPLE:443", "10.0.0.7")],
        *[(name, 403) for name in ("evil.example", "evil.example:8000", "evil.example.", "localhost.evil.example")],
        *[(name, 403) for name in ("127.0.0.1.evil.example", "127.0.0.1.nip.io:8000", "x.model.example", "1.2.3.4.5")],
    ],
)
def test_on_loopback_no_name_of_a_stranger_is_answered(client: TestClient, host: str, wanted: int) -> None:
    """DNS rebinding: a page's own name means 127.0.0.1 for a moment."""
    for path in (*PATHS, "/health", "/docs.js", "/nothing"):
        result = status(client, path, host=host, authorization="bearer a-secret")
        assert result == (wanted if wanted == 403 or path != "/nothing" else 404)


def test_elsewhere_any_name_is_answered() -> None:
    with TestClient(make_app(models.table(), host="0.0.0.0"), base_url="http://model.example") as client:
        assert client.get("/health").status_code == 200


def test_what_curl_calls_a_form_is_json() -> None:
    with TestClient(make_app(models.table())) as client:
        for kind in ("application/x-www-form-urlencoded", "Application/JSON; charset=utf-8", None):
            headers = {} if kind is None else {"content-type": kind}
            assert client.post("/predict", content=BODY, headers=headers).status_code == 200


def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-secret\n")
    assert _token("", path, False) == _token("of the environment", path, False) == "a-secret"
    with pytest.raises(ConfigError, match="one of them"):
        _token("typed", path, True)
    for content in (b"", b" \n", b"two words", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="token"):
            _token("", path, False)
    with pytest.raises(InputError, match="cannot be read"):
        _token("", tmp_path / "none", False)


NASTY = "</title></script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>&\"'`\u2028\u2029${7*7}"


class Elements(HTMLParser):
    """The elements of a page, and its title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] == "title" and not self.title:
            self.title = data


@pytest.fixture(scope="module")
def nasty() -> Iterator[TestClient]:
    with TestClient(make_app(models.table("multiclass", NASTY, ("a", NASTY, "c")))) as result:
        yield result


def test_a_target_is_a_title_not_a_script(nasty: TestClient) -> None:
    answer = nasty.get("/docs")
    page = Elements(answer.text)
    assert page.names.count("script") == 2
    assert "img" not in page.names
    assert page.title == f"Luthier: {NASTY}"
    assert "unsafe-inline" not in answer.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]


def test_no_answer_holds_markup(nasty: TestClient) -> None:
    """Names, labels and what callers sent: the same text, but no character that a page would take for more."""
    wrong = json.dumps({"rows": [{**ROW, NASTY: 1, "size": NASTY, "day": NASTY}]})
    answers = [nasty.post("/predict", content=BODY), nasty.post("/predict", content=wrong)]
    answers += [nasty.get("/health"), nasty.get("/openapi.json")]
    for answer in answers:
        assert not set("<>&\u2028\u2029") & set(answer.text), answer.text
        assert answer.headers["content-type"] == "application/json"
    assert NASTY in answers[0].json()["predictions"][0]["probabilities"]
    assert NASTY[:40] in json.dumps(answers[1].json())
    assert answers[2].json()["target"] == NASTY
    assert answers[3].json()["info"]["title"] == f"Luthier: {NASTY}"


@pytest.mark.browser
def test_no_name_runs_in_a_browser(browser: Any) -> None:
    import time

    from tests.serving.asking import ThreadServer

    server = ThreadServer(models.table("multiclass", NASTY, ("a", NASTY, "c")))
    browser.get(f"{server.address}/docs")
    for _ in range(100):
        if "/predict" in browser.find_element("tag name", "body").text:
            break
        time.sleep(0.1)
    body = browser.find_element("tag name", "body").text
    assert "/predict" in body
    assert "window.harmed=1" in body
    assert browser.execute_script("return window.harmed") is None
    server.end()


def test_json_of_anything_is_read_back() -> None:
    for value in (NASTY, {NASTY: [NASTY]}, "\ud800", "猫"):
        assert json.loads(as_json(value)) == value
    assert "猫".encode() in as_json("猫")
    with pytest.raises(ValueError, match="JSON"):
        as_json(float("nan"))
