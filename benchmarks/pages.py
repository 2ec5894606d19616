"""Size of each lab page, and how long its first answer takes in headless Chromium: `python -m benchmarks.pages`.

The first answer is the first figure drawn after the question is answered. The slowest of five openings is shown.
Targets: 300 KB, 1,000 ms.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from luthier.labs.pages import page_names, write_pages

REPEATS = 5
ASK = "window.begun = performance.now(); document.querySelector('#question button.main').click();"
TAKEN = """
const seen = performance.getEntriesByName('first-answer')[0];
const opened = performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd;
return seen ? [opened, seen.startTime - window.begun] : null;
"""


def main() -> None:
    """A line for each page."""
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as folder:
        for path in write_pages(page_names(), Path(folder)):
            opened, answered = zip(*(measured(driver, path) for _ in range(REPEATS)), strict=True)
            size = path.stat().st_size / 1000
            print(
                f"{path.stem:<16} {size:5.1f} KB, opened in {max(opened):4.0f} ms, answered in {max(answered):4.0f} ms"
            )
    driver.quit()


def measured(driver: webdriver.Chrome, path: Path) -> tuple[float, float]:
    """Milliseconds until a page is open, and from its question to the first figure."""
    driver.get("about:blank")
    driver.get(path.as_uri())
    driver.execute_script(ASK)
    opened, answered = WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda _: driver.execute_script(TAKEN))
    return opened, answered


if __name__ == "__main__":
    main()
