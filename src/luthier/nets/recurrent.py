"""Recurrent networks over sequences of unequal lengths: words or signals. B rows, T steps, F numbers of a step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from luthier.errors import ConfigError, nearest
from luthier.shapes import Hidden, Lengths, Outputs, Sequences

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
POOLS = ("mean", "last")


def read_sequence(cell: nn.RNNBase, steps: Sequences, lengths: Lengths, pool: str) -> Hidden:
    """What a cell makes of sequences [B, T, F] of these lengths [B]: its last state, or the mean of all, [B, H].

    Rows are packed, so that steps after a row's end are neither computed nor learnt from.
    """
    packed = nn.utils.rnn.pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states, last = cell(packed)
    if pool == "last":
        final: Tensor = (last[0] if isinstance(last, tuple) else last)[-1]
        return final
    padded, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
    return padded.sum(1) / lengths.unsqueeze(1)


class RecurrentNet(nn.Module):
    """A plain recurrent network, an LSTM or a GRU over signals [B, T, F], and a dense layer [B, outputs] on top.

    `cell` is "rnn", "lstm" or "gru", `pool` "last" or "mean". Steps at a row's end whose every number is `padding`
    do not belong to it. The forget gate of an LSTM begins open (its bias is 1: Jozefowicz and others 2015).

    >>> RecurrentNet(2, 8, 3, cell="gru")(torch.randn(4, 10, 2)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self, inputs: int, units: int, outputs: int, *, cell: str = "lstm", pool: str = "last", padding: float = 0.0
    ) -> None:
        super().__init__()
        mistakes = [
            f"'{name}' is not one of {', '.join(known)}; {nearest(name, known)}".rstrip("; ")
            for name, known in ((cell, CELLS), (pool, POOLS))
            if name not in known
        ]
        if mistakes:
            raise ConfigError(mistakes)
        self.pool, self.padding = pool, padding
        self.cell = CELLS[cell](inputs, units, batch_first=True)
        self.head = nn.Linear(units, outputs)
        if cell == "lstm":
            with torch.no_grad():
                dict(self.cell.named_parameters())["bias_ih_l0"][units : 2 * units] = 1.0

    def forward(self, signals: Sequences) -> Outputs:
        """Outputs [B, outputs]."""
        kept = (signals != self.padding).any(2)
        steps = torch.arange(1, signals.shape[1] + 1, device=signals.device)
        lengths = (kept * steps).amax(1).clamp_min(1)
        result: Tensor = self.head(read_sequence(self.cell, signals, lengths, self.pool))
        return result
