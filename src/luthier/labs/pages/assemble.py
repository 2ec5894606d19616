"""Pages put together: JavaScript modules joined into one script, words of both languages, the frame around them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.errors import ConfigError, nearest
from luthier.labs.pages.mathml import mathml
from luthier.messages import Message

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |function |function\*)", re.MULTILINE)
_NAMED = re.compile(r"^(?:export )?(?:const|let|function\*?) (\w+)(.*)", re.MULTILINE)
_MORE_NAMED = re.compile(r", ([A-Z][A-Z_\d]*) = ")  # further constants of one statement
GALLERY = "index"
Pair = tuple[str, str]  # English, Chinese


@dataclass(frozen=True)
class PageNumber:
    """A number of a page's table: what the document and its original program print, and what the page has to compute.

    The page's own number, named `key` in its script, has to lie within `within` of `value`.
    """

    key: str
    rows: tuple[str, ...]
    what: Pair
    value: float
    within: float
    document: str | Pair = ""  # words in both languages, or a figure
    original: str = ""
    digits: int = 4
    yes: bool = False  # 1 and 0 stand for yes and no
    note: Pair = ("", "")


@dataclass(frozen=True)
class LabPage:
    """The words of a page: its title and claim, the passage of the document, formulas, the question, its numbers.

    `sketch` is its picture in the gallery: SVG paths in a box of 120 by 48, each in a colour of its own.
    """

    name: str
    order: int
    title: Pair
    claim: Pair
    sketch: tuple[str, ...]
    labs: tuple[str, ...]
    place: Pair
    passage: Pair
    formulas: tuple[str, ...]
    question: dict[str, Any]
    numbers: tuple[PageNumber, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """Ids of the source documents' rows that the page plays, each with a number."""
        return tuple(dict.fromkeys(row for number in self.numbers for row in number.rows))


@cache
def pages() -> dict[str, LabPage]:
    """Every page by its name, in their order."""
    read = [_read(path) for path in (_HERE / "words").glob("*.toml")]
    return {page.name: page for page in sorted(read, key=lambda page: page.order)}


def _read(path: Path) -> LabPage:
    words = _frozen(tomllib.loads(path.read_text(encoding="utf-8")))
    return LabPage(name=path.stem, **words | {"numbers": tuple(PageNumber(**_frozen(one)) for one in words["numbers"])})


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    """The table with its lists as tuples."""
    result: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}
    return result


def page_names() -> tuple[str, ...]:
    """The names of all pages, in their order."""
    return tuple(pages())


def page_named(name: str) -> LabPage:
    """A page by its name. ConfigError that names the nearest one."""
    known = pages()
    if name not in known:
        raise ConfigError(
            [
                Message(
                    "there is no page '{name}'; {hint}",
                    name=name,
                    hint=nearest(name, known) or Message("choose from {names}", names=", ".join(known)),
                )
            ]
        )
    return known[name]


def pages_of(lab: str) -> tuple[LabPage, ...]:
    """The pages that play what a lab measures."""
    return tuple(page for page in pages().values() if lab in page.labs)


