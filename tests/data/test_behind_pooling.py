"""What stands behind the pooling of a sentence transformer: computed by hand here, or refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.data.test_text_models import with_graph
from tests.sentence_folders import sentence_folder
from torch import Tensor

import luthier
from luthier.bert import BertEncoder
from luthier.data.sentences import source_named
from luthier.data.sentences.model_folder import read_folder
from luthier.errors import InputError

TEXTS = ["a very good film", "bad", "rain. the rain"]
TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"


def with_modules(folder: Path, *kinds: str, library: str = "sentence_transformers.models") -> Path:
    """A folder whose list has these modules behind encoder and pooling."""
    places = ["", "1_Pooling", *(f"{k}_{kind}" for k, kind in enumerate(kinds, 2))]
    listed = [
        {"idx": k, "name": str(k), "path": place, "type": f"{library}.{kind}"}
        for k, (place, kind) in enumerate(zip(places, ("Transformer", "Pooling", *kinds), strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


def with_dense(
    folder: Path, place: str = "2_Dense", shape: tuple[int, int] = (5, 12), activation: object = TANH, **config: Any
) -> Path:
    """A linear layer of [outputs, inputs] in a folder."""
    (folder / place).mkdir()
    torch.manual_seed(sum(map(ord, place)))
    facts = {"in_features": shape[1], "out_features": shape[0], "bias": True, "activation_function": activation}
    (folder / place / "config.json").write_text(json.dumps({**facts, **config}))
    bias = {"linear.bias": torch.randn(shape[0])} if config.get("bias", True) else {}
    save_file({"linear.weight": torch.randn(shape), **bias}, folder / place / "model.safetensors")
    return folder


def pooled(folder: Path) -> Tensor:
    """Means [N, 12] over the tokens of the texts."""
    model, rows = read_folder(folder), list[Tensor]()
    for text in TEXTS:
        ids = torch.tensor([[2, *model.tokenizer.encode(text, add_special_tokens=False).ids, 3]])
        rows.append(model.encoder(ids, torch.ones_like(ids, dtype=torch.bool)).mean(1)[0])
    return torch.stack(rows)


def unit(x: Tensor) -> Tensor:
    return x / x.pow(2).sum(1, keepdim=True).sqrt()


def by_hand(folder: Path, place: str, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    stored = load_file(folder / place / "model.safetensors")
    return f(x @ stored["linear.weight"].T + stored.get("linear.bias", torch.zeros(1)))


@pytest.mark.parametrize(
    ("name", "f"),
    [
        (TANH, torch.tanh),
        (IDENTITY, lambda z: z),
        ("torch.nn.modules.activation.ReLU", lambda z: z.clamp_min(0)),
        ("torch.nn.modules.activation.GELU", lambda z: z * (1 + torch.erf(z / 2**0.5)) / 2),
        ("torch.nn.modules.activation.SiLU", lambda z: z / (1 + torch.exp(-z))),
        ("torch.nn.modules.activation.LeakyReLU", lambda z: torch.where(z > 0, z, 0.01 * z)),
    ],
)
def test_a_linear_layer_behind_the_pooling_is_computed(
    tmp_path: Path, name: str, f: Callable[[Tensor], Tensor]
) -> None:
    folder = with_dense(with_modules(sentence_folder(tmp_path / "model"), "Dense", "Normalize"), activation=name)
    model = read_folder(folder)
    expected = unit(by_hand(folder, "2_Dense", pooled(folder), f))
    assert model.width == expected.shape[1] == 5
    np.testing.assert_allclose(model.vectors(TEXTS), expected.numpy(), rtol=0, atol=1e-6)  # float32
    assert (model.vectors([""]) == 0).all()


def test_layers_stand_in_the_order_of_the_list(tmp_path: Path) -> None:
    folder = with_modules(sentence_folder(tmp_path / "model"), "Normalize", "Dense", "Dense",
                          library="sentence_transformers.sentence_transformer.modules")  # fmt: skip
    with_dense(with_dense(folder, "3_Dense", (7, 12)), "4_Dense", (3, 7), IDENTITY, bias=False)
    first = by_hand(folder, "3_Dense", unit(pooled(folder)), torch.tanh)
    expected = unit(by_hand(folder, "4_Dense", first, lambda z: z))
    np.testing.assert_allclose(read_folder(folder).vectors(TEXTS), expected.numpy(), rtol=0, atol=1e-6)


def test_without_a_list_numbered_folders_are_it(tmp_path: Path) -> None:
    folder = with_dense(sentence_folder(tmp_path / "model"))
    expected = unit(by_hand(folder, "2_Dense", pooled(folder), torch.tanh))
    np.testing.assert_allclose(read_folder(folder).vectors(TEXTS), expected.numpy(), rtol=0, atol=1e-6)


def test_onnx_runtime_reads_below_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_dense(with_modules(sentence_folder(tmp_path / "model"), "Dense"))
    expected = read_folder(folder).vectors(TEXTS)
    by_graph = read_folder(with_graph(folder, folder))
    assert by_graph.graph is not None
    monkeypatch.setattr(BertEncoder, "forward", lambda self, ids, known: pytest.fail("PyTorch reads"))
    np.testing.assert_allclose(by_graph.vectors(TEXTS), expected, rtol=0, atol=1e-5)
    assert next(by_graph.on(torch.device("meta")).layers.parameters()).device.type == "meta"


def test_the_layer_is_part_of_what_a_model_is_known_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the cache would give the vectors of another one, and a saved model would take them."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    plain = read_folder(sentence_folder(tmp_path / "plain"))
    scaled = read_folder(with_modules(sentence_folder(tmp_path / "scaled"), "Normalize"))
    assert scaled.digest == plain.digest  # their vectors are alike
    shape, others = (12, 12), list[str]()
    for k, (activation, bias) in enumerate([(TANH, True), (IDENTITY, True), (TANH, False)]):
        folder = with_modules(sentence_folder(tmp_path / f"model {k}"), "Dense")
        others.append(read_folder(with_dense(folder, shape=shape, activation=activation, bias=bias)).digest)
    assert len({plain.digest, *others}) == 4
    assert source_named(str(tmp_path / "model 0")).digest == others[0]


def _changed(name: str, value: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "2_Dense" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    return change


def _listed(value: object) -> Callable[[Path], object]:
    return lambda folder: (folder / "modules.json").write_text(json.dumps(value))


def _modules(*kinds: str) -> Callable[[Path], object]:
    return _listed([{"path": "1_Pooling", "type": f"sentence_transformers.models.{kind}"} for kind in kinds])


def _pickled(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")


def _pooling(**config: bool) -> Callable[[Path], object]:
    return lambda folder: (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


REFUSED: dict[str, Callable[[Path], object]] = {
    r"not those that are read here(.|\n)*Transformer, Pooling, LayerNorm": _modules(
        "Transformer", "Pooling", "LayerNorm"
    ),
    r"not those that are read here(.|\n)*Transformer, Dense": _modules("Transformer", "Dense", "Pooling"),
    r"not those that are read here(.|\n)*none": _listed([]),
    r"not those that are read here(.|\n)*os.system": _listed([{"path": "", "type": "os.system"}]),
    "modules.json' is not a list of modules": _listed([{"path": "../other", "type": "sentence_transformers.Dense"}]),
    r"not a list of modules(.|\n)*a name": _listed(["a name"]),
    r"activation in .*2_Dense(.|\n)*Tanh(.|\n)*os.system": _changed("activation_function", "os.system"),
    r"activation in(.|\n)*None": _changed("activation_function", None),
    r"does not fit(.|\n)*in_features 12(.|\n)*in_features 9": _changed("in_features", 9),
    r"does not fit(.|\n)*out_features -1": _changed("out_features", -1),
    r"does not fit(.|\n)*token_embeddings": _changed("module_input_name", "token_embeddings"),
    r"missing or of another shape(.|\n)*\[6, 12\](.|\n)*\[5, 12\]": _changed("out_features", 6),
    r"pickled \(pytorch_model.bin\)": _pickled,
    "2_Dense' is not a whole model": lambda folder: (folder / "2_Dense" / "config.json").unlink(),
    r"the pooling (.|\n)*pooling_mode_lasttoken": _pooling(pooling_mode_lasttoken=True),
    r"the pooling (.|\n)*mean_tokens, pooling_mode_max_tokens": _pooling(
        pooling_mode_mean_tokens=True, pooling_mode_max_tokens=True
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_known_is_refused(tmp_path: Path, message: str) -> None:
    folder = with_dense(with_modules(sentence_folder(tmp_path / "model"), "Dense"))
    read_folder(folder)
    REFUSED[message](folder)
    with pytest.raises(InputError, match=message):
        read_folder(folder)


def test_blocks_below_a_linear_layer_are_not_unfrozen(tmp_path: Path) -> None:
    folder = with_dense(with_modules(sentence_folder(tmp_path / "model"), "Dense"))
    with pytest.raises(InputError, match=r"linear layer behind its pooling(.|\n)*5 numbers(.|\n)*--text-model FOLDER"):
        luthier.text_backbone(folder)
