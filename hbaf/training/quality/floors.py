"""The floors that a first model is held against: the most frequent emotion, and logistic regression on one utterance.

Fitted on train, the strength of the regression's L2 chosen on dev; as modules of `hbaf.baselines`, so that they predict
like every other system. A run keeps them in its package: a promotion need not fit them again. D numbers per utterance,
C emotions.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hbaf.baselines.floors.logistic_regression import LogisticRegression
from hbaf.baselines.floors.majority import Majority
from hbaf.model.batch import UNLABELLED
from hbaf.training.data import Dialogue
from hbaf.training.evaluate import predict
from hbaf.training.package import PackageFacts

MAJORITY, REGRESSION = "majority", "logistic regression"
KINDS: dict[str, type[Majority | LogisticRegression]] = {MAJORITY: Majority, REGRESSION: LogisticRegression}
FILE = "floors.safetensors"
STRENGTHS = (0.001, 0.01, 0.1)  # C of scikit-learn, the inverse of the L2 weight
NEVER = -1e4  # logit of an emotion that train lacks


def fit_floors(train: Sequence[Dialogue], dev: Sequence[Dialogue], emotions: Sequence[str]) -> dict[str, nn.Module]:
    """`{"majority": ..., "logistic regression": ...}`.

    Args:
        train: dialogues of model inputs, with at least one label.
    """
    x, labels = _utterances(train)
    sizes = {"audio_dim": train[0].audio.shape[1], "text_dim": train[0].text.shape[1], "commonsense_dim": None}
    majority = Majority(**sizes, emotions=len(emotions)).eval()
    counts = np.bincount(labels, minlength=len(emotions))
    majority.prior.data = torch.from_numpy(np.log(np.maximum(counts, 1e-9) / counts.sum())).float()
    if (counts > 0).sum() < 2:  # one emotion alone: there is nothing to separate
        return {MAJORITY: majority}
    candidates = []
    for strength in STRENGTHS:
        regression = LogisticRegression(**sizes, emotions=len(emotions)).eval()
        weight, bias = _fit(x, labels, len(emotions), strength)
        regression.classifier.weight.data = torch.from_numpy(weight).float()
        regression.classifier.bias.data = torch.from_numpy(bias).float()
        candidates.append((predict(regression, dev, emotions).weighted_f1(), strength, regression))
    # Of equals the simplest.
    best = max(candidates, key=lambda found: (found[0], -found[1]))[2]
    return {MAJORITY: majority, REGRESSION: best}


def save_floors(floors: Mapping[str, nn.Module], folder: Path) -> None:
    """Writes floors.safetensors into the folder of a package; call it before the package itself is saved."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    values = {f"{name}/{key}": v for name, floor in floors.items() for key, v in floor.state_dict().items()}
    save_file(values, folder / FILE)


def load_floors(folder: Path, facts: PackageFacts) -> dict[str, nn.Module]:
    """What `fit_floors` gave when the package's run was trained; empty for a package that has none."""
    from safetensors.torch import load_file

    if not (folder / FILE).exists():
        return {}
    values = load_file(folder / FILE)
    floors: dict[str, nn.Module] = {}
    for name, kind in KINDS.items():
        own = {key.removeprefix(f"{name}/"): v for key, v in values.items() if key.startswith(f"{name}/")}
        if own:
            floor = kind(
                audio_dim=facts.audio_dim,
                text_dim=facts.text_dim,
                commonsense_dim=None,
                emotions=len(facts.emotions),
            )
            floor.load_state_dict(own)
            floors[name] = floor.eval()
    return floors


def _utterances(dialogues: Sequence[Dialogue]) -> tuple[np.ndarray, np.ndarray]:
    """(n, D) [audio ; text], zero where missing, and (n,) labels of the labelled utterances."""
    x = np.concatenate([np.hstack([dialogue.audio, dialogue.text]) for dialogue in dialogues])
    labels = np.concatenate([dialogue.label for dialogue in dialogues])
    return x[labels != UNLABELLED].astype(np.float64), labels[labels != UNLABELLED]


def _fit(x: np.ndarray, labels: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """(C, D) weights and (C,) biases; the inputs are scaled for the fit, and the scaling is folded into the weights."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression as Fitter

    mean, deviation = x.mean(0), np.maximum(x.std(0), 1e-9)
    deviation[deviation <= 1e-9] = np.inf  # a number that never changes says nothing
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # a floor need not be exact
        fitted = Fitter(C=strength, max_iter=200).fit((x - mean) / deviation, labels)
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, NEVER)
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row then: that of the second class
        weight[fitted.classes_[1]] = fitted.coef_[0]
        bias[fitted.classes_] = [0.0, fitted.intercept_[0]]
    else:
        weight[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    weight = weight / deviation
    return weight, bias - weight @ mean
