"""Candidate against champion, and the alias that moves when the candidate wins."""

from dataclasses import asdict, dataclass

import numpy as np

from hbaf.corpus.schema import Corpus, CorpusReference, load_corpus
from hbaf.features.columns import Columns
from hbaf.model.batch import UNLABELLED
from hbaf.registry.models import CHAMPION, NoModelError, find_model, load_package, register
from hbaf.registry.runs import RunReference
from hbaf.registry.tracking import MlflowClient
from hbaf.training.data import Vectors, load_split, read_vectors
from hbaf.training.evaluate import metrics, predict
from hbaf.training.package import ModelPackage


@dataclass(frozen=True)
class Verdict:
    """What was decided, and on what numbers (weighted F1 on dev, 0..1)."""

    promoted: bool
    model: str
    version: str
    candidate: float
    champion: float
    against: str
    reason: str

    def as_tags(self) -> dict[str, str]:
        return {f"hbaf.verdict.{name}": str(value) for name, value in asdict(self).items()}


def model_name(corpus: str) -> str:
    """Registered models are named by the corpus that they were trained on."""
    return f"hbaf-{corpus}"


def promote(
    candidate: RunReference, reference: CorpusReference, columns: Columns, *, name: str | None = None
) -> Verdict:
    """Registers the candidate and gives it the alias `champion` if it beats the present one on dev.

    The first model must beat the floor of always saying the most frequent emotion of train. A champion with other
    emotions cannot be compared and is never replaced silently.

    Args:
        name: registered name; default `hbaf-<corpus>`.
    """
    name = name or model_name(reference.name)
    corpus = load_corpus(reference)
    vectors = read_vectors(corpus, columns)
    package = ModelPackage.load(candidate.package)
    score = _dev_score(package, corpus, vectors)
    against, floor, reason = _opponent(name, package, corpus, vectors)
    same = against.endswith(candidate.run_id)
    promoted = not reason and (same or score > floor)
    version = _version_of(name, candidate)
    verdict = Verdict(
        promoted, name, version, score, floor, against,
        reason or ("already champion" if same else "better on dev" if promoted else "not better on dev"),
    )  # fmt: skip
    client = MlflowClient()
    if promoted:
        client.set_registered_model_alias(name, CHAMPION, version)
    for key, value in verdict.as_tags().items():
        client.set_model_version_tag(name, version, key, value)
    return verdict


def _opponent(name: str, candidate: ModelPackage, corpus: Corpus, vectors: Vectors) -> tuple[str, float, str]:
    """(who, weighted F1 on this dev split, reason why it cannot be compared or "")."""
    try:
        champion = find_model(name)
    except NoModelError:
        return "majority of train", _majority_score(corpus, vectors, candidate), ""
    package = load_package(champion)
    who = f"version {champion.version}, run {champion.run_id}"
    if package.facts.emotions != candidate.facts.emotions:
        return who, float("nan"), "the champion knows other emotions; register under another name"
    if package.facts.features != candidate.facts.features:
        # Its columns are not at hand here: its own dev score on the same splits stands in.
        same = package.facts.origin.get("splits_digest") == candidate.facts.origin.get("splits_digest")
        return who, package.facts.dev_metrics["weighted_f1"], "" if same else "the champion was chosen on other splits"
    return who, _dev_score(package, corpus, vectors), ""


def _dev_score(package: ModelPackage, corpus: Corpus, vectors: Vectors) -> float:
    dev = load_split(corpus, vectors, package.representation, "dev")
    return predict(package.system, dev, package.facts.emotions).metrics()["weighted_f1"]


def _majority_score(corpus: Corpus, vectors: Vectors, package: ModelPackage) -> float:
    train, dev = (
        np.concatenate([d.label for d in load_split(corpus, vectors, package.representation, split)])
        for split in ("train", "dev")
    )
    truth = dev[dev != UNLABELLED]
    most = np.bincount(train[train != UNLABELLED]).argmax()
    return metrics(truth, np.full_like(truth, most), corpus.emotions)["weighted_f1"]


def _version_of(name: str, candidate: RunReference) -> str:
    client = MlflowClient()
    known = client.search_model_versions(f"name = '{name}' and run_id = '{candidate.run_id}'")
    if known:
        return str(known[0].version)
    return register(candidate.model_uri, name, {"hbaf.run_id": candidate.run_id})
