"""What a person writes who serves an exported model: FastAPI and ONNX Runtime, a row a dictionary of numbers.

    python -m benchmarks.by_hand model.onnx 8000

The peer of `benchmarks.serving`: the fastest such program that is still short. One thread for the network, as threads
only wait for each other on one row; no checks but pydantic's, no limits, no token, no batches.
"""

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """What is asked."""

    rows: list[dict[str, float | None]]


def application(path: str) -> FastAPI:
    """The application of a classifier of numbers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: Body) -> Any:
        columns = np.array([[row[name] for name in names] for row in body.rows], dtype=np.float64)
        given = {name: columns[:, [k]] for k, name in enumerate(names)}
        shares, classes = session.run(None, given)
        return {
            "predictions": [
                {"prediction": name, "probabilities": share.tolist()}
                for name, share in zip(classes, shares, strict=True)
            ]
        }

    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), port=int(sys.argv[2]), log_level="error", access_log=False)
