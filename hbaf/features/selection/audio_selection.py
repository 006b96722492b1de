"""Scaling and SVM selection: 6373 numbers -> the 512 best, fitted on the train split only (Sec. 3.1.1).

Decision (docs/method.md): z-scores fitted in float64 and clipped to ±10, a one-vs-rest linear SVM on them, numbers
ranked by mean absolute weight over the classes. The same object without a selection is the z-score of any other column.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hbaf.features.selection.linear_svm import fit_linear_svm
from hbaf.home import write_atomically

CLIP = 10.0  # standard deviations: openSMILE gives values up to 1e12 in ordinary speech
BLOCK = 512  # columns whose float64 copy is held at once
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AudioSelection:
    """A fitted scaling and selection.

    Attributes:
        mean: (dim,) float64 of the train rows.
        scale: (dim,) float64, their standard deviation; 1 where a number never changes.
        clip: bound of the z-scores, standard deviations.
        indices: (kept,) int64, ascending; None keeps all.
        source: digest of the column that it was fitted on.
        train: digest of the ids of the rows that it was fitted on.
        fill: (dim,) float64, the median of the train rows for each number, which stands in for single missing values;
            None: a row with a missing value is a missing row.
        converged: whether the SVM reached its tolerance. Where not, the ranking is that of its last step.
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float = CLIP
    indices: np.ndarray | None = None
    source: str = ""
    train: str = ""
    converged: bool = True
    fill: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """Numbers per row that come out."""
        return len(self.mean) if self.indices is None else len(self.indices)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim of the column) -> (n, kept) float32 in -clip..clip.

        A row with NaN becomes all NaN; where `fill` is there, only a row of nothing but NaN does.

        Raises:
            ValueError: another width than it was fitted on.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise ValueError(f"the scaling was fitted on {len(self.mean)} numbers per row, not {vectors.shape}")
        if self.fill is not None:
            vectors = filled_in(vectors, self.fill)
        kept = slice(None) if self.indices is None else self.indices
        present = ~np.isnan(vectors).any(axis=1)
        scaled = np.full((len(vectors), self.dim), np.nan, np.float32)
        mean, scale = self.mean[kept], self.scale[kept]
        chosen = vectors if self.indices is None else vectors[:, self.indices]
        rows = slice(None) if present.all() else present  # a slice copies nothing
        for start in range(0, self.dim, BLOCK):
            block = slice(start, start + BLOCK)
            z = chosen[rows, block].astype(np.float64)
            z -= mean[block]
            z /= scale[block]
            scaled[rows, block] = np.clip(z, -self.clip, self.clip, out=z)
        return scaled

    def digest(self) -> str:
        """sha256 of the numbers and of what they were fitted on."""
        hasher = hashlib.sha256(json.dumps(self._facts(), sort_keys=True).encode())
        for name, values in sorted(self._arrays().items()):
            hasher.update(name.encode())
            hasher.update(np.ascontiguousarray(values).tobytes())
        return hasher.hexdigest()

    def save(self, path: Path) -> None:
        """Writes safetensors with the facts as JSON in its header."""
        from safetensors.numpy import save

        facts = {"selection": json.dumps(self._facts(), sort_keys=True), "digest": self.digest()}
        write_atomically(path, save(self._arrays(), metadata=facts))

    @classmethod
    def load(cls, path: Path) -> "AudioSelection":
        """Reads what `save` wrote.

        Raises:
            ValueError: it holds something else, or was damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as stored:
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
                metadata = stored.metadata() or {}
            selection = cls(
                mean=arrays["mean"],
                scale=arrays["scale"],
                indices=arrays.get("indices"),
                fill=arrays.get("fill"),
                **json.loads(metadata["selection"]),
            )
            whole = selection.digest() == metadata["digest"]
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: no selection in it ({error}). Train again, or name another file.") from error
        if not whole:
            raise ValueError(f"{path}: its content does not match its digest, so it was damaged. Train again.")
        return selection

    def _facts(self) -> dict[str, object]:
        return {"clip": self.clip, "source": self.source, "train": self.train, "converged": self.converged}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"mean": self.mean, "scale": self.scale}
        if self.fill is not None:
            arrays["fill"] = self.fill
        return arrays if self.indices is None else {**arrays, "indices": self.indices}


def fit_selection(
    vectors: np.ndarray,
    labels: np.ndarray | None = None,
    select: int | None = None,
    svm_c: float = 0.001,
    *,
    source: str = "",
    train: str = "",
    fill_in: bool = False,
) -> AudioSelection:
    """Fits scaling and, where asked for, selection on the rows given: the train split's and no other.

    Args:
        vectors: (n, dim) float32; rows with NaN or infinity are left out.
        labels: (n,) class index, -1 for unlabelled rows, which count for the scaling alone; needed for a selection.
        select: how many numbers to keep; None, or at least dim, keeps all.
        svm_c: C of the linear SVM; smaller regularises more.
        source: digest of the column, kept with the result.
        train: digest of the rows' ids, kept with the result.
        fill_in: rows that lack single values count, with the median of the train rows in their place.

    Raises:
        ValueError: no usable row, or fewer than two classes to select by.
    """
    fill = _medians(vectors) if fill_in else None
    if fill is not None:
        vectors = filled_in(vectors, fill)
    usable = np.isfinite(vectors).all(axis=1)
    if not usable.any():
        raise ValueError(f"none of {len(vectors)} rows has a whole vector, so no scaling can be fitted")
    mean, scale = _fit_scale(vectors, usable)
    scaling = AudioSelection(mean, scale, source=source, train=train, fill=fill)
    if select is None or select >= vectors.shape[1]:
        return scaling
    if labels is None or len(labels) != len(vectors):
        raise ValueError(f"a selection needs one label per row, {len(vectors)} in all")
    labelled = usable & (np.asarray(labels) >= 0)
    classes = np.asarray(labels)[labelled]
    if len(np.unique(classes)) < 2:
        raise ValueError(f"a selection needs two classes or more; the {labelled.sum()} labelled rows have fewer")
    weights, converged = fit_linear_svm(scaling.apply(vectors[labelled]), classes, svm_c)
    if not converged:
        logger.warning(
            "The SVM that ranks audio numbers did not converge; its ranking is used and marked so. "
            "A smaller svm_c converges sooner."
        )
    importance = np.abs(weights).mean(axis=0)
    best = np.argsort(-importance, kind="stable")[:select]
    return AudioSelection(mean, scale, CLIP, np.sort(best).astype(np.int64), source, train, converged, fill)


def identity_scaling(dim: int) -> AudioSelection:
    """Changes nothing but the clip: for a modality that the train split has no vector of."""
    return AudioSelection(np.zeros(dim), np.ones(dim))


def filled_in(vectors: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """(n, dim) with the values of `fill` in place of single missing values; rows of nothing but NaN stay."""
    missing = np.isnan(vectors)
    single = missing & ~missing.all(axis=1, keepdims=True)
    return np.where(single, fill.astype(np.float32), vectors)


def _medians(vectors: np.ndarray) -> np.ndarray:
    """(dim,) float64: the median of the finite values of each number, 0 where there is none."""
    medians = np.zeros(vectors.shape[1])
    for number in range(vectors.shape[1]):
        values = vectors[:, number].astype(np.float64)
        values = values[np.isfinite(values)]
        medians[number] = np.median(values) if len(values) else 0.0
    return medians


def _fit_scale(vectors: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = np.empty(vectors.shape[1]), np.empty(vectors.shape[1])
    for start in range(0, vectors.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        values = vectors[usable, block].astype(np.float64)
        mean[block], scale[block] = values.mean(axis=0), values.std(axis=0)
    # A constant column has a deviation of rounding size, which would blow rounding errors up to z-scores of ±10.
    constant = scale <= 1e-9 * np.abs(mean)
    scale[constant | (scale == 0)] = 1.0
    return mean, scale
