"""Honest requests beside a client that asks for too much, or for nonsense: each gets its own answer.

How much later is measured by `python -m benchmarks.serving_neighbours`, with larger neighbours.
"""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("PIL")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import ThreadServer
from tests.serving.neighbours import beside, kinds

SCALE, REQUESTS, CLIENTS = 10, 60, 4
KINDS = {kind: (honest, neighbours) for kind, honest, neighbours in kinds(SCALE)}


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_harmed(kind: str) -> None:
    honest, neighbours = KINDS[kind]
    server = ThreadServer(getattr(models, kind)())
    for name, neighbour in neighbours.items():
        result = asyncio.run(beside(neighbour, server.place, honest(REQUESTS), CLIENTS))
        assert (result.statuses, result.wrong) == ({200: REQUESTS}, 0), name
    server.end()
