"""openSMILE's functionals: ComParE 2016, the paper's audio input a^o (Sec. 3.1.1), and eGeMAPS, 88 numbers with names.

openSMILE, its feature sets and what is computed with them are for research only, whatever the package's classifier
says; `mfcc` stands in where that does not fit.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from hbaf.features.extractor import SAMPLE_RATE

VERSION = 1  # raised when the golden vectors move
SHORTEST = round(0.06 * SAMPLE_RATE)  # samples: below 60 ms openSMILE has no frame
SETS = {"compare2016": ("ComParE_2016", 6373), "egemaps": ("eGeMAPSv02", 88)}  # openSMILE's name, numbers


class Functionals:
    """One vector of functionals per utterance. One openSMILE per object, so one per process.

    Args:
        name: a name of `SETS`.
    """

    modality: Literal["audio", "text"] = "audio"
    licence = "audEERING openSMILE: research only, no commercial use"
    commercial = False
    in_processes = True
    selected = True

    def __init__(self, name: str = "compare2016") -> None:
        self.name = name
        self.set, self.dim = SETS[name]
        self._smile: Any = None

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: openSMILE's set and the version of this extractor."""
        return {"name": self.name, "version": VERSION, "set": self.set, "level": "functionals"}

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """Functionals of each signal.

        Args:
            items: float32 (samples,), 16 kHz.

        Returns:
            (items, dim) float32; NaN rows for signals under 60 ms or with samples that are no numbers, which openSMILE
            would take in silence.
        """
        vectors = np.full((len(items), self.dim), np.nan, np.float32)
        for row, signal in enumerate(items):
            signal = np.asarray(signal, np.float32)
            if len(signal) < SHORTEST or not np.isfinite(signal).all():
                continue
            values = self._functionals(signal)
            if np.isfinite(values).all():
                vectors[row] = values
        return vectors

    def _functionals(self, signal: np.ndarray) -> np.ndarray:
        if self._smile is None:
            import opensmile

            self._smile = opensmile.Smile(
                feature_set=opensmile.FeatureSet[self.set], feature_level=opensmile.FeatureLevel.Functionals
            )
        # A call returns the numbers alone; the table that `process_signal` makes of them costs 8 % more time.
        return np.asarray(self._smile(signal, SAMPLE_RATE), np.float32).reshape(-1)
