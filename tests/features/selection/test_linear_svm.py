"""The SVM against scikit-learn's."""

import numpy as np
import pytest

from hbaf.features.selection.linear_svm import fit_linear_svm


def correlated(rows: int, dim: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Class means in numbers that hang together, as acoustic ones do."""
    generator = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    hidden = generator.normal(size=(rows, 12)) + np.eye(classes, 12)[labels]
    vectors = hidden @ generator.normal(size=(12, dim)) + generator.normal(size=(rows, dim))
    return ((vectors - vectors.mean(axis=0)) / vectors.std(axis=0)).astype(np.float32), labels


@pytest.mark.parametrize(("rows", "dim"), [(300, 40), (80, 200)], ids=["tall", "wide"])
@pytest.mark.parametrize("c", [0.001, 0.1])
def test_weights_are_those_of_scikit_learn(rows: int, dim: int, c: float) -> None:
    from sklearn.svm import LinearSVC

    vectors, labels = correlated(rows, dim, 4)
    expected = LinearSVC(C=c, dual=False, tol=1e-8, max_iter=5000).fit(vectors, labels).coef_
    weights, converged = fit_linear_svm(vectors, labels, c, tolerance=1e-8)
    assert converged
    np.testing.assert_allclose(weights, expected, atol=1e-5 * np.abs(expected).max())


def test_two_classes_are_mirror_images() -> None:
    vectors, labels = correlated(100, 10, 2)
    weights, _ = fit_linear_svm(vectors, labels, 0.01)
    np.testing.assert_allclose(weights[0], -weights[1], atol=1e-12)


def test_stopping_early_is_told() -> None:
    vectors, labels = correlated(100, 10, 3)
    assert not fit_linear_svm(vectors, labels, 1.0, tolerance=1e-12, iterations=2)[1]


def test_repeated_and_empty_rows_are_no_trouble() -> None:
    vectors, labels = correlated(20, 50, 2)
    doubled = np.concatenate([vectors, vectors, np.zeros((1, 50), np.float32)])
    weights, converged = fit_linear_svm(doubled, np.concatenate([labels, labels, [0]]), 0.01)
    assert converged
    assert np.isfinite(weights).all()
