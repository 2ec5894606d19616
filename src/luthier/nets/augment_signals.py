"""Changes of training signals that leave their meaning: speed, place, loudness, noise. B rows, T steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from luthier.errors import ConfigError, nearest
from luthier.shapes import RowNumbers, Signals


class SignalChange(NamedTuple):
    """What a strength means, and for which signals the label stays true."""

    unit: str
    preserves: str


SIGNAL_CHANGES: dict[str, SignalChange] = {
    "speed": SignalChange("share faster or slower", "speech, gestures; not where the tempo matters"),
    "shift": SignalChange("share of the length", "signals that may start a little earlier or later"),
    "loudness": SignalChange("share louder or softer", "signals recognised by their shape, not their amplitude"),
    "noise": SignalChange("standard deviation, relative to that of the row", "most signals"),
}


class AugmentSignals(nn.Module):
    """Signals [B, C, T], changed by chance in training mode, as they are otherwise. `chosen` maps names to strengths.

    >>> AugmentSignals({"speed": 0.1, "noise": 0.05})(torch.zeros(2, 1, 50)).shape
    torch.Size([2, 1, 50])
    """

    def __init__(self, chosen: dict[str, float]) -> None:
        super().__init__()
        mistakes = [
            f"'{name}' is not one of {', '.join(SIGNAL_CHANGES)}; {nearest(name, SIGNAL_CHANGES)}".rstrip("; ")
            for name in chosen
            if name not in SIGNAL_CHANGES
        ]
        mistakes += [
            f"{name}: the strength must be above 0 and below 1, not {s}" for name, s in chosen.items() if not 0 < s < 1
        ]
        if mistakes:
            raise ConfigError(mistakes)
        self.chosen = dict(chosen)

    @torch.no_grad()
    def forward(self, signals: Signals) -> Signals:
        """The signals, changed in training mode."""
        if not self.training or not self.chosen:
            return signals
        rows = len(signals)
        if "speed" in self.chosen or "shift" in self.chosen:
            speed, shift = (_either(rows, self.chosen.get(name, 0.0)).to(signals.device) for name in ("speed", "shift"))
            signals = _moved(signals, speed, shift)
        if "loudness" in self.chosen:
            signals = signals * (1 + _either(rows, self.chosen["loudness"]).view(-1, 1, 1).to(signals.device))
        if "noise" in self.chosen:
            drawn = torch.randn_like(signals, device="cpu")
            deviation = signals.std((1, 2), keepdim=True, correction=0)
            signals = signals + self.chosen["noise"] * deviation * drawn.to(signals.device)
        return signals


def _either(rows: int, strength: float) -> RowNumbers:
    return (torch.rand(rows) * 2 - 1) * strength


def _moved(signals: Signals, speed: RowNumbers, shift: RowNumbers) -> Signals:
    """Each row played faster and later by its shares; what lies outside is silence."""
    length = signals.shape[2]
    indices = torch.linspace(-1, 1, length, dtype=signals.dtype, device=signals.device)
    x = (1 + speed).view(-1, 1).to(signals.dtype) * indices - 2 * shift.view(-1, 1).to(signals.dtype)
    grid = torch.stack([x, torch.zeros_like(x)], 2).unsqueeze(1)
    return F.grid_sample(signals.unsqueeze(2), grid, align_corners=True).squeeze(2)
