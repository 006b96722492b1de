"""Which run `promote` takes: of every variant, with what was passed over and why; on a real MLflow database."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from hbaf.corpus.schema import CorpusReference
from hbaf.promotion.best_run import NoRunError, best_run
from hbaf.registry.runs import RunReference, train_and_log
from hbaf.registry.tracking import MlflowClient, run
from tests.registry.conftest import Prepared

Log = Callable[..., str]


@pytest.fixture(scope="module")
def trained(prepared: Prepared) -> RunReference:
    with prepared.in_use():
        return train_and_log(
            prepared.reference, prepared.columns, prepared.features, prepared.model,
            prepared.training.model_copy(update={"max_epochs": 1, "seed": 9}),
        )  # fmt: skip


@pytest.fixture
def corpus(prepared: Prepared) -> CorpusReference:
    """One without runs."""
    return replace(prepared.reference, digest=uuid4().hex)


@pytest.fixture
def logged(corpus: CorpusReference, trained: RunReference) -> Log:
    """Runs of that corpus with the dev scores that a test wants, and the package of a trained one."""

    def log(variant: str, dev: float, **tags: str) -> str:
        given = {
            "corpus_digest": corpus.digest, "splits_digest": corpus.splits_digest, "hbaf.variant": variant,
            "hbaf.model_uri": trained.model_uri, **{f"hbaf.{name}": value for name, value in tags.items()},
        }  # fmt: skip
        with run("made-up", tags=given) as made:
            made.log_metrics({"best/weighted_f1": dev})
        return str(made.run_id)

    return log


def test_the_best_on_dev_of_every_variant_is_taken(corpus: CorpusReference, logged: Log) -> None:
    bimodal, audio = logged("bimodal", 0.305), logged("audio", 0.482)
    found = best_run(corpus)
    assert found.run_id == audio
    assert found.passed_over == (
        f"taken: audio run {audio[:8]}, dev 0.482",
        f"passed over: bimodal run {bimodal[:8]}, dev 0.305: not ahead on dev",
    )
    assert best_run(corpus, bimodal).run_id == bimodal
    assert best_run(corpus, bimodal).passed_over == ()


def test_of_equals_the_one_that_reads_both(corpus: CorpusReference, logged: Log) -> None:
    logged("audio", 0.4)
    bimodal = logged("bimodal", 0.4)
    logged("text", 0.4)
    assert best_run(corpus).run_id == bimodal


def test_one_run_alone_passes_over_nothing(corpus: CorpusReference, logged: Log) -> None:
    only = logged("text", 0.4)
    assert best_run(corpus) == replace(best_run(corpus), run_id=only, passed_over=())


def test_a_search_goes_before_luck_and_not_before_a_better_variant(corpus: CorpusReference, logged: Log) -> None:
    searched = logged("bimodal", 0.50, candidate="nightly")
    luckiest, audio = logged("bimodal", 0.60), logged("audio", 0.54)
    found = best_run(corpus)
    assert found.run_id == searched
    assert any(
        luckiest[:8] in line and "a search of this variant chose over several seeds" in line
        for line in found.passed_over
    )
    assert any(audio[:8] in line and "no more than promotion.search_margin, 0.05" in line for line in found.passed_over)

    far = logged("audio", 0.66)
    found = best_run(corpus)
    assert found.run_id == far
    assert any(searched[:8] in line and "by more than promotion.search_margin" in line for line in found.passed_over)
    assert best_run(corpus, margin=0.2).run_id == searched


def test_a_lucky_run_of_the_searched_variant_does_not_hide_a_better_variant(
    corpus: CorpusReference, logged: Log
) -> None:
    logged("bimodal", 0.50, candidate="nightly")
    lucky = logged("bimodal", 0.90)
    audio = logged("audio", 0.80)
    found = best_run(corpus)
    assert found.run_id == audio
    assert any(lucky[:8] in line and "a search of this variant" in line for line in found.passed_over)


def test_runs_with_other_splits_do_not_count_and_are_named(corpus: CorpusReference, logged: Log) -> None:
    made = logged("text", 0.4)
    MlflowClient().set_tag(made, "splits_digest", "another")
    with pytest.raises(NoRunError, match="there are runs with other ones"):
        best_run(corpus)
    with pytest.raises(NoRunError, match="not in MLflow"):
        best_run(corpus, "0" * 32)
