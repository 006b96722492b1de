"""The tasks that flows are made of: each a few lines round a plain function of hbaf, passing small references."""

import re

from prefect.artifacts import create_markdown_artifact

from flows.private import stage
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import CorpusReference, load_corpus
from hbaf.features.columns import Columns, extract_features
from hbaf.parameters import (
    CorpusParameters,
    FeatureParameters,
    FineTuneParameters,
    ModelParameters,
    PromotionParameters,
    TrainingParameters,
    ValidationParameters,
)
from hbaf.privacy.retention import apply_retention
from hbaf.promotion.promote import promote
from hbaf.promotion.promote import settle as settle_verdict
from hbaf.promotion.verdict import Verdict
from hbaf.registry.records.encoders import finetune_and_log
from hbaf.registry.records.test_looks import share_test_looks
from hbaf.registry.records.validations import log_validation
from hbaf.registry.runs import RunReference, train_and_log
from hbaf.scoring.purpose import Purpose
from hbaf.scoring.score import KeepFeatures, Scores, score_corpus
from hbaf.training.data import read_vectors
from hbaf.training.evaluate import evaluate_final, weighted_f1_by
from hbaf.training.finetuning.finetune import EncoderReference
from hbaf.training.package import ModelPackage
from hbaf.validation import ValidationResult, accept, validate


@stage
def prepare(corpus: CorpusParameters, split: bool, progress: bool) -> CorpusReference:
    """Reads and saves the corpus."""
    return prepare_corpus(corpus, split=split, progress=progress)


@stage
def check(reference: CorpusReference, rules: ValidationParameters) -> ValidationResult:
    """Held against the rules; the result is an artifact of this run and one of MLflow's."""
    corpus = load_corpus(reference)
    result = validate(corpus, rules)
    accept(corpus, result)
    create_markdown_artifact(
        result.markdown(), key=f"validation-{artifact_key(result.corpus)}", description=result.summary()
    )
    log_validation(result, rules)
    return result


@stage
def extract(reference: CorpusReference, features: FeatureParameters, progress: bool) -> Columns:
    """Computes the feature columns that the store lacks."""
    return extract_features(load_corpus(reference), features, progress=progress)


@stage
def fit(
    reference: CorpusReference,
    columns: Columns,
    features: FeatureParameters,
    model: ModelParameters,
    training: TrainingParameters,
    progress: bool,
) -> RunReference:
    """Trains and logs one run."""
    return train_and_log(reference, columns, features, model, training, progress=progress)


@stage
def decide(
    candidate: RunReference,
    reference: CorpusReference,
    columns: Columns,
    name: str | None,
    rules: PromotionParameters = PromotionParameters(),
) -> Verdict:
    """Every rule with value and threshold is an artifact of this run; with `rules.approval` nothing moves yet."""
    return told(promote(candidate, reference, columns, name=name, rules=rules))


@stage
def settle(verdict: Verdict, agreed: bool, reason: str) -> Verdict:
    """Moves the alias, if the verdict and the person agree."""
    return told(settle_verdict(verdict, agreed=agreed, reason=reason))


def told(verdict: Verdict) -> Verdict:
    """The verdict, as an artifact of this run too."""
    create_markdown_artifact(
        verdict.markdown(), key=f"promotion-{artifact_key(verdict.model)}", description=verdict.title
    )
    return verdict


@stage
def finetune(reference: CorpusReference, parameters: FineTuneParameters, progress: bool) -> EncoderReference:
    """Fine-tunes an encoder and logs it."""
    return finetune_and_log(reference, parameters, progress=progress)


@stage
def score(
    reference: CorpusReference,
    model: str | None,
    csv: bool,
    progress: bool,
    keep_features: KeepFeatures = "selected",
    audformat: bool = False,
    *,
    purpose: Purpose,
) -> Scores:
    """Scores the corpus with the champion or the named model."""
    scores = score_corpus(
        reference,
        purpose=purpose,
        model=model,
        csv=csv,
        keep_features=keep_features,
        audformat=audformat,
        progress=progress,
    )
    apply_retention()
    return scores


@stage
def test_scores(
    reference: CorpusReference, columns: Columns, runs: dict[str, RunReference]
) -> dict[str, dict[str, float]]:
    """Weighted F1 on the test split of each run: whole, then by cue type."""
    corpus = load_corpus(reference)
    vectors = read_vectors(corpus, columns)
    cues = corpus.utterances.set_index("utterance_id")["cue"]
    found = {}
    for name, run in runs.items():
        predictions = evaluate_final(ModelPackage.load(run.package), corpus, vectors, reason="hbaf demo")
        found[name] = {"all": predictions.weighted_f1(), **weighted_f1_by(predictions, cues)}
    share_test_looks()
    return found


def artifact_key(name: str) -> str:
    """A corpus name as Prefect wants the key of an artifact: lowercase letters, numbers and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "corpus"
