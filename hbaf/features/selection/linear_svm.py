"""One-vs-rest linear SVMs with squared hinge loss, all classes at once.

The optimum is that of scikit-learn's `LinearSVC(C=c)`, which a test compares. Its solver copies dense vectors into a
sparse form and takes the classes one by one; here matrix products serve all of them, which on 1200 x 6373 openSMILE
numbers and 8 classes takes a twentieth of the time. n rows, d numbers, k classes.

    minimise over w, b:  (|w|² + b²) / 2 + c Σ max(0, 1 - y (w·x + b))²,   y = 1 for the class, -1 for the rest
"""

import numpy as np

MOST_PRODUCTS = 300  # conjugate-gradient steps within one Newton step
MOST_HALVINGS = 20  # of a Newton step that does not lower the loss


def fit_linear_svm(
    vectors: np.ndarray, classes: np.ndarray, c: float, tolerance: float = 1e-4, iterations: int = 50
) -> tuple[np.ndarray, bool]:
    """Fits the weights by Newton's method; the same rows give the same weights.

    Args:
        vectors: (n, d), scaled.
        classes: (n,) class of each row, two different ones at least.
        c: weight of the losses against the size of w; smaller regularises more.
        tolerance: the gradient's norm to stop at, relative to where it began.
        iterations: Newton steps at most.

    Returns:
        (k, d) float64 weights without b, classes in sorted order, and whether all of them converged.
    """
    from threadpoolctl import threadpool_limits

    # One thread: threads that wait for each other's small products on a busy machine cost ten times the work, and
    # the order of sums, so the last digits of the weights, would depend on the number of cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit(vectors, classes, c, tolerance, iterations)


def _fit(
    vectors: np.ndarray, classes: np.ndarray, c: float, tolerance: float, iterations: int
) -> tuple[np.ndarray, bool]:
    target = np.where(np.asarray(classes)[:, None] == np.unique(classes), 1.0, -1.0)  # (n, k)
    if len(vectors) >= vectors.shape[1]:
        weights, converged = _newton(_with_one(vectors), target, c, tolerance, iterations)
        return weights[:-1].T, converged
    # The weights are a combination of the rows, so n coordinates are enough: an exact rotation of the problem.
    wide = vectors.astype(np.float64)
    power, axes = np.linalg.eigh(wide @ wide.T)
    kept = power > 1e-12 * power[-1]
    length, axes = np.sqrt(power[kept]), axes[:, kept]
    weights, converged = _newton(_with_one(axes * length), target, c, tolerance, iterations)
    return (wide.T @ (axes @ (weights[:-1] / length[:, None]))).T, converged


def _with_one(vectors: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, d + 1) float64, the last number 1: its weight is b."""
    extended = np.ones((len(vectors), vectors.shape[1] + 1))
    extended[:, :-1] = vectors
    return extended


def _newton(x: np.ndarray, y: np.ndarray, c: float, tolerance: float, iterations: int) -> tuple[np.ndarray, bool]:
    """(d + 1, k) weights. The loss is piecewise quadratic: the rows within the margin make the Hessian."""
    weights = np.zeros((x.shape[1], y.shape[1]))
    scores = np.zeros_like(y)  # (n, k)
    begun = None
    for _ in range(iterations):
        inside = y * scores < 1
        gradient = weights + 2 * c * ((inside * (scores - y)).T @ x).T
        norm = np.linalg.norm(gradient, axis=0)
        begun = norm if begun is None else begun
        if (norm <= tolerance * begun).all():
            return weights, True
        # Far from the optimum an exact step is wasted, near it a rough one is.
        goal = norm * np.minimum(0.1, np.sqrt(norm / begun))
        step = _conjugate_gradients(x, inside, gradient, c, goal)
        moved = x @ step
        share = _line_search(weights, step, scores, moved, y, c, (gradient * step).sum(axis=0))
        weights, scores = weights + share * step, scores + share * moved
    return weights, False


def _conjugate_gradients(
    x: np.ndarray, inside: np.ndarray, gradient: np.ndarray, c: float, goal: np.ndarray
) -> np.ndarray:
    """(d + 1, k): solves Hessian · step = -gradient for each class until its residual is below `goal`."""
    step, residual = np.zeros_like(gradient), -gradient
    direction, size = residual.copy(), (residual**2).sum(axis=0)
    for _ in range(MOST_PRODUCTS):
        open_ = size > goal**2
        if not open_.any():
            break
        product = direction + 2 * c * ((inside * (x @ direction)).T @ x).T
        curvature = (direction * product).sum(axis=0)
        length = np.where(open_, size / np.where(open_, curvature, 1.0), 0.0)
        step += length * direction
        residual -= length * product
        smaller = (residual**2).sum(axis=0)
        direction = residual + np.where(open_, smaller / np.where(open_, size, 1.0), 0.0) * direction
        size = np.where(open_, smaller, size)
    return step


def _line_search(
    weights: np.ndarray,
    step: np.ndarray,
    scores: np.ndarray,
    moved: np.ndarray,
    y: np.ndarray,
    c: float,
    descent: np.ndarray,
) -> np.ndarray:
    """(k,) shares of the step, 1 wherever the whole of it lowers the loss enough."""

    def loss(share: np.ndarray) -> np.ndarray:
        hinge = np.maximum(0.0, 1 - y * (scores + share * moved))
        return 0.5 * ((weights + share * step) ** 2).sum(axis=0) + c * (hinge**2).sum(axis=0)

    share = np.ones(y.shape[1])
    before = loss(np.zeros_like(share))
    for _ in range(MOST_HALVINGS):
        worse = loss(share) > before + 1e-4 * share * descent + 1e-12 * before
        if not worse.any():
            break
        share = np.where(worse, share / 2, share)
    return share
