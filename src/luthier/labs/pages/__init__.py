"""Labs that compute in the reader's browser: one HTML file each, put together from plain JavaScript modules."""

from __future__ import annotations

from luthier.labs.pages.assemble import gallery_page, page_html, page_names, write_pages

__all__ = ["gallery_page", "page_html", "page_names", "write_pages"]
