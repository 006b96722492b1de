"""The bench end to end on a small corpus: runs are made once, fail alone, look at test once, and are all reported."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.comparison import jobs
from hbaf.comparison.bench import Cell, Comparison, compare, job_of
from hbaf.comparison.cost import SPEEDS, WIDTHS, cost_of
from hbaf.comparison.pages.page import write_page
from hbaf.comparison.pages.render import as_markdown, latex
from hbaf.comparison.report import run_comparison
from hbaf.comparison.reproduce import paper_set, representations_of_the_paper
from hbaf.comparison.systems import UnknownSystem, parse_systems
from hbaf.comparison.table import rows_of
from hbaf.comparison.tuning import trial_changes
from hbaf.corpus.schema import load_corpus
from hbaf.features.columns import default_store
from hbaf.parameters import ComparisonParameters, from_recipe
from hbaf.registry.records.comparisons import EXPERIMENT
from hbaf.registry.records.test_looks import EXPERIMENT as LOOKS
from hbaf.registry.tracking import MlflowClient
from hbaf.scoring.hub import hub_model
from hbaf.training import members
from tests.features.conftest import text_classifier  # noqa: F401  # fixture

Changes = dict[str, dict[str, object]]


def asking(systems: str, **values: object) -> ComparisonParameters:
    return ComparisonParameters(**{"systems": systems, "seeds": 2, "workers": 1, **values})


def looks(home: Path) -> list[dict[str, str]]:
    path = home / "test-looks.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="session")
def whole(cell: Cell, own: Path, shared_home: Path, changes: Changes) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(shared_home))
        systems = f"majority,bc-lstm,hbaf,hbaf-no-gate,{own}/systems.py:Joined,{own}/systems.py:Broken"
        return compare([cell], asking(systems), changes)


def test_a_system_that_fails_loses_nothing_else(whole: Comparison) -> None:
    rows = {row.system.rpartition(":")[2]: row for row in rows_of(whole)}
    assert rows["Broken"].seeds == 0
    assert "seed 0: RuntimeError: this one cannot" in rows["Broken"].failures
    assert all(row.seeds == 2 and 0 <= row.low <= row.f1 <= row.high <= 1 for name, row in rows.items()
               if name != "Broken")  # fmt: skip
    assert rows["hbaf"].difference is None
    assert rows["majority"].p is not None
    assert [rows[name].standing for name in ("majority", "bc-lstm", "hbaf-no-gate", "Joined")] == [
        "floor", "published", "variant", "own",
    ]  # fmt: skip


def test_predictions_of_every_seed_are_kept(whole: Comparison) -> None:
    run = next(run for run in whole.runs if run.job.entrant.name == "hbaf")
    facts = run.outcome.facts
    assert facts is not None
    for split, scores in (("dev", facts.dev), ("test", facts.test)):
        table = run.outcome.predictions(split)
        assert {"utterance_id", "dialogue_id", "truth", "label", "p_joy", "gate_audio", "gate_text"} <= set(table)
        assert scores is not None
        assert (table["truth"] == table["label"]).mean() == pytest.approx(scores["accuracy"])
    corpus = load_corpus(whole.cells[0].reference)
    assert set(run.outcome.predictions("dev")["dialogue_id"]).isdisjoint(run.outcome.predictions("test")["dialogue_id"])
    assert len(corpus.utterances) > len(run.outcome.predictions("test"))


def test_what_ran_is_taken_and_not_looked_at_again(whole: Comparison, cell: Cell, home: Path, changes: Changes) -> None:
    before = looks(home)
    again = compare([cell], asking("majority,bc-lstm,hbaf-crossed", seeds=3), changes)
    # `hbaf-crossed` is what `hbaf` of this recipe is: the same run under another name.
    assert [run.outcome.reused for run in again.runs] == [True, True, False] * 3
    assert len(looks(home)) == len(before) + 3
    assert again.runs[-1].outcome.facts is not None
    assert again.runs[-1].outcome.facts.system == "hbaf-crossed"


def test_other_settings_data_and_seeds_are_other_runs(cell: Cell, changes: Changes) -> None:
    (hbaf,) = parse_systems("hbaf")
    job = job_of(cell, hbaf, 0, asking("hbaf"), changes)
    other = [
        replace(job, training=job.training.model_copy(update={"seed": 1})),
        replace(job, training=job.training.model_copy(update={"weight_decay": 0.5})),
        replace(job, model=job.model.model_copy(update={"dim": 32})),
        replace(job, changes={"dropout": 0.33}),
        replace(job, is_trial=True),
        replace(job, reference=replace(job.reference, splits_digest="other")),
        replace(job, entrant=parse_systems("hbaf-no-gate")[0]),
    ]
    assert len({job.key(), *(each.key() for each in other)}) == len(other) + 1
    threads = job.training.model_copy(update={"threads": 7, "recipe": "another name"})
    assert replace(job, training=threads, trials=9, watch_test=True).key() == job.key()


def test_a_killed_run_goes_on_where_it_was(cell: Cell, monkeypatch: pytest.MonkeyPatch, changes: Changes) -> None:
    (system,) = parse_systems("telme")
    job = job_of(cell, system, 0, asking("telme"), changes)
    with monkeypatch.context() as patch:
        patch.setattr(members, "predict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            jobs.run_job(job)
    assert jobs.finished(job) is None
    trained = (job.folder() / "history.json").read_text()
    assert (job.folder() / "last.ckpt").exists()
    outcome = jobs.run_job(job)
    assert outcome.facts is not None
    assert not outcome.reused
    assert (job.folder() / "history.json").read_text() == trained, "it was trained once more"
    assert not (job.folder() / "last.ckpt").exists()


@pytest.mark.long
def test_processes_give_what_one_process_gives(cell: Cell, whole: Comparison, changes: Changes) -> None:
    """In a home of its own nothing can be reused: the folder of the first is moved away."""
    done = {run.job.entrant.name: run for run in whole.runs if run.job.training.seed == 0}
    kept = {name: done[name].outcome.predictions("test") for name in ("majority", "bc-lstm")}
    for name in kept:
        (done[name].outcome.folder / "run.json").unlink()
    again = compare([cell], asking("majority,bc-lstm", seeds=1, workers=2), changes)
    for run in again.runs:
        assert not run.outcome.reused
        pd.testing.assert_frame_equal(run.outcome.predictions("test"), kept[run.job.entrant.name], atol=1e-6)


def test_every_system_has_the_same_trials_and_none_looks_at_test(cell: Cell, home: Path, changes: Changes) -> None:
    before = looks(home)
    said: list[str] = []
    asked = asking("logistic-regression,bc-lstm", seeds=1, trials=3)
    comparison = compare([cell], asked, changes, say=lambda text, count, of: said.append(f"{count}/{of} {text}"))
    trials = [line for line in said if "trial" in line]
    assert len(trials) == 6
    assert trials[-1].startswith("6/6")
    assert len(looks(home)) == len(before) + 2
    rows = rows_of(comparison)
    assert [row.trials for row in rows] == [3, 3]
    points = [
        trial_changes(3, job_of(cell, entrant, 0, asked, changes)) for entrant in parse_systems("bc-lstm,hbaf,majority")
    ]
    assert points[0] == points[1]
    rates = [[change.get("learning_rate") for change in each] for each in points]
    assert rates[0] == rates[2]
    assert points[0][0] == {}, "the recipe as it is comes first"


def test_as_published_is_a_column_and_chooses_nothing(
    whole: Comparison, cell: Cell, home: Path, changes: Changes
) -> None:
    before = next(run.outcome.facts for run in whole.runs if run.job.entrant.name == "bc-lstm")
    told = len(looks(home))
    comparison = compare([cell], asking("bc-lstm", seeds=1, selection="as-published"), changes)
    facts, row = comparison.runs[0].outcome.facts, rows_of(comparison)[0]
    assert before is not None
    assert facts is not None
    assert facts.as_published is not None
    assert facts.test is not None
    assert (facts.dev, facts.test, facts.best_epoch) == (before.dev, before.test, before.best_epoch)
    assert facts.as_published["weighted_f1"] >= facts.test["weighted_f1"]
    assert row.as_published == facts.as_published["weighted_f1"]
    reasons = [look["reason"] for look in looks(home)[told:]]
    assert sum("as published, every epoch" in reason for reason in reasons) == 1
    assert "as published (epoch by test!)" in as_markdown([row])


def test_report_tables_page_and_mlflow(
    whole: Comparison, cell: Cell, home: Path, tmp_path: Path, changes: Changes
) -> None:
    asked = whole.asked.model_copy(update={"ensemble": True})
    page = tmp_path / "results.md"
    report = run_comparison([cell], asked, changes, page=page)
    names = {path.name for path in report.files}
    assert {"table.csv", "table.md", "table.tex", "table.pdf", "ensembles.md", "comparison.json"} <= names
    page.write_text(page.read_text().replace("# Results\n", "# Results\n\nWhat people say of it.\n"))
    write_page(report, page)
    text = page.read_text()
    assert text.count("# Results") == text.count("What people say of it.") == text.count("## How to read this") == 1
    assert text.index("Floors") < text.index("Published, in") < text.index("HBAF, variants")
    assert "this one cannot" in text
    assert "place" in text
    assert r"\toprule" in latex(report.rows, "50 % of x_y")
    assert next(path for path in report.files if path.name == "table.pdf").read_bytes().startswith(b"%PDF")
    numbers = pd.read_csv(next(path for path in report.files if path.name == "table.csv")).set_index("system")
    assert numbers.loc["hbaf", "f1"] == pytest.approx(next(r.f1 for r in report.rows if r.system == "hbaf"))
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    children = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{report.parent_run_id}'", max_results=100
    )
    assert sum(run.info.status == "FINISHED" for run in children) == 10
    assert sum(run.info.status == "FAILED" for run in children) == 2
    one = next(run for run in children if run.data.tags["hbaf.system"] == "hbaf")
    assert {"test/weighted_f1", "dev/weighted_f1", "dev/best_weighted_f1"} <= set(one.data.metrics)
    again = run_comparison([cell], asked, changes)
    assert again.parent_run_id == report.parent_run_id
    ledger = client.get_experiment_by_name(LOOKS)
    assert ledger is not None
    (of_home,) = client.search_runs([ledger.experiment_id])
    assert of_home.data.metrics["looks"] == len(looks(home))


def test_without_mlflow_the_scores_are_there(
    whole: Comparison, cell: Cell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, changes: Changes
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    report = run_comparison([cell], asking("majority", seeds=1), changes)
    assert report.rows[0].seeds == 1
    assert report.parent_run_id == ""
    assert "MLflow did not take" in caplog.text


def test_a_published_classifier_is_a_floor_that_learns_nothing(
    cell: Cell,
    changes: Changes,
    text_classifier: Path,  # noqa: F811  # the fixture
    tmp_path: Path,
) -> None:
    name = f"hub:{text_classifier}"
    made = compare([cell], asking(f"{name},hbaf", trials=2, chain=True), changes)
    [run] = [one for one in made.runs if one.job.entrant.name == name]
    facts = run.outcome.facts
    assert facts is not None, run.outcome.failure
    assert (facts.standing, facts.seed, facts.parameters, facts.epochs) == ("floor", 0, 0, 0)
    corpus = load_corpus(cell.reference)
    table = hub_model(name, {}).predict(corpus, default_store()).set_index("utterance_id")
    for split in ("dev", "test"):
        found = run.outcome.predictions(split)
        assert set(found["utterance_id"]) == set(corpus.in_split(split)["utterance_id"])
        kept = table.loc[found["utterance_id"], [f"p_{emotion}" for emotion in corpus.emotions]].to_numpy()
        expected = kept / kept.sum(1, keepdims=True)
        assert found[[f"p_{emotion}" for emotion in corpus.emotions]].to_numpy() == pytest.approx(expected, abs=1e-6)
    asked = asking(f"{name},hbaf", trials=2, chain=True, ensemble=True)
    report = run_comparison([cell], asked, changes, page=tmp_path / "results.md")
    assert [(row.system, row.seeds) for row in report.rows] == [(name, 1), ("hbaf", 2)]
    chained = next(rows for stem, _, rows in report.tables() if "chain" in stem and "ensembles" not in stem)
    assert [row.system for row in chained] == ["hbaf+chain"]
    page = (tmp_path / "results.md").read_text()
    assert page.index(name, page.index("Floors")) < page.index("HBAF, variants")
    assert compare([cell], asking(name), changes).runs[0].outcome.reused
    with pytest.raises(UnknownSystem, match="learns"):
        compare([cell], asking(f"{name}+chain"), changes)


def test_a_dry_run_counts_what_the_set_would_run(cell: Cell, changes: Changes) -> None:
    features, model, training = from_recipe("demo", **{name: changes.get(name, {}) for name in ("model", "training")})
    parts = paper_set(seeds=5, recipe="demo", audio="mfcc", text="roberta-large", representations=("mfcc",), trials=0,
                      workers=1)  # fmt: skip
    cost = cost_of(parts, load_corpus(cell.reference), features, model, training, 1)
    assert cost.runs == 5 * (16 + 9 + 5 + 12 + 4)
    assert 0 < cost.hours <= cost.most_hours
    assert "roberta-large" in cost.lines()[-1]
    assert set(representations_of_the_paper()) <= set(WIDTHS) & set(SPEEDS)
    skipped = paper_set(seeds=1, recipe="demo", audio="mfcc", text="minilm", representations=("imported:openl3",),
                        trials=0, workers=1)  # fmt: skip
    assert all("imported:openl3" not in part.asked.audio for part in skipped)
