"""For the site: a page of both languages names the other one; a Chinese page says that it is, and its lines join up."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

CHINESE = ".zh.md"
_BLOCK = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_BREAK = re.compile(  # between Chinese characters, and behind their punctuation
    r"(?<=[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef])"
    r"|(?<=[\u3000-\u303f\uff00-\uffef])\n *(?=[`\[A-Za-z])"
)


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """The page with a link to its twin below the title."""
    address = page.file.src_uri
    chinese = address.endswith(CHINESE)
    twin = address.replace(CHINESE, ".md") if chinese else address.removesuffix(".md") + CHINESE
    if files.get_file_from_path(twin) is None:
        return markdown
    if chinese:  # a browser shows a line's end as a blank
        markdown = "".join(part if _BLOCK.match(part) else _BREAK.sub("", part) for part in _BLOCK.split(markdown))
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n[{'English' if chinese else '中文'}]({twin.rpartition('/')[2]})\n{rest}"


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """The page with its language, which fonts and screen readers follow."""
    chinese = page.file.src_uri.endswith(CHINESE)
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if chinese else output
