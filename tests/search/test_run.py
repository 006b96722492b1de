"""A real search on a small corpus, on real databases: trials, refits, candidate, workers that see something else."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feature_store.files import Files
from hbaf.corpus.schema import Corpus
from hbaf.features.columns import Columns
from hbaf.parameters import SearchParameters
from hbaf.pipeline import decide
from hbaf.promotion.best_run import best_run
from hbaf.registry.tracking import MlflowClient, experiment_id
from hbaf.search import worker
from hbaf.search.end import StudyOutcome
from hbaf.search.plan import begin_study, storage_url, token_file
from hbaf.search.refit import Refit, best_trials, choose
from hbaf.search.run import OpenStudy, gpu_of, local_workers, run_study, visible_gpus
from hbaf.search.space import SearchError
from hbaf.search.study import TrialResult, results
from hbaf.search.worker import work
from hbaf.training.data import Vectors
from tests.registry.conftest import Prepared

SEARCH = SearchParameters(
    trials=4, study="whole", top=2, seeds=2, heartbeat=1, startup_trials=2, warmup_epochs=1, system_metrics=False
)


def search(prepared: Prepared, asked: SearchParameters, **changes) -> StudyOutcome:
    training = prepared.training.model_copy(update=changes)
    return run_study(prepared.reference, prepared.columns, prepared.features, prepared.model, training, asked)


def runs_of(study: str, role: str) -> list:
    return MlflowClient().search_runs(
        [experiment_id()], f"tags.\"hbaf.study\" = '{study}' and tags.\"hbaf.role\" = '{role}'", max_results=200
    )


@pytest.fixture(scope="session")
def outcome(prepared: Prepared) -> StudyOutcome:
    with prepared.in_use():
        return search(prepared, SEARCH)


@pytest.mark.long
def test_the_study_ends_with_the_trials_asked_for(prepared: Prepared, outcome: StudyOutcome):
    assert (outcome.finished, outcome.failed) == (4, 0)
    runs = runs_of("whole", "trial")
    assert len(runs) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {outcome.parent_run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    first = next(run for run in runs if run.data.tags["hbaf.trial"] == "0")
    assert first.info.run_name == "calls trial 000"
    assert first.data.tags["hbaf.corpus"] == "calls"
    assert [given.dataset.name for given in first.inputs.dataset_inputs] == ["calls"]
    assert first.data.params["training.learning_rate"] == str(prepared.training.learning_rate)
    assert first.data.params["model.tau"] == str(prepared.model.tau)
    assert first.data.params["features.audio"] == "mfcc"
    assert first.data.metrics["best/weighted_f1"] == pytest.approx(outcome.start)
    assert first.data.tags["corpus_digest"] == prepared.reference.digest


def test_only_kept_trials_have_curves(outcome: StudyOutcome):
    client = MlflowClient()
    for run in runs_of("whole", "trial"):
        pruned = run.data.tags["hbaf.trial.state"].startswith("pruned")
        assert bool(client.get_metric_history(run.info.run_id, "dev/loss")) is not pruned
        assert {"best/weighted_f1", "best/macro_f1", "best/epoch"} <= set(run.data.metrics)


def test_a_pruned_trial_counts_and_keeps_no_curve(prepared: Prepared):
    # A learning rate of a thousandth learns nothing beside the start's, so the median stops it.
    hopeless = {"learning_rate": (1e-9, 1e-3)}
    asked = SEARCH.model_copy(
        update={"study": "pruned", "trials": 6, "space": hopeless, "startup_trials": 1, "warmup_epochs": 0, "top": 1,
                "seeds": 1}
    )  # fmt: skip
    found = search(prepared, asked)
    assert found.finished == 6
    assert found.pruned > 0
    pruned = [run for run in runs_of("pruned", "trial") if run.data.tags["hbaf.trial.state"].startswith("pruned")]
    assert len(pruned) == found.pruned
    assert not any(MlflowClient().get_metric_history(run.info.run_id, "dev/loss") for run in pruned)


def test_refits_use_fresh_seeds_and_the_mean_chooses(prepared: Prepared, outcome: StudyOutcome):
    assert len(outcome.refits) == 2
    for refit in outcome.refits:
        assert set(refit.scores) == {prepared.training.seed + 1, prepared.training.seed + 2}
    assert outcome.refits[0].mean >= outcome.refits[1].mean
    parent = MlflowClient().get_run(outcome.parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["search/refit_mean_weighted_f1"] == pytest.approx(outcome.refits[0].mean)
    assert "search/best_single_weighted_f1" in parent.data.metrics
    assert [file.path for file in MlflowClient().list_artifacts(outcome.parent_run_id)] == ["search.html"]


def test_the_mean_wins_over_the_luckiest_trial(prepared: Prepared, outcome: StudyOutcome, monkeypatch):
    lucky = TrialResult(7, "complete", 0.9, {"model.tau": 0.1}, {})
    steady = TrialResult(8, "complete", 0.8, {"model.tau": 0.2}, {})
    plan = begin_study(
        prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, SEARCH
    )
    seeds = (1, 2)
    scores = {7: (0.9, 0.5), 8: (0.75, 0.77)}
    refits = [
        TrialResult(0, "complete", score, {}, {"setting": n, "seed": s, "keeps_model": s == 1, "mlflow_run": f"r{n}"})
        for n, values in scores.items()
        for s, score in zip(seeds, values, strict=True)
    ]
    monkeypatch.setattr("hbaf.search.refit.results", lambda study: {"t": [lucky, steady], "r": refits}[study])
    assert [trial.number for trial in best_trials("t", 2)] == [7, 8]
    chosen = choose(plan, "t", "r")
    assert [refit.setting for refit in chosen] == [8, 7]
    assert chosen[0] == Refit(8, {"model.tau": 0.2}, 0.8, {1: 0.75, 2: 0.77}, "r8")


def test_the_candidate_is_registered_without_an_alias_and_promoted_before_others(
    prepared: Prepared, outcome: StudyOutcome
):
    version = MlflowClient().get_model_version(outcome.model, outcome.version)
    assert version.run_id == outcome.candidate.run_id
    assert version.tags["hbaf.stage"] == "candidate"
    assert not version.aliases
    newest = best_run(prepared.reference)
    assert MlflowClient().get_run(newest.run_id).data.tags["hbaf.candidate"]
    assert decide(outcome.candidate, prepared.reference, prepared.columns).version == outcome.version


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_same_name_goes_on_with_processes_and_a_killed_worker(prepared: Prepared, outcome: StudyOutcome):
    """Two processes add trials to the study; one of them is killed with -9 in mid-trial."""
    asked = SEARCH.model_copy(update={"trials": 7, "workers": 2})
    killed: list[str] = []

    def kill_one(study: OpenStudy) -> None:
        def watch() -> None:
            while not killed:
                running = [t for t in results(study.search) if t.state == "running" and "mlflow_run" in t.notes]
                if running:
                    os.kill(int(running[0].notes["worker"].split(":")[1]), signal.SIGKILL)
                    killed.append(running[0].notes["mlflow_run"])
                time.sleep(0.02)

        threading.Thread(target=watch, daemon=True).start()
        local_workers(study)

    found = run_study(
        prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, asked,
        workers=kill_one,
    )  # fmt: skip
    assert found.parent_run_id == outcome.parent_run_id
    assert found.finished == 7
    assert found.failed == 1
    assert MlflowClient().get_run(killed[0]).info.status == "FAILED"
    statuses = [run.info.status for run in runs_of("whole", "trial")]
    assert sorted(statuses) == ["FAILED", *["FINISHED"] * 7]


@pytest.mark.long
def test_a_schedulers_notice_queues_the_trial_again(prepared: Prepared):
    """SIGTERM to `hbaf search-worker`, as Slurm and systemd send it; the heartbeat would find out a minute later."""
    asked = SEARCH.model_copy(update={"study": "noticed", "heartbeat": 20, "prune": False})
    training = prepared.training.model_copy(update={"max_epochs": 2000, "patience": 2000})
    plan = begin_study(prepared.reference, prepared.columns, prepared.features, prepared.model, training, asked)
    study = plan.open("search", storage_url(asked))
    command = [sys.executable, "-m", "hbaf.cli", "search-worker", "noticed"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not any(trial.state == "running" and "mlflow_run" in trial.notes for trial in results(study)):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 143
    finally:
        worker.kill()
    assert [trial.state for trial in results(study)] == ["fail", "waiting"]
    assert {run.info.status for run in runs_of("noticed", "trial")} == {"FAILED"}


def test_a_name_is_of_one_search_only(prepared: Prepared, outcome: StudyOutcome):
    with pytest.raises(SearchError, match="other data, settings or ranges"):
        search(prepared, SEARCH, weight_decay=0.1)


def test_a_worker_that_sees_another_store_or_mlflow_says_so(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = SEARCH.model_copy(update={"study": "proof"})
    begin_study(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training, asked)
    files = Files(prepared.columns.audio.store_url)
    token = files.read(token_file("proof"))
    files.write(token_file("proof"), b"another")
    with pytest.raises(SearchError, match="does not see the feature store"):
        work("proof", storage_url(asked))
    files.write(token_file("proof"), token)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(SearchError, match="MLFLOW_TRACKING_URI"):
        work("proof", storage_url(asked))


def test_workers_share_gpus_by_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 3")
    gpus = visible_gpus()
    assert [gpu_of(worker, gpus, per_gpu=1) for worker in range(4)] == ["2", "3", "2", "3"]
    assert [gpu_of(worker, gpus, per_gpu=2) for worker in range(4)] == ["2", "2", "3", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_no_password_reaches_mlflow(outcome: StudyOutcome):
    assert "search.storage" not in MlflowClient().get_run(outcome.parent_run_id).data.params


@pytest.mark.slow
def test_folds_give_the_mean_and_never_see_the_test_split(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    whole = worker.read_vectors
    test = set(prepared.reference.corpus.in_split("test")["dialogue_id"])
    assert test

    def with_poison(corpus: Corpus, columns: Columns) -> Vectors:
        """Not numbers in the test split: whoever learned from it, or chose by it, would fail or say so."""
        vectors = whole(corpus, columns)
        there = corpus.utterances["dialogue_id"].isin(test).to_numpy()
        return replace(vectors, **{m: np.where(there[:, None], np.nan, getattr(vectors, m)) for m in ("audio", "text")})

    monkeypatch.setattr(worker, "read_vectors", with_poison)
    asked = SEARCH.model_copy(update={"study": "folded", "folds": 2, "trials": 1, "top": 1, "seeds": 2, "prune": False})
    training = prepared.training.model_copy(update={"max_epochs": 2})
    plan = begin_study(prepared.reference, prepared.columns, prepared.features, prepared.model, training, asked)
    work("folded", storage_url(asked))
    for role, count in (("trial", 1), ("refit", 2)):
        runs = runs_of("folded", role)
        assert len(runs) == count
        for run in runs:
            scores = [run.data.metrics[f"fold/{number}/weighted_f1"] for number in range(2)]
            assert 0 < min(scores) <= 1
            assert run.data.metrics["fold/mean/weighted_f1"] == pytest.approx(sum(scores) / 2)
            assert run.data.tags["hbaf.search.folds"] == "2 of train and dev by dialogue, seed 0"
    refits = choose(plan, plan.open("search", storage_url(asked)), plan.open("refit", storage_url(asked)))
    assert refits[0].mean == pytest.approx(
        sum(run.data.metrics["fold/mean/weighted_f1"] for run in runs_of("folded", "refit")) / 2
    )
    with pytest.raises(SearchError, match="a study of this name exists"):
        begin_study(
            prepared.reference, prepared.columns, prepared.features, prepared.model, training,
            asked.model_copy(update={"folds": 3}),
        )  # fmt: skip
