"""What every extractor must keep, as a check that runs on any of them: the project's own and a user's.

A column is filled over weeks, by several processes, in batches of any make-up, and continued after a kill. That is only
sound if a row depends on its own item alone, comes out the same every time, and is wholly there or wholly NaN.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hbaf.corpus.windows import Window
from hbaf.features.extractor import SAMPLE_RATE, Extractor, context_of, extractor_digest

RTOL, ATOL = 1e-4, 1e-5  # float32 arithmetic in another order
HARMONICS = 8


class ContractError(AssertionError):
    """An extractor breaks a rule of the protocol; the message names the rule and what came."""


def check_extractor(extractor: Extractor, again: Callable[[], Extractor] | None = None) -> None:
    """Runs every rule on a few made-up utterances.

    Args:
        extractor: to be checked.
        again: makes another object of the same settings, as a resumed run would; None leaves that rule out.

    Raises:
        ContractError: the first rule that is broken.
    """
    _check_facts(extractor)
    good, bad = good_items(extractor.modality), bad_items(extractor.modality)
    if context_of(extractor):
        good = [*good, Window((f"B: {good[2]}", f"A: {good[0]}"), good[1])]
        bad = [*bad, Window((f"B: {good[0]}",), " ")]
    together = _extracted(extractor, good)
    _rule(np.isfinite(together).all(), extractor, "ordinary items must give finite numbers", together)
    _rule(
        not np.allclose(together[0], together[1]), extractor, "different items must give different rows", together[:2]
    )
    _check_batches(extractor, good, together)
    mixed = _extracted(extractor, [*bad, *good])
    empty, rest = mixed[: len(bad)], mixed[len(bad) :]
    _rule(np.isnan(empty).all(), extractor, "what cannot be computed must be a row of NaN, not an error", empty)
    _same(rest, together, extractor, "items that cannot be computed must not change the others")
    _rule(_extracted(extractor, []).shape == (0, extractor.dim), extractor, "no items must give no rows", "other shape")
    if again is not None:
        other = again()
        same = extractor_digest(other) == extractor_digest(extractor)
        _rule(same, extractor, "the same settings must give the same identity", other.identity())
        _same(_extracted(other, good), together, extractor, "the same items must give the same numbers", exact=True)


def good_items(modality: str) -> list[Any]:
    """Three ordinary utterances of different length."""
    if modality == "audio":
        return [tone(120, 0.5), tone(300, 0.9, 0.02), tone(200, 0.31)]
    return ["i am so happy today !", "what", "you do not know what is so sad today very very very sad is the a morning"]


def bad_items(modality: str) -> list[Any]:
    """Utterances that no extractor can compute: empty, far too short, not a number."""
    if modality == "text":
        return ["", "  \n "]
    broken = tone(120, 0.5)
    broken[17] = np.nan
    return [np.zeros(0, np.float32), tone(120, 0.01), broken]


def tone(hertz: float, seconds: float, loudness: float = 0.1) -> np.ndarray:
    """A buzz with eight harmonics and a little noise, (samples,) float32 at 16 kHz."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * hertz * number * time) / number for number in range(1, HARMONICS + 1))
    noise = np.random.default_rng(int(hertz)).normal(0, 0.01, len(time))
    return (loudness * (buzz + noise)).astype(np.float32)


def _check_facts(extractor: Extractor) -> None:
    _rule(isinstance(extractor, Extractor), extractor, "must have every attribute of the protocol", dir(extractor))
    _rule(extractor.modality in ("audio", "text"), extractor, 'modality is "audio" or "text"', extractor.modality)
    _rule(isinstance(extractor.dim, int) and extractor.dim > 0, extractor, "dim is a positive number", extractor.dim)
    _rule(bool(extractor.licence), extractor, "licence says something", extractor.licence)
    identity = extractor.identity()
    _rule({"name", "version"} <= set(identity), extractor, "identity names `name` and `version`", identity)
    named = identity.get("context", 0) == context_of(extractor)
    _rule(named, extractor, "identity names the `context` of an extractor that has one", identity)
    try:
        extractor_digest(extractor)
    except TypeError as error:
        raise ContractError(f"{extractor.name}: identity must be plain JSON values; {error}") from error


def _check_batches(extractor: Extractor, items: Sequence[Any], together: np.ndarray) -> None:
    alone = np.concatenate([_extracted(extractor, [item]) for item in items])
    _same(alone, together, extractor, "a row must not depend on its batch")
    turned = _extracted(extractor, items[::-1])[::-1]
    _same(turned, together, extractor, "a row must not depend on its place in the batch")
    _same(_extracted(extractor, items), together, extractor, "the same items must give the same numbers", exact=True)


def _extracted(extractor: Extractor, items: Sequence[Any]) -> np.ndarray:
    try:
        vectors = extractor.extract(items)
    except Exception as error:
        raise ContractError(
            f"{extractor.name}: raised {type(error).__name__} for {len(items)} items: {error}"
        ) from error
    wanted = (len(items), extractor.dim)
    shape = getattr(vectors, "shape", None)
    _rule(shape == wanted, extractor, f"the result is (items, dim) = {wanted}", shape)
    _rule(vectors.dtype == np.float32, extractor, "the result is float32", vectors.dtype)
    return vectors


def _same(found: np.ndarray, expected: np.ndarray, extractor: Extractor, rule: str, *, exact: bool = False) -> None:
    same = np.array_equal(found, expected) if exact else np.allclose(found, expected, RTOL, ATOL)
    _rule(same, extractor, rule, f"a difference of {np.abs(found - expected).max():.2g}")


def _rule(kept: object, extractor: Extractor, rule: str, came: object) -> None:
    if not kept:
        name = getattr(extractor, "name", type(extractor).__name__)
        raise ContractError(f"{name}: {rule}; found {str(came)[:200]}")
