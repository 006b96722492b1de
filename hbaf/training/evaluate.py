"""Metrics, and the only reader of the test split.

Weighted F1 is the field's metric; beside it macro F1, unweighted average recall (UAR), accuracy and F1 per class.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import nn

from hbaf.corpus.schema import Corpus
from hbaf.files import append_line
from hbaf.home import home_folder
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.statistics import Score, accuracy, class_f1, confusion, counts_by, macro_f1, uar, weighted_f1
from hbaf.training.data import Dialogue, LengthBuckets, SplitError, Vectors, collate, label_indices, make_dialogues
from hbaf.training.package import ModelPackage

SCORES: dict[str, Score] = {"weighted_f1": weighted_f1, "macro_f1": macro_f1, "uar": uar, "accuracy": accuracy}


class LabelsError(ValueError):
    """The labels of a corpus are not those of the model that is measured on it."""


def metrics(truth: np.ndarray, predicted: np.ndarray, emotions: Sequence[str]) -> dict[str, float]:
    """Metrics of labelled utterances.

    Args:
        truth: (n,) class indices.
        predicted: (n,) class indices.

    Returns:
        weighted_f1, macro_f1, uar, accuracy and f1/<emotion>, each 0..1.

    Raises:
        ValueError: there are none.
    """
    if not len(truth):
        raise ValueError("there is no labelled utterance to score.")
    counts = confusion(truth, predicted, len(emotions))
    return {
        **{name: float(score(counts)) for name, score in SCORES.items()},
        **{f"f1/{emotion}": float(value) for emotion, value in zip(emotions, class_f1(counts), strict=True)},
    }


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions of one split, a row per utterance, in the order of `utterance_ids`.

    Attributes:
        probability: (n, C) float32.
        truth: (n,) class indices, `UNLABELLED` where there is none.
        dialogue_ids: (n,) which dialogue each belongs to.
        gates: name -> (n,) mean gate of an utterance, 0..1, of systems that have gates.
    """

    utterance_ids: tuple[str, ...]
    dialogue_ids: tuple[str, ...]
    probability: np.ndarray
    truth: np.ndarray
    emotions: tuple[str, ...]
    gates: Mapping[str, np.ndarray] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """`metrics` of the labelled utterances: weighted and macro F1, UAR, accuracy and F1 of each class, 0..1."""
        labelled = self.truth != UNLABELLED
        return metrics(self.truth[labelled], self.probability.argmax(1)[labelled], self.emotions)

    def weighted_f1(self) -> float:
        """0..1, over the labelled utterances."""
        return self.metrics()["weighted_f1"]

    def loss(self) -> float:
        """Mean negative log-likelihood of the labels, nat."""
        labelled = self.truth != UNLABELLED
        of_truth = self.probability[labelled, self.truth[labelled]]
        return float(-np.log(np.clip(of_truth, 1e-12, None)).mean())

    def counts(self) -> np.ndarray:
        """(D, C, C) confusion matrices of the dialogues that have a label, rows the truth, in order of their ids."""
        return counts_by(self.dialogue_ids, self.truth, self.probability.argmax(1), len(self.emotions))[1]

    def as_frame(self) -> pd.DataFrame:
        """One row per utterance: ids, `truth` (None without a label), `label`, `p_<emotion>`, and a column per gate."""
        return pd.DataFrame(
            {
                "utterance_id": self.utterance_ids,
                "dialogue_id": self.dialogue_ids,
                "truth": [None if t == UNLABELLED else self.emotions[t] for t in self.truth],
                "label": [self.emotions[p] for p in self.probability.argmax(1)],
                **{f"p_{emotion}": self.probability[:, c] for c, emotion in enumerate(self.emotions)},
                **self.gates,
            }
        )


def predict(
    system: torch.nn.Module, dialogues: Sequence[Dialogue], emotions: Sequence[str], *, batch_dialogues: int = 32
) -> SplitPredictions:
    """Predictions in the order of the dialogues given."""
    device = next(system.parameters()).device
    parts: dict[int, np.ndarray] = {}
    gates: dict[str, dict[int, np.ndarray]] = {}
    was_training = system.training
    system.eval()
    with torch.inference_mode():
        for indices in LengthBuckets([len(d) for d in dialogues], batch_dialogues, seed=0, shuffle=False):
            batch: DialogueBatch = collate([dialogues[i] for i in indices]).to(device)
            output: SystemOutput = system(batch)
            probability = output.logits.float().softmax(-1).cpu().numpy()
            gate = {k: v.float().mean(-1).cpu().numpy() for k, v in output.views.items() if k.startswith("gate_")}
            for row, i in enumerate(indices):
                parts[i] = probability[row, : len(dialogues[i])]
                for name, values in gate.items():
                    gates.setdefault(name, {})[i] = values[row, : len(dialogues[i])]
    system.train(was_training)
    return SplitPredictions(
        utterance_ids=tuple(u for d in dialogues for u in d.utterance_ids),
        dialogue_ids=tuple(d.dialogue_id for d in dialogues for _ in d.utterance_ids),
        probability=np.concatenate([parts[i] for i in range(len(dialogues))]),
        truth=np.concatenate([d.label for d in dialogues]),
        emotions=tuple(emotions),
        gates={name: np.concatenate([of[i] for i in range(len(dialogues))]) for name, of in gates.items()},
    )


