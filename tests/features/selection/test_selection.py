"""Scaling and SVM selection."""

from pathlib import Path

import numpy as np
import pytest

from hbaf.features.selection.audio_selection import AudioSelection, fit_selection


def made_up(rows: int = 240, dim: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that numbers 3, 11 and 29 tell apart; the others are noise of wild scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, rows)
    vectors = generator.normal(size=(rows, dim))
    for label, number in enumerate((3, 11, 29)):
        vectors[:, number] += 3 * (labels == label)
    return (vectors * 10.0 ** generator.uniform(-6, 12, dim) + 5).astype(np.float32), labels


def test_the_numbers_that_tell_classes_apart_are_kept() -> None:
    vectors, labels = made_up()
    selection = fit_selection(vectors, labels, 3)
    assert selection.indices is not None
    assert selection.indices.tolist() == [3, 11, 29]
    assert selection.apply(vectors).shape == (240, 3)
    assert selection.converged


def test_ranking_is_the_mean_absolute_weight() -> None:
    from sklearn.svm import LinearSVC

    vectors, labels = made_up()
    z = np.clip((vectors - vectors.mean(0, dtype=np.float64)) / vectors.astype(np.float64).std(0), -10, 10)
    weight = np.abs(LinearSVC(C=0.01, random_state=0).fit(z, labels).coef_).mean(axis=0)
    selection = fit_selection(vectors, labels, 10, svm_c=0.01)
    assert selection.indices is not None
    assert selection.indices.tolist() == sorted(np.argsort(-weight)[:10].tolist())


def test_z_scores_are_of_the_rows_given_and_clipped() -> None:
    # Mean 2, deviation sqrt(2/3) for 1, 2, 3; the second number never changes.
    selection = fit_selection(np.array([[1, 7], [2, 7], [3, 7]], np.float32))
    applied = selection.apply(np.array([[3, 7], [1e9, 8], [np.nan, 7]], np.float32))
    np.testing.assert_allclose(applied[:2], [[1.5**0.5, 0], [10, 1]], rtol=1e-6)
    assert np.isnan(applied[2]).all()
    assert applied.dtype == np.float32
    assert selection.scale[1] == 1


def test_a_constant_with_rounding_does_not_blow_up() -> None:
    vectors = np.full((1000, 1), 123456.789, np.float32)
    assert np.abs(fit_selection(vectors).apply(vectors)).max() < 1e-6


def test_rows_that_are_not_given_have_no_influence() -> None:
    vectors, labels = made_up()
    train = slice(0, 160)
    before = fit_selection(vectors[train], labels[train], 5)
    vectors[160:] = 1e30
    assert fit_selection(vectors[train], labels[train], 5).digest() == before.digest()


def test_nan_and_infinite_rows_are_left_out() -> None:
    vectors, labels = made_up()
    clean = fit_selection(vectors, labels, 5)
    holes = np.full((2, 40), np.nan, np.float32)
    holes[1] = np.inf
    dirty = fit_selection(np.concatenate([holes, vectors]), np.concatenate([[0, 1], labels]), 5)
    assert dirty.digest() == clean.digest()


def test_unlabelled_rows_count_for_the_scaling_alone() -> None:
    vectors, labels = made_up()
    partly = labels.copy()
    partly[200:] = -1
    selection = fit_selection(vectors, partly, 3)
    np.testing.assert_array_equal(selection.mean, fit_selection(vectors).mean)
    assert selection.indices is not None
    assert selection.indices.tolist() == [3, 11, 29]


def test_selecting_all_or_more_is_scaling() -> None:
    vectors, labels = made_up()
    assert fit_selection(vectors, labels, 40).indices is None
    assert fit_selection(vectors, labels, 512).dim == 40


def test_values_of_opensmile_size_stay_finite() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * np.array(
        [1e12, 1e-12, 1e37], np.float32
    )
    assert np.abs(fit_selection(vectors).apply(vectors).std(axis=0) - 1).max() < 0.05


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    vectors, labels = made_up()
    for select in (None, 7):
        selection = fit_selection(vectors, labels, select, source="column", train="ids")
        selection.save(tmp_path / "selection.safetensors")
        loaded = AudioSelection.load(tmp_path / "selection.safetensors")
        assert loaded.digest() == selection.digest()
        assert (loaded.source, loaded.train, loaded.clip, loaded.dim) == ("column", "ids", 10.0, select or 40)
        np.testing.assert_array_equal(loaded.apply(vectors), selection.apply(vectors))


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "selection.safetensors"
    fit_selection(made_up()[0]).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        AudioSelection.load(path)
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(ValueError, match="no selection in it"):
        AudioSelection.load(path)


def test_digest_knows_where_it_was_fitted() -> None:
    vectors, labels = made_up()
    digests = {
        fit_selection(vectors, labels, 5, source=source, train=train).digest() for source in "ab" for train in "cd"
    }
    assert len(digests) == 4


def test_what_cannot_be_fitted_says_why() -> None:
    vectors, labels = made_up()
    with pytest.raises(ValueError, match="none of 2 rows has a whole vector"):
        fit_selection(np.full((2, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="two classes or more"):
        fit_selection(vectors, np.zeros(240, int), 5)
    with pytest.raises(ValueError, match="one label per row, 240"):
        fit_selection(vectors, labels[:5], 5)
    with pytest.raises(ValueError, match="fitted on 40 numbers per row"):
        fit_selection(vectors).apply(vectors[:, :39])
