"""Folders of tiny sentence transformers with random weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from luthier.bert import BertEncoder, BertSizes
from luthier.data.sentences.static_table import wordpiece

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", "a", "very", "rain", "the", "."]
NAMES = {
    "tokens": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "positions": "max_position_embeddings",
    "kinds": "type_vocab_size",
    "epsilon": "layer_norm_eps",
}


def sentence_folder(folder: Path, *, layers: int = 2, seed: int = 0, **config: Any) -> Path:
    """A folder of so many layers; `config` stands in its configuration too."""
    folder.mkdir()
    torch.manual_seed(seed)
    sizes = BertSizes(tokens=len(WORDS), width=12, layers=layers, heads=3, inner=20, positions=16)
    save_file(BertEncoder(sizes).state_dict(), folder / "model.safetensors")
    named = {NAMES[name]: value for name, value in asdict(sizes).items() if name in NAMES}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **named, **config}))
    wordpiece(WORDS).save(str(folder / "tokenizer.json"))
    return folder
