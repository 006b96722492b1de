"""What a training ends in: a verdict on dev, from real small trainings."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf import pipeline
from hbaf.cli import main
from hbaf.parameters import CorpusParameters, PromotionParameters, Settings, from_recipe
from hbaf.pipeline import Trained
from hbaf.promotion.promote import judge
from hbaf.registry.tracking import DESCRIPTION_TAG, MlflowClient, mlflow
from hbaf.training.package import ModelPackage
from hbaf.training.quality import floors
from hbaf.training.quality.run_verdict import RunVerdict, costliest
from tests.registry.conftest import LINES, use

SMALL = {"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8}
# The first epoch already follows the words where there are any, so dev cannot choose one that does not.
FOLLOWS_WORDS = {"own_path": "text", "modality_dropout": 0.3}


def settings(**model: object) -> Settings:
    return from_recipe(
        "demo",
        features={"audio": "mfcc", "workers": 1, "scale_text": True},
        model={**SMALL, **model},
        training={
            "max_epochs": 6,
            "batch_dialogues": 2,
            "learning_rate": 5e-3,
            "threads": 1,
            "members": 1,
            "label_chain": "none",
        },
    )


def write(folder: Path, *, words: bool = True, sound: bool = True, misleading: bool = False) -> CorpusParameters:
    """Thirty dialogues of two turns, six of them dev and six test, whose words and pitch tell the emotion.

    Args:
        misleading: in train the pitch is wrong for every fourth dialogue, in dev the words are always.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    header = ["dialogue", "turn", "speaker", "emotion", "split"] + ["text"] * words + ["audio"] * sound
    rows = [",".join(header)]
    for dialogue in range(30):
        split = "dev" if dialogue % 5 == 3 else "test" if dialogue % 5 == 4 else "train"
        for turn in range(2):
            emotion, other = (("joy", "anger"), ("anger", "joy"))[(dialogue + turn) % 2]
            values = [f"d{dialogue}", str(turn), "AB"[turn], emotion, split]
            if words:
                values.append(f'"{LINES[other if misleading and split == "dev" else emotion]}, number {dialogue}"')
            if sound:
                seconds = np.arange(16_000) / 16_000
                wrong = misleading and split == "train" and dialogue % 4 == 0
                pitch = {"joy": 220, "anger": 110}[other if wrong else emotion] + random.normal(0, 5)
                name = f"d{dialogue}_{turn}.wav"
                soundfile.write(folder / name, 0.3 * np.sin(2 * np.pi * pitch * seconds), 16_000)
                values.append(name)
            rows.append(",".join(values))
    (folder / "talks.csv").write_text("\n".join(rows) + "\n")
    return CorpusParameters(reader="folder", root=folder, bad_share=1.0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of this file's own: its corpora would be found in the one that the session shares."""
    return tmp_path_factory.mktemp("verdict")


@pytest.fixture(autouse=True)
def home(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use(own, monkeypatch)
    return own / "home"


@pytest.fixture(scope="module")
def misled(own: Path) -> tuple[CorpusParameters, Trained]:
    """Words that tell the emotion in train and mislead in dev."""
    corpus = write(own / "misled", misleading=True)
    with pytest.MonkeyPatch.context() as patch:
        use(own, patch)
        return corpus, pipeline.train(corpus, settings(**FOLLOWS_WORDS))


def test_it_holds_the_run_against_the_floors_and_names_what_costs_most(misled: tuple[CorpusParameters, Trained]):
    verdict = misled[1].run.verdict
    assert verdict is not None
    assert verdict.score == misled[1].run.weighted_f1
    assert verdict.low <= verdict.score <= verdict.high
    assert set(verdict.floors) == {"majority", "logistic regression"}
    assert verdict.support == {"anger": 6, "joy": 6}
    assert verdict.dialogues == {"train": 18, "dev": 6}
    assert verdict.confusion is not None
    assert {verdict.confusion.truth, verdict.confusion.predicted} == {"anger", "joy"}
    assert verdict.confusion.cost > 0


def test_a_modality_that_is_better_alone_is_the_next_step(misled: tuple[CorpusParameters, Trained]):
    verdict = misled[1].run.verdict
    assert verdict is not None
    assert verdict.alone["audio"] > verdict.score + 0.3
    assert verdict.alone["text"] < 0.3
    assert verdict.untrained == ()  # the recipe drops modalities in training
    assert verdict.next_steps[0].startswith("audio alone is better here")
    assert verdict.next_steps[0].endswith("train with `--set model.variant=audio`")


def test_few_dialogues_in_dev_ask_for_folds(misled: tuple[CorpusParameters, Trained]):
    verdict = misled[1].run.verdict
    assert verdict is not None
    assert "6 dialogues in dev" in verdict.next_steps[-1]
    assert "--folds" in verdict.next_steps[-1]


def test_it_is_kept_with_the_run(misled: tuple[CorpusParameters, Trained]):
    corpus, trained = misled
    verdict = trained.run.verdict
    assert verdict is not None
    assert RunVerdict.from_json(verdict.as_json()) == verdict
    again = pipeline.train(corpus, settings(**FOLLOWS_WORDS))
    assert again.run == replace(trained.run, reused=True)
    run = MlflowClient().get_run(trained.run.run_id)
    assert run.data.tags[DESCRIPTION_TAG] == verdict.markdown()
    assert "logistic regression" in verdict.markdown()
    logged = mlflow.artifacts.load_text(f"runs:/{trained.run.run_id}/verdict.json")
    assert RunVerdict.from_json(logged) == verdict


def test_runs_can_be_told_apart(misled: tuple[CorpusParameters, Trained]):
    """By corpus, variant, recipe and seed, with the floors beside the score; the corpus is an input, without a row."""
    reference = misled[1].reference
    run = MlflowClient().get_run(misled[1].run.run_id)
    named = {name: run.data.tags[f"hbaf.{name}"] for name in ("corpus", "variant", "recipe", "seed")}
    assert named == {"corpus": "misled", "variant": "bimodal", "recipe": "demo", "seed": "0"}
    assert {"floor/majority/weighted_f1", "floor/logistic_regression/weighted_f1"} <= set(run.data.metrics)
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("misled", reference.digest[:36])
    facts = {"corpus_digest": reference.digest, "splits_digest": reference.splits_digest}
    assert json.loads(given.dataset.source) == facts
    assert given.dataset.schema is None
    assert given.dataset.profile is None


def test_the_floors_are_fitted_once(misled: tuple[CorpusParameters, Trained], monkeypatch: pytest.MonkeyPatch):
    """A promotion takes those of the package, and they predict as they did."""
    trained = misled[1]
    verdict = trained.run.verdict
    assert verdict is not None
    package = ModelPackage.load(trained.run.package)
    kept = floors.load_floors(trained.run.package, package.facts)
    assert set(kept) == set(verdict.floors)
    monkeypatch.setattr("hbaf.promotion.promote.fit_floors", lambda *_: pytest.fail("fitted again"))
    columns = pipeline.extract_columns(trained.reference, trained.settings.features)
    held = judge(trained.run, trained.reference, columns, rules=PromotionParameters(minimum_speed=0))
    assert {rule.name for rule in held.rules} >= {"majority", "logistic regression"}


def test_no_test_split_is_read(misled: tuple[CorpusParameters, Trained], home: Path, tmp_path: Path):
    """With other labels in test the verdict is the same, and no use of test is written down."""
    looks = home / "test-looks.jsonl"
    before = looks.read_text() if looks.exists() else ""
    corpus = write(tmp_path / "misled", misleading=True)
    table = tmp_path / "misled" / "talks.csv"
    swapped = {"joy,test": "anger,test", "anger,test": "joy,test"}
    table.write_text(re.sub("|".join(swapped), lambda found: swapped[found[0]], table.read_text()))
    trained = pipeline.train(corpus, settings(**FOLLOWS_WORDS))
    assert trained.reference.digest != misled[1].reference.digest
    assert trained.run.verdict == misled[1].run.verdict
    assert (looks.read_text() if looks.exists() else "") == before


@pytest.mark.parametrize(("has", "lacks"), [("text", "sound"), ("audio", "words")])
def test_a_corpus_of_one_modality_chooses_its_variant(has: str, lacks: str, tmp_path: Path):
    corpus = write(tmp_path / f"only-{has}", words=has == "text", sound=has == "audio")
    trained = pipeline.train(corpus, settings())
    assert trained.settings.model.variant == has
    assert trained.chosen == f"the corpus has no {lacks}: variant `{has}`"
    assert ModelPackage.load(trained.run.package).facts.model.variant == has
    assert trained.run.verdict is not None
    assert trained.run.verdict.alone == {}
    assert trained.run.verdict.score == 1.0


def test_a_variant_that_is_set_stays(tmp_path: Path):
    corpus = write(tmp_path / "kept", sound=False)
    trained = pipeline.train(corpus, settings(variant="bimodal"))
    assert trained.settings.model.variant == "bimodal"
    assert trained.chosen == ""


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Minutes before, the verdict at the end."""
    corpus = write(tmp_path / "printed", sound=False)
    small = [f"--set=model.{name}={value}" for name, value in SMALL.items()]
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(corpus.root), "--recipe", "demo", "--set=training.max_epochs=3", "--set=training.members=1",
              "--set=features.audio=mfcc", *small])  # fmt: skip
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "training: at most less than a minute, up to 3 epochs" in printed
    assert "the corpus has no sound: variant `text`" in printed
    at = [
        printed.index(part) for part in ("training: at most", "dev weighted F1", "majority", "F1 by emotion", "next: ")
    ]
    assert at == sorted(at)


def test_the_costliest_confusion_is_the_one_whose_repair_gains_most():
    counts = np.array([[8, 2, 0], [0, 5, 5], [1, 0, 9]])
    worst = costliest(counts, ("anger", "joy", "sad"))
    assert worst is not None
    assert (worst.truth, worst.predicted, worst.utterances, worst.of) == ("joy", "sad", 5, 10)
    assert costliest(np.diag([3, 3]), ("anger", "joy")) is None
