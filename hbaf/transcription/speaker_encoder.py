"""A voice -> 256 numbers: the GE2E encoder (Wan et al., 2018) with the weights of Resemblyzer 0.1.4 (Apache-2.0).

Three LSTM layers over mel spectra of 25 ms every 10 ms read partial utterances of 1.6 s. The network is written again
here: of the package only the weights are read, without running anything of it.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hbaf.corpus.sound.audio import SAMPLE_RATE

MELS, HIDDEN, SIZE, LAYERS = 40, 256, 256, 3
WINDOW, HOP = 400, 160  # samples
FRAMES = 160  # of a partial utterance, 1.6 s
STEP = 40  # frames between two of them
LEVEL = 10 ** (-30 / 20)  # root mean square to which a quiet voice is raised
BATCH = 256  # partial utterances at a time


class SpeakerEncoder(nn.Module):
    """Voices that are alike have vectors of a small cosine distance."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, HIDDEN, LAYERS, batch_first=True)
        self.linear = nn.Linear(HIDDEN, SIZE)
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        # Beside them the file holds two numbers of the loss that the network was trained with.
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        self.eval()

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """(batch, frames, 40) mel spectra -> (batch, 256), each of length 1."""
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(F.relu(self.linear(hidden[-1])))

    @torch.no_grad()
    def embed(self, pieces: list[np.ndarray]) -> np.ndarray:
        """One vector for each piece of speech: the mean over its partial utterances.

        Args:
            pieces: (samples,) float32 at 16 kHz each; one shorter than 1.6 s is repeated up to that.

        Returns:
            (pieces, 256) float32, each of length 1.
        """
        parts, owners = [], []
        for number, piece in enumerate(pieces):
            frames = mel_spectrum(_levelled(_long_enough(piece)))
            starts = range(0, max(1, len(frames) - FRAMES + 1), STEP)
            parts += [frames[start : start + FRAMES] for start in starts]
            owners += [number] * len(starts)
        found = torch.cat([self(torch.stack(parts[start : start + BATCH])) for start in range(0, len(parts), BATCH)])
        sums = torch.zeros(len(pieces), SIZE).index_add_(0, torch.tensor(owners), found)
        return F.normalize(sums).numpy()


def mel_spectrum(samples: np.ndarray) -> torch.Tensor:
    """(samples,) -> (frames, 40) power in mel bands, not its logarithm."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(
        torch.from_numpy(samples), WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return spectrum.abs().square().T @ _filters()


@cache
def _filters() -> torch.Tensor:
    """(201, 40) triangles on Slaney's mel scale, of equal area."""
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(WINDOW // 2 + 1, MELS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank).float()


def _long_enough(piece: np.ndarray) -> np.ndarray:
    shortest = FRAMES * HOP
    return np.tile(piece, -(-shortest // len(piece)))[:shortest] if len(piece) < shortest else piece


def _levelled(piece: np.ndarray) -> np.ndarray:
    level = float(np.sqrt(np.mean(np.square(piece, dtype=np.float64))))
    return piece * np.float32(max(1.0, LEVEL / max(level, 1e-6)))
