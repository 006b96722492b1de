"""Fine-tuning with the turns before in the window: what only they tell is learned, out of fold and in a package."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.corpus.windows import Window
from hbaf.features.contract import check_extractor
from hbaf.features.cross_fit import extract_cross_fitted, read_cross_fitted
from hbaf.features.extract import extract_column, read_column
from hbaf.features.finetuned import adopt, carry, find_encoder
from hbaf.features.registry import make_extractor
from hbaf.parameters import FineTuneParameters
from hbaf.training.finetuning.examples import FineTuneError
from hbaf.training.finetuning.finetune import EncoderReference, find_finished, finetune
from tests.training.test_finetune import EMOTIONS, WORDS, encoder_folder, settings

__all__ = ["encoder_folder"]


def replies(dialogues: int = 60, turns: int = 6) -> Corpus:
    """The emotion of a turn is whether w0 was said in the turn before it; its own words are chance."""
    random = np.random.default_rng(0)
    rows = []
    for dialogue in range(dialogues):
        angering = False
        for turn in range(turns):
            words = random.choice(WORDS[1:], 3).tolist()
            rows.append({"corpus": "talk", "dialogue_id": f"d{dialogue:02}", "turn": turn, "speaker": "ab"[turn % 2],
                         "emotion": EMOTIONS[int(angering)]})  # fmt: skip
            if angering := bool(random.integers(2)):
                words[int(random.integers(3))] = "w0"
            rows[-1]["text"] = " ".join(words)
    splits = pd.DataFrame({
        "dialogue_id": [f"d{dialogue:02}" for dialogue in range(dialogues)],
        "split": ["train"] * (dialogues - 12) + ["dev"] * 6 + ["test"] * 6,
    }, dtype="str")  # fmt: skip
    return Corpus("talk", Path("/"), as_utterances(pd.DataFrame(rows)), splits, EMOTIONS)


def settings_with(folder: Path, context: int) -> FineTuneParameters:
    return settings(folder, context=context, cross_fit=2, max_epochs=10, patience=None, batch_size=8)


@pytest.fixture(scope="module")
def made(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EncoderReference]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(home))
        return home, finetune(replies(), settings_with(encoder_folder, 2))


@pytest.fixture
def encoder(made: tuple[Path, EncoderReference], monkeypatch: pytest.MonkeyPatch) -> EncoderReference:
    monkeypatch.setenv("HBAF_HOME", str(made[0]))
    return made[1]


def test_what_the_turn_before_tells_is_learned(encoder: EncoderReference, encoder_folder: Path) -> None:
    assert encoder.dev["weighted_f1"] > 0.85
    blind = finetune(replies(), settings_with(encoder_folder, 0).model_copy(update={"cross_fit": 0, "max_epochs": 3}))
    assert blind.dev["weighted_f1"] < 0.7  # 36 utterances of dev, labelled by what the encoder cannot see
    assert blind.digest != encoder.digest


def test_train_is_read_out_of_fold_with_its_context(encoder: EncoderReference, tmp_path: Path) -> None:
    corpus, store = replies(), FeatureStore(str(tmp_path))
    reference = extract_cross_fitted(corpus, encoder.name, store)
    assert reference.context == 2
    found, present = read_cross_fitted(corpus, reference, store)
    assert present.all()
    folds = find_encoder(encoder.digest).fold_of_rows(corpus)
    table = corpus.utterances
    for fold in (0, 1):
        row = int(np.flatnonzero((folds == fold) & (table["turn"] == 1).to_numpy())[0])
        window = Window((f"B: {table['text'][row - 1]}",), table["text"][row])
        alone = make_extractor(encoder.name, part=f"fold-{fold}", device="cpu").extract([window])  # type: ignore[list-item]
        np.testing.assert_allclose(found[row], alone[0], atol=1e-4)


def test_the_extractor_keeps_the_contract(encoder: EncoderReference) -> None:
    check_extractor(make_extractor(encoder.name, part="fold-1", device="cpu"))
    assert make_extractor(encoder.name).identity()["context"] == 2
    with pytest.raises(ValueError, match="no setting context"):
        make_extractor(encoder.name, context=3)  # it reads what it was trained with


def test_a_package_brings_the_context_along(encoder: EncoderReference, tmp_path: Path, monkeypatch: Any) -> None:
    corpus = replies(dialogues=14)
    carry(encoder.name, tmp_path / "package")
    here = read_column(corpus, extract_column(corpus, encoder.name, FeatureStore(str(tmp_path / "a"))),
                       FeatureStore(str(tmp_path / "a")))[0]  # fmt: skip
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "elsewhere"))
    adopt(tmp_path / "package")
    store = FeatureStore(str(tmp_path / "b"))
    reference = extract_column(corpus, encoder.name, store)
    assert reference.context == 2
    np.testing.assert_array_equal(read_column(corpus, reference, store)[0], here)


def test_a_changed_speaker_before_is_another_encoder(encoder: EncoderReference, encoder_folder: Path) -> None:
    corpus = replies()
    assert find_finished(corpus, settings_with(encoder_folder, 2)) is not None
    speakers = corpus.utterances.assign(speaker=corpus.utterances["speaker"].mask(corpus.utterances["turn"] == 1, "a"))
    assert find_finished(corpus.with_utterances(speakers), settings_with(encoder_folder, 2)) is None
    assert find_finished(corpus, settings_with(encoder_folder, 1)) is None


def test_a_speech_model_takes_no_context() -> None:
    with pytest.raises(FineTuneError, match="mfcc: reads no turns before"):
        finetune(replies(), FineTuneParameters(encoder="mfcc", context=2))
