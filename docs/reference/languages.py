"""For the site: a page of both languages names the other one, and a Chinese page says that it is Chinese."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

CHINESE = ".zh.md"


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """The page with a link to its twin below the title."""
    address = page.file.src_uri
    chinese = address.endswith(CHINESE)
    twin = address.replace(CHINESE, ".md") if chinese else address.removesuffix(".md") + CHINESE
    if files.get_file_from_path(twin) is None:
        return markdown
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n[{'English' if chinese else '中文'}]({twin.rpartition('/')[2]})\n{rest}"


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """The page with its language, which fonts and screen readers follow."""
    chinese = page.file.src_uri.endswith(CHINESE)
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if chinese else output
