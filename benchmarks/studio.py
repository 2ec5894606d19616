"""How long the studio takes to answer a moved slider, through HTTP: `python -m benchmarks.studio`.

Each slider of each page is moved over its range as the browser would do it; the figure is the 95th percentile over all
answers of a page. The target is 200 ms.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from werkzeug.serving import make_server

from luthier.studio.app import PAGES, make_app
from luthier.studio.widgets import Page, Slider, Table

MOVES = 120


def request(address: str, page: Page, values: dict[str, Any], moved: str) -> float:
    """Seconds until the answer to one move is there."""
    count = len(page.compute(page.start()).figures)
    outputs = [{"id": f"{page.name}-figure-{k}", "property": "figure"} for k in range(count)]
    outputs += [{"id": f"{page.name}-{name}", "property": "children"} for name in ("numbers", "problem")]
    asked = {
        "output": ".." + "...".join(f"{one['id']}.{one['property']}" for one in outputs) + "..",
        "outputs": outputs,
        "changedPropIds": [f"{page.name}-{moved}.value"],
        "inputs": [
            {
                "id": f"{page.name}-{control.name}",
                "value": values[control.name],
                "property": "contents" if isinstance(control, Table) else "value",
            }
            for control in page.controls
        ],
    }
    body = json.dumps(asked).encode()
    sent = urllib.request.Request(f"{address}/_dash-update-component", body, {"Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(sent) as answer:
        answer.read()
    return time.perf_counter() - began


def main() -> None:
    """A line for each page."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, make_app([Path("runs")]).server, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for page in PAGES.values():
        drawn, values = random.Random(0), {control.name: control.value for control in page.controls}
        sliders = [control for control in page.controls if isinstance(control, Slider)]
        request(address, page, values, sliders[0].name)
        taken = []
        for move in range(MOVES):
            slider = sliders[move % len(sliders)]
            steps = round((slider.high - slider.low) / slider.step)
            values[slider.name] = slider.low + drawn.randint(0, steps) * slider.step
            taken.append(1000 * request(address, page, values, slider.name))
        print(f"{page.title:<22} median {np.median(taken):4.0f} ms, 95th percentile {np.quantile(taken, 0.95):4.0f} ms")
    server.shutdown()


if __name__ == "__main__":
    main()
