"""Metrics, and the only reader of the test split.

Weighted F1 is the field's metric; beside it macro F1, unweighted average recall (UAR), accuracy and F1 per class.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from hbaf.corpus.schema import Corpus
from hbaf.home import home_folder
from hbaf.model.batch import UNLABELLED, DialogueBatch, SystemOutput
from hbaf.training.data import Dialogue, LengthBuckets, SplitError, Vectors, collate, make_dialogues
from hbaf.training.package import ModelPackage


def metrics(truth: np.ndarray, predicted: np.ndarray, emotions: Sequence[str]) -> dict[str, float]:
    """Metrics of labelled utterances.

    Args:
        truth: (n,) class indices.
        predicted: (n,) class indices.

    Returns:
        weighted_f1, macro_f1, uar, accuracy and f1/<emotion>, each 0..1.
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    classes = list(range(len(emotions)))
    per_class = f1_score(truth, predicted, labels=classes, average=None, zero_division=0)
    occurring = np.unique(truth)
    return {
        "weighted_f1": float(f1_score(truth, predicted, labels=classes, average="weighted", zero_division=0)),
        # Classes that never occur have no recall; they would only dilute the means.
        "macro_f1": float(per_class[occurring].mean()),
        "uar": float(recall_score(truth, predicted, labels=occurring, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(truth, predicted)),
        **{f"f1/{emotion}": float(value) for emotion, value in zip(emotions, per_class, strict=True)},
    }


def confusion(truth: np.ndarray, predicted: np.ndarray, emotions: Sequence[str]) -> np.ndarray:
    """(C, C) counts, rows are the truth."""
    counts = np.zeros((len(emotions), len(emotions)), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


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
        labelled = self.truth != UNLABELLED
        return metrics(self.truth[labelled], self.probability.argmax(1)[labelled], self.emotions)

    def loss(self) -> float:
        """Mean negative log-likelihood of the labels, nat."""
        labelled = self.truth != UNLABELLED
        said = self.probability[labelled, self.truth[labelled]]
        return float(-np.log(np.clip(said, 1e-12, None)).mean())

    def confusion(self) -> np.ndarray:
        labelled = self.truth != UNLABELLED
        return confusion(self.truth[labelled], self.probability.argmax(1)[labelled], self.emotions)

    def as_frame(self) -> pd.DataFrame:
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
    """Looks at the test split. Nothing else in hbaf does, and every look is written down.

    Args:
        reason: why it is looked at, for the ledger `<home>/test-looks.jsonl`.

    Raises:
        SplitError: the corpus has no test split, or was split otherwise when the model was trained.
    """
    dialogues = _test_dialogues(package, corpus, vectors, reason)
    return predict(package.system, dialogues, package.facts.emotions)


def watch_test_split(
    package: ModelPackage, corpus: Corpus, vectors: Vectors, *, reason: str
) -> Callable[[], dict[str, float]]:
    """The field's habit, to measure what it is worth: metrics of the test split, to be asked after every epoch.

    One entry in the ledger stands for all of them; say so in the reason. Nothing may be chosen by what comes back but
    the column of a table that says "as published".

    Raises:
        SplitError: as `evaluate_final`.
    """
    dialogues = _test_dialogues(package, corpus, vectors, reason)
    return lambda: predict(package.system, dialogues, package.facts.emotions).metrics()


def _test_dialogues(package: ModelPackage, corpus: Corpus, vectors: Vectors, reason: str) -> list[Dialogue]:
    rows = corpus.in_split("test")
    if not len(rows):
        raise SplitError(f"corpus {corpus.name}: no dialogue is in the test split, so there is nothing to evaluate on.")
    trained_on = package.facts.origin.get("splits_digest", corpus.splits_digest())
    if package.facts.origin.get("corpus") == corpus.name and trained_on != corpus.splits_digest():
        raise SplitError(
            f"corpus {corpus.name}: its splits ({corpus.splits_digest()[:12]}) are not those that the model was "
            f"trained with ({trained_on[:12]}): test dialogues may have been trained on. Train again, or evaluate with "
            "the old splits."
        )
    look = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "corpus": corpus.name,
        "corpus_digest": corpus.digest(),
        "splits_digest": corpus.splits_digest(),
        "reason": reason,
        "run": package.facts.origin.get("run_id", ""),
    }
    with (home_folder() / "test-looks.jsonl").open("a") as ledger:
        ledger.write(json.dumps(look) + "\n")
    return make_dialogues(corpus, vectors, package.representation, rows)


def weighted_f1_by(predictions: SplitPredictions, groups: pd.Series) -> dict[str, float]:
    """Weighted F1 inside each group of utterances, such as cue types or speakers.

    Args:
        groups: group name by utterance_id; utterances without one are left out.
    """
    truth, guess = predictions.truth, predictions.probability.argmax(1)
    group = groups.reindex(list(predictions.utterance_ids)).to_numpy(dtype=object)
    found = {}
    for name in sorted(groups.dropna().unique()):
        at = (group == name) & (truth != UNLABELLED)
        if at.any():
            found[str(name)] = metrics(truth[at], guess[at], predictions.emotions)["weighted_f1"]
    return found


def bootstrap_interval(
    predictions: SplitPredictions, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the weighted F1 from a bootstrap over dialogues, not utterances: turns of a dialogue depend on each
    other.

    Returns:
        (low, high), each 0..1.
    """
    labelled = predictions.truth != UNLABELLED
    truth, predicted = predictions.truth[labelled], predictions.probability.argmax(1)[labelled]
    dialogue = pd.factorize(np.asarray(predictions.dialogue_ids)[labelled])[0]
    classes = len(predictions.emotions)
    # A confusion matrix per dialogue: a draw is then a sum of matrices, and F1 follows from the sum.
    per_dialogue = np.zeros((dialogue.max() + 1, classes, classes))
    np.add.at(per_dialogue, (dialogue, truth, predicted), 1)
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(per_dialogue), (draws, len(per_dialogue)))
    values = [_weighted_f1(per_dialogue[pick].sum(0)) for pick in picks]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weighted_f1(counts: np.ndarray) -> float:
    hits, support, guesses = np.diag(counts), counts.sum(1), counts.sum(0)
    f1 = 2 * hits / np.maximum(support + guesses, 1)
    return float((f1 * support).sum() / max(support.sum(), 1))
