"""A representation in a few numbers: its principal components and what they leave over. Small enough to keep.

n utterances, W numbers per utterance in the model's input, K components.
"""

from dataclasses import dataclass

import numpy as np

COMPONENTS = 32


@dataclass(frozen=True, eq=False)
class Sketcher:
    """Principal components of one model input, fitted where the model was trained.

    Attributes:
        mean: (W,) float32.
        components: (K, W) float32, orthonormal rows, the widest first.
    """

    mean: np.ndarray
    components: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """(n, W) -> (n, K + 1) float32; the last number is the length of what the components leave over.

        New sounds or words often lie where training never went, so outside of its components. Rows of NaN stay NaN.

        Raises:
            ValueError: another width than it was fitted on.
        """
        if vectors.shape[1] != len(self.mean):
            raise ValueError(f"the reference knows {len(self.mean)} numbers per utterance, not {vectors.shape[1]}")
        centred = vectors.astype(np.float32) - self.mean
        scores = centred @ self.components.T
        rest = np.linalg.norm(centred - scores @ self.components, axis=1)
        return np.column_stack([scores, rest]).astype(np.float32)


def fit_sketcher(vectors: np.ndarray, components: int = COMPONENTS) -> Sketcher | None:
    """Fits on the rows without NaN; None where there are fewer than two.

    Args:
        vectors: (n, W).
        components: K; fewer where W or n is smaller.
    """
    whole = vectors[np.isfinite(vectors).all(1)].astype(np.float32)
    if len(whole) < 2:
        return None
    mean = whole.mean(0)
    kept = min(components, whole.shape[1], len(whole) - 1)
    _, axes = np.linalg.eigh(np.cov(whole - mean, rowvar=False).reshape(whole.shape[1], -1))
    return Sketcher(mean, np.ascontiguousarray(axes[:, ::-1][:, :kept].T, np.float32))
