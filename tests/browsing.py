"""What tests with a real browser share."""

from __future__ import annotations

import json
from typing import Any


def elsewhere(browser: Any, own: str) -> list[str]:
    """Addresses that the browser asked for since it was last asked this, beside a page's `own` ones and data."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith(own) for url in sent)
    return [url for url in sent if not url.startswith((own, "data:", "blob:"))]


def drawn(browser: Any) -> None:
    """Wait until a report's script has drawn its figures, or fail as it did."""
    failure = browser.execute_async_script("drawn.then(() => arguments[0](''), (error) => arguments[0](String(error)))")
    assert not failure
