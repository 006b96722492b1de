"""Published classifiers through the real loading code, on tiny random models, beside Transformers' own pipelines."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hbaf.features.contract import tone
from hbaf.features.hub_classifiers import HubClassifier
from hbaf.features.weights import WeightsError


def hub(folder: Path, **settings: Any) -> HubClassifier:
    return HubClassifier("hub", model=str(folder), device="cpu", **settings)


def of_transformers(task: str, folder: Path, items: list[Any], **settings: Any) -> list[dict[str, float]]:
    from transformers import pipeline

    found = pipeline(task, str(folder), device="cpu", top_k=None, **settings)(items)
    return [{one["label"]: one["score"] for one in row} for row in found]


def test_text_has_the_probabilities_of_transformers_own_pipeline(text_classifier: Path) -> None:
    texts = ["i am so happy today !", "you do not know what is so sad", "what"]
    classifier = hub(text_classifier)
    assert (classifier.modality, classifier.labels, classifier.dim) == ("text", ("Joy", "anger", "neutral"), 3)
    expected = of_transformers("text-classification", text_classifier, texts)
    found = classifier.extract(texts)
    np.testing.assert_allclose(found, [[row[name] for name in classifier.labels] for row in expected], atol=1e-5)
    assert len({int(at) for at in found.argmax(1)}) > 1 or np.ptp(found) > 0.1, "the rows are not all alike"


def test_speech_has_the_probabilities_of_transformers_own_pipeline(speech_classifier: Path) -> None:
    signals = [tone(120, 0.5), tone(300, 0.9)]
    classifier = hub(speech_classifier)
    assert classifier.modality == "audio"
    expected = of_transformers("audio-classification", speech_classifier, signals)
    np.testing.assert_allclose(
        classifier.extract(signals), [[row[name] for name in classifier.labels] for row in expected], atol=1e-4
    )


def test_several_labels_at_once_are_scores_in_proportion(text_classifier: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    shutil.copytree(text_classifier, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    (expected,) = of_transformers("text-classification", folder, ["i am so sad"], function_to_apply="sigmoid")
    (found,) = hub(folder).extract(["i am so sad"])
    scores = np.array([expected[name] for name in ("Joy", "anger", "neutral")])
    np.testing.assert_allclose(found, scores / scores.sum(), atol=1e-5)


def test_a_bare_encoder_is_no_classifier(roberta: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is no classifier with labels.*features\.text=encoder:ID"):
        hub(roberta)
    folder = tmp_path / "claims"
    shutil.copytree(roberta, folder)
    config = json.loads((folder / "config.json").read_text())
    claimed = {"architectures": ["RobertaForSequenceClassification"], "id2label": {"0": "joy", "1": "anger"}}
    (folder / "config.json").write_text(json.dumps({**config, **claimed}))
    with pytest.raises(WeightsError, match="which would be random"):
        hub(folder).extract(["good morning !"])
