"""Published features as columns: joined by utterance, single missing values filled in, nothing invented."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feature_store.store import FeatureStore
from hbaf.corpus.published.load import load_published
from hbaf.corpus.readers.imported import read_imported, save_imported, with_dev
from hbaf.corpus.schema import Corpus, CorpusError, as_utterances
from hbaf.features.columns import check_identities, default_store, extract_features, extractors
from hbaf.features.imported.columns import import_features, with_commonsense
from hbaf.features.selection.audio_selection import AudioSelection, fit_selection, identity_scaling
from hbaf.parameters import CorpusParameters, FeatureParameters
from hbaf.training.data import fit_representation, make_dialogues, read_vectors

NAN = np.nan


def corpus(count: int = 8) -> Corpus:
    """Two turns a dialogue, texts alone; the last dialogue is test, the one before it dev."""
    table = pd.DataFrame(
        {
            "corpus": "calls",
            "dialogue_id": [f"d{row // 2}" for row in range(count)],
            "turn": [row % 2 for row in range(count)],
            "speaker": "A",
            "text": [f"sentence {row}" for row in range(count)],
            "audio_problem": "no audio: there are no clips",
            "emotion": ["joy" if row % 2 else "anger" for row in range(count)],
        }
    )
    names = [*["train"] * (count // 2 - 2), "dev", "test"]
    splits = pd.DataFrame({"dialogue_id": [f"d{n}" for n in range(count // 2)], "split": names}, dtype="str")
    return Corpus("calls", Path("/nowhere"), as_utterances(table), splits, ("anger", "joy"))


def write_npz(path: Path, values: np.ndarray, ids: list[str], **more: np.ndarray) -> Path:
    np.savez(path, utterance_id=np.array(ids), voice=values.astype(np.float32), **more)
    return path


@pytest.fixture
def imported(tmp_path: Path) -> Corpus:
    """Columns `imported:praat` for six of eight utterances: row n holds n, 10 n and 100 n; some values are missing."""
    calls = corpus()
    ids = calls.utterances["utterance_id"].tolist()
    values = np.arange(8)[:, None] * np.array([1.0, 10.0, 100.0])
    values[1, 2] = NAN  # one value of train
    values[3] = NAN  # all of train row 3
    values[7, 0] = NAN  # one value of test
    order = [7, 3, 1, 0, 2, 5]  # not the corpus's order; 4 and 6 have no row
    path = write_npz(tmp_path / "praat.npz", values[order], [ids[row] for row in order])
    found = import_features(load_published(path, "npz"), calls, default_store(), "praat")
    assert [(column.name, column.dim, column.utterances) for column in found] == [("imported:praat", 3, 6)]
    return calls


FEATURES = FeatureParameters(audio="imported:praat", text="imported:praat")


def test_rows_are_joined_by_utterance_and_count_as_audio_without_any_file(imported: Corpus) -> None:
    vectors = read_vectors(imported, extract_features(imported, FEATURES))
    assert vectors.audio[[0, 2, 5], 1].tolist() == [0, 20, 50]
    # Row 3 has nothing but NaN, rows 4 and 6 are not in the file; rows 1 and 7 lack single values.
    assert vectors.has_audio.tolist() == [True, True, True, False, False, True, False, True]
    assert vectors.has_text.tolist() == [True, False, True, False, False, True, False, False]


def test_single_missing_values_take_the_median_of_train(imported: Corpus) -> None:
    vectors = read_vectors(imported, extract_features(imported, FEATURES))
    representation = fit_representation(imported, vectors, FEATURES, selects=False)
    assert representation.audio.fill is not None
    # Train holds rows 0, 1 and 2 whole enough: medians of 0, 1, 2 and of 0, 20 -> in the third number of 0, 200.
    assert representation.audio.fill.tolist() == [1.0, 10.0, 100.0]
    dialogues = make_dialogues(imported, vectors, representation, imported.utterances, imported.emotions)
    audio = np.concatenate([dialogue.audio for dialogue in dialogues])
    assert np.isfinite(audio).all()
    assert audio[3].tolist() == [0, 0, 0], "a row without anything is missing, not a median"
    assert audio[7, 0] == pytest.approx(0.0), "1 is the mean of train too, so its z-score is 0"
    assert audio[7, 1] == pytest.approx((70 - 10) / np.std([0, 10, 20]), rel=1e-6)


def test_the_fill_is_saved_and_part_of_the_digest(tmp_path: Path) -> None:
    rows = np.array([[1.0, NAN], [3.0, 5.0], [2.0, 7.0]], np.float32)
    fitted = fit_selection(rows, fill_in=True)
    fitted.save(tmp_path / "s.safetensors")
    loaded = AudioSelection.load(tmp_path / "s.safetensors")
    assert loaded.digest() == fitted.digest() != replace(fitted, fill=None).digest()
    np.testing.assert_array_equal(loaded.apply(rows), fitted.apply(rows))
    assert np.isnan(fit_selection(rows).apply(rows)[0]).all(), "without a fill the row is missing"


def test_a_corpus_without_sound_can_be_fitted(imported: Corpus) -> None:
    vectors = read_vectors(imported, extract_features(imported, FEATURES))
    silent = replace(vectors, audio=np.full_like(vectors.audio, NAN), has_audio=np.zeros(8, bool))
    representation = fit_representation(imported, silent, FEATURES, selects=False)
    assert representation.audio.digest() == identity_scaling(3).digest()


def test_identity_and_licence_travel_with_a_model(imported: Corpus, tmp_path: Path) -> None:
    named = extractors(FEATURES)
    identity = {"audio": dict(named["audio"].identity())}
    assert named["audio"].commercial is False
    check_identities(FEATURES, identity)
    other = write_npz(tmp_path / "other.npz", np.ones((8, 3)), imported.utterances["utterance_id"].tolist())
    import_features(load_published(other, "npz"), imported, default_store(), "praat")
    with pytest.raises(ValueError, match="is not the one"):
        check_identities(FEATURES, identity)
    with pytest.raises(CorpusError, match="cannot be computed"):
        named["audio"].extract(["words"])


def test_names_that_were_not_imported_say_what_there_is(imported: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is: praat"):
        extract_features(imported, FEATURES.model_copy(update={"audio": "imported:parrot"}))
    ids = imported.utterances["utterance_id"].tolist()
    path = write_npz(tmp_path / "two.npz", np.ones((8, 3)), ids, face=np.ones((8, 2), np.float32))
    assert len(import_features(load_published(path, "npz"), imported, default_store(), "two")) == 2
    with pytest.raises(CorpusError, match=r"which feature\? There are: imported:two/voice, imported:two/face"):
        extract_features(imported, FEATURES.model_copy(update={"audio": "imported:two"}))
    assert extract_features(imported, FEATURES.model_copy(update={"audio": "imported:two/face"})).audio.dim == 2


def test_a_file_of_another_corpus_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", np.ones((2, 3)), ["others/d0/0", "others/d0/1"])
    with pytest.raises(CorpusError, match=r"none of the 8 utterances of calls.*others/d0/0"):
        import_features(load_published(path, "npz"), corpus(), FeatureStore(tmp_path / "store"), "a")


def test_a_shifted_rank_never_joins_another_vector(imported: Corpus, tmp_path: Path) -> None:
    table = imported.utterances.assign(source_id=[f"n{row}" for row in range(8)])
    numbered = imported.with_utterances(table)
    vectors = read_vectors(numbered, extract_features(numbered, FEATURES))
    assert not vectors.has_audio.any(), "same ids, other source numbers: these are other utterances"


def test_dev_is_drawn_from_train_by_dialogue_and_seed() -> None:
    calls = corpus(40)
    calls = replace(calls, splits=calls.splits.assign(split=calls.splits["split"].replace("dev", "train")))
    drawn = with_dev(calls, 0.25, seed=0)
    assert drawn.splits["split"].value_counts().to_dict() == {"train": 14, "dev": 5, "test": 1}
    assert with_dev(calls, 0.25, seed=0).splits_digest() == drawn.splits_digest()
    assert with_dev(calls, 0.25, seed=1).splits_digest() != drawn.splits_digest()
    assert with_dev(drawn, 0.5, seed=1).splits_digest() == drawn.splits_digest(), "a dev split that is there stays"


def test_the_three_relations_become_the_commonsense_vector() -> None:
    relations = {
        name: np.full((2, 4), number, np.float32) for number, name in enumerate(("xIntent", "xReact", "xEffect"))
    }
    assert with_commonsense(relations)["commonsense"][0].tolist() == [1] * 4 + [2] * 4 + [0] * 4
    assert set(with_commonsense({"xIntent": np.ones((1, 2))})) == {"xIntent"}


def test_an_imported_corpus_is_read_by_its_name() -> None:
    save_imported(corpus())
    assert read_imported(CorpusParameters(reader="imported", name="calls")).digest() == corpus().digest()
    with pytest.raises(CorpusError, match="there is: calls"):
        read_imported(CorpusParameters(reader="imported", name="sdt"))


def test_the_praat_features_of_meld(real_data: Path) -> None:
    from hbaf.corpus.readers.meld import read_meld

    meld = read_meld(CorpusParameters(reader="meld", root=real_data / "meld"))
    published = load_published(real_data / "meld" / "meld_praat8.npz", "npz")
    (column,) = import_features(published, meld, default_store(), "praat8")
    assert (column.dim, column.utterances) == (8, 13_708)
    features = FeatureParameters(audio="imported:praat8", text="imported:praat8")
    vectors = read_vectors(meld, extract_features(meld, features))
    # All eight are missing for the corrupt and for the missing clip alone; pitch and rate of others are filled in.
    absent = meld.utterances.loc[~vectors.has_audio, "source_id"].tolist()
    assert sorted(absent) == ["dia110_utt7", "dia125_utt3"]
    seconds = meld.utterances["subtitle_seconds"].to_numpy()
    there = vectors.has_audio & (seconds > 0.5) & (seconds < 30)
    assert np.median(np.abs(vectors.audio[there, 0] - seconds[there])) < 0.1, "duration belongs to its own utterance"
