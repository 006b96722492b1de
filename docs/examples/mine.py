"""A fusion and a representation of one's own, without a fork: `./mine.py:MyFusion` and `./mine.py:MyFeatures`."""

import numpy as np
import torch
from torch import nn

from hbaf.baselines.inputs import joined
from hbaf.baselines.turns import run_packed
from hbaf.model.batch import DialogueBatch, SystemOutput


class MyFusion(nn.Module):
    """One GRU over [audio ; text], and a second opinion from the utterance itself, mixed by a gate."""

    def __init__(self, *, audio_dim, text_dim, commonsense_dim, emotions, dim=64, dropout=0.2):
        super().__init__()
        width = audio_dim + text_dim
        self.context = nn.GRU(width, dim, batch_first=True, bidirectional=True)
        self.itself = nn.Linear(width, 2 * dim)
        self.gate = nn.Linear(4 * dim, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * dim, emotions)

    def forward(self, batch: DialogueBatch) -> SystemOutput:
        """Scores a padded batch of dialogues."""
        x = joined(batch)  # (B, U, audio_dim + text_dim), zero where a modality is missing
        context = run_packed(self.context, x, batch.mask)  # (B, U, 2 dim); packed, so that padding is never read
        itself = self.itself(x).tanh()
        gate = self.gate(torch.cat([context, itself], -1)).sigmoid()  # (B, U, 1)
        h = self.dropout(gate * context + (1 - gate) * itself)
        calm = 0.001 * h[batch.mask].square().mean()  # a loss of one's own: named, weighted, a scalar
        return SystemOutput(self.classifier(h), {"calm": calm}, {}, {"gate_context": gate.detach()})


class MyFeatures:
    """How loud an utterance is in ten equal parts, in decibel."""

    name, modality, dim = "ten-levels", "audio", 10
    licence, commercial = "Apache-2.0", True
    in_processes, selected = False, False

    def identity(self) -> dict[str, object]:
        """What the vectors are kept under."""
        return {"name": self.name, "version": 1}  # raise the version when the numbers change

    def extract(self, items) -> np.ndarray:
        """One row per signal; NaN where it cannot be computed."""
        rows = np.full((len(items), self.dim), np.nan, np.float32)  # NaN: cannot be computed
        for row, signal in enumerate(items):  # (samples,) float32 at 16 kHz
            if len(signal) >= 1600 and np.isfinite(signal).all():
                parts = np.array_split(signal.astype(np.float64), self.dim)
                rows[row] = [10 * np.log10(np.mean(part**2) + 1e-10) for part in parts]
        return rows