def write_pages(names: tuple[str, ...], folder: Path, *, gallery: bool = False) -> list[Path]:
    """Write pages into a folder, with `gallery` also the page that leads to all of them; their paths."""
    contents = {name: page_html(name) for name in names} | ({GALLERY: gallery_page()} if gallery else {})
    paths = [folder / f"{name}.html" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        storage.write_text(path, content)
    return paths


def joined(*modules: str) -> str:
    """One script of modules, given below this folder, and all that they import, each once, imports first.

    Modules share one scope in it, so each name is defined once in all of them: ValueError where one is defined twice.
    """
    order: list[Path] = []
    for module in modules:
        _visit((_HERE / module).resolve(), order)
    owner: dict[str, Path] = {}
    for path in order:
        found = _NAMED.findall(path.read_text(encoding="utf-8"))
        for name in (name for first, rest in found for name in (first, *_MORE_NAMED.findall(rest))):
            if name in owner:
                raise ValueError(f"'{name}' is defined in {owner[name].name} and in {path.name}")
            owner[name] = path
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", path.read_text(encoding="utf-8"))).strip() for path in order)


def _visit(path: Path, order: list[Path]) -> None:
    if path in order:
        return
    for imported in _IMPORT.findall(path.read_text(encoding="utf-8")):
        _visit((path.parent / imported).resolve(), order)
    if path not in order:
        order.append(path)


def both(pair: Pair) -> str:
    """A text in both languages, of which the page shows one.

    >>> both(("seeds", "随机种子"))
    '<span lang="en">seeds</span><span lang="zh">随机种子</span>'
    """
    return "".join(f'<span lang="{lang}">{escape(text)}</span>' for lang, text in zip(("en", "zh"), pair, strict=True))


def page_html(name: str) -> str:
    """A page as one HTML file that needs nothing else."""
    page = page_named(name)
    script = f"{joined('frame/app.js', f'play/{name}.js')}\nstart(page);"
    return _document(page.title, f"<main>\n{chr(10).join(_body(page))}\n</main>", script)


def gallery_page() -> str:
    """The page that leads to all others."""
    tiles = (
        f'<li><a href="{page.name}.html">{_sketch(page)}<h2>{both(page.title)}</h2><p>{both(page.claim)}</p></a></li>'
        for page in pages().values()
    )
    title = ("Labs to play with", "可以动手的实验")
    intro = (
        "Each page asks for your prediction, computes in your browser, and works without a network.",
        "每一页先请你预测，然后在浏览器里现场计算，无需联网。",
    )
    head = f'<h1>{both(title)}</h1>\n<p class="claim">{both(intro)}</p>'
    body = f'<main>\n{head}\n<ul class="tiles">\n{chr(10).join(tiles)}\n</ul>\n</main>'
    return _document(title, body, f"{joined('frame/preferences.js')}\nlanguageAndTheme();", here=True)


def _sketch(page: LabPage) -> str:
    paths = "".join(f'<path d="{escape(path)}"/>' for path in page.sketch)
    return f'<svg viewBox="0 0 120 48" aria-hidden="true">{paths}</svg>'


def _document(title: Pair, body: str, script: str, *, here: bool = False) -> str:
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    titles = escape(storage.json_text({"en": title[0], "zh": title[1]}), quote=True)
    link = "" if here else f'<a href="{GALLERY}.html">{both(("All labs", "全部实验"))}</a>'
    return (
        f'<!doctype html>\n<html lang="en" data-titles="{titles}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title[0])}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        f'<div class="bar"><nav>{link}</nav>'
        f'<button type="button" id="language"><span lang="en">中文</span><span lang="zh">English</span></button>'
        f'<button type="button" id="theme">{both(("Light / dark", "浅色／深色"))}</button></div>\n'
        f"{body}\n"
        f'<script type="module">\n{script}\n</script>\n</body>\n</html>\n'
    )


def _body(page: LabPage) -> Iterator[str]:
    yield f'<h1 id="title">{both(page.title)}</h1>\n<p class="claim">{both(page.claim)}</p>'
    yield f"<blockquote><p>{both(page.passage)}</p><footer>{both(page.place)}</footer></blockquote>"
    yield f'<div class="formulas">{"".join(map(mathml, page.formulas))}</div>'
    yield from _question(page.question)
    yield '<div id="played" hidden>'
    yield '<section class="bench" id="bench" aria-labelledby="title"><div id="controls"></div><div class="shown">'
    yield '<p id="message" role="status" aria-live="polite"></p><div id="figures"></div></div></section>'
    yield from _table(page)
    itself, live = ("Measured by the program itself:", "由程序本身测量："), ("Followed while it runs:", "运行时查看：")
    yield f'<p class="small">{both(itself)} <code>luthier lab run {" ".join(page.labs)}</code>'
    yield f"<br>{both(live)} <code>luthier studio runs/</code></p></div>"
    yield from _neighbours(page)
    yield f"<noscript>{both(('This page computes with JavaScript.', '本页需要 JavaScript 才能计算。'))}</noscript>"


def _neighbours(page: LabPage) -> Iterator[str]:
    """Links to the pages before and after it."""
    order = list(pages().values())
    at = order.index(page)
    yield f'<nav class="further" aria-label="{escape(" / ".join(("further pages", "其他页面")))}">'
    sides = (("previous", ("Previous", "上一页"), order[:at][-1:]), ("next", ("Next", "下一页"), order[at + 1 :][:1]))
    for side, said, found in sides:
        for other in found:
            yield f'<a class="{side}" href="{other.name}.html"><small>{both(said)}</small>{both(other.title)}</a>'
    yield "</nav>"


def _question(asked: dict[str, Any]) -> Iterator[str]:
    low, high, step = (asked[name] for name in ("low", "high", "step"))
    middle = low + step * round((high - low) / 2 / step)  # where a browser would put it
    unit = escape(asked.get("unit", ""))
    yield f'<form class="card" id="question" data-answer="{escape(asked["answer"])}" data-unit="{unit}">'
    yield f"<h2>{both(('Your prediction first', '先预测'))}</h2>"
    yield f'<p id="asked">{both(asked["text"])}</p>'
    yield f'<div class="guess"><input type="range" id="guess" aria-labelledby="asked" min="{low}" '
    yield f'max="{high}" step="{step}" value="{middle:g}"><output id="guess-value" for="guess">'
    yield f'{middle:g}{" " * bool(unit)}{unit}</output><button class="main">{both(("Compare", "对照"))}</button>'
    yield f'<button type="button" id="skip">{both(("Skip", "跳过"))}</button></div>'
    yield '<p id="verdict" role="status" aria-live="polite"></p>'
    yield f'<p id="why" hidden>{both(asked["why"])}</p></form>'


def _printed(text: str | Pair) -> str:
    """What a document prints: in both languages where it is words."""
    return both(text) if isinstance(text, tuple) else escape(text) or "–"


def _table(page: LabPage) -> Iterator[str]:
    yield f'<h2 id="numbers-title">{both(("The numbers", "数字对照"))}</h2>'
    heads = (
        ("", ""),
        ("document", "文档"),
        ("original program", "原程序"),
        ("formula, in this browser", "公式（本浏览器计算）"),
    )
    yield '<div class="scroll" tabindex="0" role="region" aria-labelledby="numbers-title">'
    yield '<table id="numbers"><thead><tr>'
    yield "".join(f"<th>{both(head)}</th>" if head[0] else "<td></td>" for head in heads) + "</tr></thead><tbody>"
    for one in page.numbers:
        note = f"<small>{both(one.note)}</small>" if one.note[0] else ""
        yield f"<tr><td>{both(one.what)}{note}</td><td>{_printed(one.document)}</td>"
        yield f"<td>{_printed(one.original)}</td>"
        yield f'<td data-key="{escape(one.key)}" data-digits="{one.digits}"{" data-yes" if one.yes else ""}>…</td></tr>'
    yield "</tbody></table></div>"
