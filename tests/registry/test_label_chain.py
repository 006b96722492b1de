"""A run with a label chain: logged with and without, and whole again from its package."""

import numpy as np
import pytest

from hbaf.corpus.schema import load_corpus
from hbaf.inference.predictor import Predictor
from hbaf.model.label_chain import Chained
from hbaf.registry.runs import train_and_log
from hbaf.registry.tracking import MlflowClient
from hbaf.training.data import load_split, read_vectors
from hbaf.training.evaluate import predict
from hbaf.training.package import ModelPackage
from tests.registry.conftest import Prepared


@pytest.mark.long
@pytest.mark.parametrize("mode", ["both", "causal"])
def test_a_run_with_a_chain(prepared: Prepared, mode: str) -> None:
    plain = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)
    training = prepared.training.model_copy(update={"label_chain": mode})
    run = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, training)
    alone, whole = ModelPackage.load(plain.package), ModelPackage.load(run.package)
    logged = MlflowClient().get_run(run.run_id).data.metrics
    assert logged["without_chain/weighted_f1"] == pytest.approx(plain.weighted_f1)
    assert logged["best/weighted_f1"] == pytest.approx(run.weighted_f1)

    assert isinstance(whole.system, Chained)
    assert whole.system.chain.causal == (mode == "causal")
    for name, value in alone.system.state_dict().items():
        assert value.equal(whole.system.system.state_dict()[name]), name

    corpus = load_corpus(prepared.reference)
    vectors = read_vectors(corpus, prepared.columns)
    dev = load_split(corpus, vectors, whole.representation, "dev")
    found, before = (predict(package.system, dev, corpus.emotions) for package in (whole, alone))
    assert found.metrics()["weighted_f1"] == pytest.approx(run.weighted_f1)
    assert found.loss() <= before.loss() + 1e-6  # exponents are chosen by it
    predicted = Predictor(whole).predict(corpus, vectors)
    np.testing.assert_allclose(predicted[["p_anger", "p_joy"]].sum(axis=1), 1, atol=1e-5)
    assert {"gate_audio", "gate_text"} <= set(predicted.columns)
