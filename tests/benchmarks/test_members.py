"""What five members cost beside one: scoring of ready features as `hbaf score` does it, and bytes on disk.

Reading of vectors, padding, forward passes (both modalities, each alone), label chain, attention and rows are the
ordinary ones; weights and vectors are made up. Measured in processor time, which a busy machine changes least.

    make bench BENCH=members
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hbaf.corpus.schema import Corpus
from hbaf.features.columns import extract_features, extractors
from hbaf.features.selection.audio_selection import identity_scaling
from hbaf.inference.predictor import Predictor
from hbaf.parameters import from_recipe
from hbaf.registry.models import RegisteredModel
from hbaf.scoring.score import LOOKED_AT, score_rows
from hbaf.training.data import Representation
from hbaf.training.fit import seed_everything
from hbaf.training.package import ModelPackage, PackageFacts, build_system
from tests.benchmarks import scale_run

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
MEMBERS = 5
UTTERANCES = {"demo": 3_000, "best": 300}
ROUNDS = 3


def package_of(recipe: str, members: int, folder: Path) -> Path:
    """A package of a recipe with fresh weights and a chain that has something to say."""
    features, model, training = from_recipe(
        recipe, features=scale_run.features(folder), training={"members": members, "label_chain": "both"}
    )
    identities = {modality: one.identity() for modality, one in extractors(features).items()}
    dims = {modality: one.dim for modality, one in extractors(features).items()}
    facts = PackageFacts(
        EMOTIONS, dims["audio"], dims["text"], None, features, model, training, identities,
        trained_to_miss={"audio": True, "text": True},
    )  # fmt: skip
    seed_everything(0)
    system = build_system(facts)
    system.chain.exponents.copy_(torch.tensor([1.0, 0.5, 0.2]))
    representation = Representation(identity_scaling(dims["audio"]), None)
    return ModelPackage(facts, representation, system).save(folder / f"{recipe}-{members}")


def ready(folder: Path, utterances: int, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus whose vectors are in the store."""
    monkeypatch.setattr("hbaf.inbox.read_arrivals.add_facts", scale_run.given_facts)
    source = folder / "source"
    source.mkdir()
    scale_run.write_table(source, 0)
    corpus = scale_run.read_table(source, 0)
    corpus = replace(corpus, utterances=corpus.utterances.iloc[:utterances].reset_index(drop=True))
    settings, _, _ = from_recipe("demo", features=scale_run.features(folder))
    scale_run.put_vectors(corpus.utterances, settings, 0)
    extract_features(corpus, settings)  # finds all of them
    return corpus


def seconds_of(corpus: Corpus, package: Path) -> tuple[float, pd.DataFrame]:
    predictor = Predictor.load(package, "cpu", attention=LOOKED_AT)
    champion = RegisteredModel("hbaf-benchmark", "1", package, "0" * 32)
    began = time.process_time()
    scores = score_rows(corpus, champion, predictor, workers=1)
    return time.process_time() - began, scores


@pytest.mark.benchmark
@pytest.mark.parametrize("recipe", ["demo", "best"])
def test_five_members_against_one(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = ready(tmp_path, UTTERANCES[recipe], monkeypatch)
    packages = {members: package_of(recipe, members, tmp_path) for members in (1, MEMBERS)}
    took: dict[int, list[float]] = {members: [] for members in packages}
    for _ in range(ROUNDS):
        for members, package in packages.items():
            seconds, scores = seconds_of(corpus, package)
            took[members].append(seconds)
            assert scores["label"].notna().all()
    sizes = {
        members: sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        for members, package in packages.items()
    }
    one, many = (float(np.min(took[members])) for members in packages)
    print(
        f"\n{recipe}, {len(corpus.utterances):,} utterances, {torch.get_num_threads()} threads, "
        f"least processor time of {ROUNDS}: 1 member {one / len(corpus.utterances) * 1e6:.0f} us an utterance, "
        f"{MEMBERS} members {many / len(corpus.utterances) * 1e6:.0f}: {many / one:.2f} times; "
        f"package {sizes[1] / 1e6:.1f} and {sizes[MEMBERS] / 1e6:.1f} MB"
    )