def evaluate_final(package: ModelPackage, corpus: Corpus, vectors: Vectors, *, reason: str) -> SplitPredictions:
    """Predicts on the test split. Nothing else in hbaf does, and every use is written down.

    Args:
        reason: why it is used, for the list `<home>/test-looks.jsonl`.

    Raises:
        SplitError: the corpus has no test split, or was split otherwise when the model was trained.
    """
    dialogues = _test_dialogues(package, corpus, vectors, reason)
    return predict(package.system, dialogues, package.facts.emotions)


def check_splits(package: ModelPackage, corpus: Corpus) -> None:
    """Nothing where the model learned from no other corpus of this name, or with the same splits.

    Raises:
        SplitError: the corpus was split otherwise when the model was trained.
    """
    trained_on = package.facts.origin.get("splits_digest", corpus.splits_digest())
    if package.facts.origin.get("corpus") == corpus.name and trained_on != corpus.splits_digest():
        raise SplitError(
            f"corpus {corpus.name}: its splits ({corpus.splits_digest()[:12]}) are not those that the model was "
            f"trained with ({trained_on[:12]}): dialogues may have been trained on. Train again, or evaluate with "
            "the old splits."
        )


def check_labels(emotions: Sequence[str], corpus: Corpus) -> None:
    """Nothing where a model with these emotions knows every label of the corpus.

    Raises:
        LabelsError: it does not; the message has the setting that mends it.
    """
    counts = corpus.utterances["emotion"].value_counts()
    unknown = {label: count for label, count in counts.items() if label not in emotions}
    if not unknown:
        return
    named = ", ".join(f"{label} ({count})" for label, count in unknown.items())
    setting = ",".join(f"{label}=" for label in unknown)
    raise LabelsError(
        f"corpus {corpus.name}: {named}: the model does not know these labels; it knows "
        f"{', '.join(emotions)}. Say what each counts as after its `=`, or leave that empty to leave "
        f'these utterances out: `--labels "{setting}"`.'
    )


def watch_test_split(
    package: ModelPackage, corpus: Corpus, vectors: Vectors, *, reason: str
) -> Callable[[nn.Module], dict[str, float]]:
    """The field's habit, to measure what it is worth: a system's metrics on the test split, asked after every epoch.

    One entry in the ledger stands for all of them; say so in the reason. Nothing may be chosen by what comes back but
    the column of a table that says "as published".

    Raises:
        SplitError: as `evaluate_final`.
    """
    dialogues = _test_dialogues(package, corpus, vectors, reason)
    return lambda system: predict(system, dialogues, package.facts.emotions).metrics()


def _test_dialogues(package: ModelPackage, corpus: Corpus, vectors: Vectors, reason: str) -> list[Dialogue]:
    check_splits(package, corpus)
    rows = _test_rows(corpus, reason, str(package.facts.origin.get("run_id", "")))
    return make_dialogues(corpus, vectors, package.representation, rows, package.facts.emotions)


def predictions_of(
    table: pd.DataFrame, corpus: Corpus, emotions: Sequence[str], *, final_reason: str = ""
) -> SplitPredictions:
    """What a model that learns nothing here, such as a published one, says of dev, or of the test split.

    Args:
        table: `utterance_id` and `p_<emotion>` of all utterances; NaN where it says nothing, which leaves them out.
        emotions: of the model, in the order of its classes.
        final_reason: why the test split is used; empty: dev.

    Raises:
        SplitError: no utterance of the split has a label and a prediction.
    """
    rows = _test_rows(corpus, final_reason, "") if final_reason else corpus.in_split("dev")
    found = rows.merge(table, on="utterance_id", validate="one_to_one")
    columns = [f"p_{emotion}" for emotion in emotions]
    found = found[found["emotion"].notna() & found[columns].notna().all(axis=1)]
    if found.empty:
        split = "test" if final_reason else "dev"
        raise SplitError(
            f"corpus {corpus.name}: no utterance of {split} has both a label and what this model reads. Label some, or "
            "take a model that reads what there is."
        )
    return SplitPredictions(
        utterance_ids=tuple(found["utterance_id"]),
        dialogue_ids=tuple(found["dialogue_id"]),
        probability=found[columns].to_numpy(np.float32),
        truth=label_indices(found["emotion"], emotions),
        emotions=tuple(emotions),
    )


def _test_rows(corpus: Corpus, reason: str, run: str) -> pd.DataFrame:
    """The test split, whose use is written down."""
    rows = corpus.in_split("test")
    if not len(rows):
        raise SplitError(f"corpus {corpus.name}: no dialogue is in the test split, so there is nothing to evaluate on.")
    look = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "corpus": corpus.name,
        "corpus_digest": corpus.digest(),
        "splits_digest": corpus.splits_digest(),
        "reason": reason,
        "run": run,
    }
    append_line(home_folder() / "test-looks.jsonl", look)
    return rows


def weighted_f1_by(predictions: SplitPredictions, groups: pd.Series) -> dict[str, float]:
    """Weighted F1 inside each group of utterances, such as cue types or speakers.

    Args:
        groups: group name by utterance_id; utterances without one are left out.
    """
    group = groups.reindex(list(predictions.utterance_ids)).to_numpy(dtype=object)
    at = ~pd.isna(group)
    guess = predictions.probability.argmax(1)
    names, counts = counts_by(group[at], predictions.truth[at], guess[at], len(predictions.emotions))
    return dict(zip(map(str, names), weighted_f1(counts).tolist(), strict=True))
