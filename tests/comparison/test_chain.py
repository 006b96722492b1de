"""The label chain in the bench: a row of its own from the same run, a table of all systems with it, and its finding."""

import json

import numpy as np
import pytest

from hbaf.comparison.bench import Cell, Comparison, compare, entrants_of, job_of
from hbaf.comparison.pages.findings import Question
from hbaf.comparison.pages.findings import section as section_of
from hbaf.comparison.pages.page import section
from hbaf.comparison.pages.render import markdown
from hbaf.comparison.report import run_comparison
from hbaf.comparison.systems import UnknownSystem, parse_systems
from hbaf.comparison.table import block, chained_of, differences_from, ensembles_of, rows_of
from hbaf.parameters import ComparisonParameters
from hbaf.statistics import counts_by_dialogue

pytestmark = pytest.mark.long

Changes = dict[str, dict[str, object]]
SYSTEMS = "majority,logistic-regression,logistic-regression+chain,hbaf"


def asking(systems: str, **values: object) -> ComparisonParameters:
    return ComparisonParameters(**{"systems": systems, "seeds": 2, "workers": 1, **values})


@pytest.fixture(scope="module")
def whole(cell: Cell, shared_home, changes: Changes) -> Comparison:  # type: ignore[no-untyped-def]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(shared_home))
        return compare([cell], asking(SYSTEMS, chain=True, ensemble=True), changes)


def test_names() -> None:
    (found,) = parse_systems("mmgcn@paper:dropout=0.2,seeds=4+chain")
    assert (found.name, found.base, found.recipe, found.seeds, found.chain) == (
        "mmgcn@paper:dropout=0.2+chain", "mmgcn", "paper", 4, True,
    )  # fmt: skip
    assert found.without_chain() == parse_systems("mmgcn@paper:dropout=0.2,seeds=4")[0]
    assert found.without_chain().with_chain() == found
    assert parse_systems("hbaf+chain")[0].standing == "variant"
    assert "logistic-regression+chain" in [e.name for e in parse_systems("all")]
    assert all(e.chain for e in parse_systems("all+chain"))
    assert [e.name for e in entrants_of(asking("hbaf,majority+chain", chain=True))] == [
        "hbaf", "majority+chain", "hbaf+chain",
    ]  # fmt: skip
    with pytest.raises(UnknownSystem, match=r"hbaf\+chain"):
        parse_systems('hbaf:label_chain="both"')


def test_the_chain_is_the_same_run(whole: Comparison, cell: Cell, changes: Changes) -> None:
    plain, with_it = parse_systems("hbaf,hbaf+chain")
    assert job_of(cell, plain, 0, asking("hbaf"), changes).key() == job_of(cell, with_it, 0, asking("x"), changes).key()
    recipe = {**changes, "training": {**changes["training"], "label_chain": "both"}}
    assert job_of(cell, plain, 0, asking("hbaf"), recipe).key() == job_of(cell, plain, 0, asking("hbaf"), changes).key()
    by_name = {(run.job.entrant.name, run.job.training.seed): run.outcome for run in whole.runs}
    alone, decoded = by_name["hbaf", 0], by_name["hbaf+chain", 0]
    assert alone.folder == decoded.folder
    before, after = alone.predictions("test"), decoded.predictions("test")
    assert before["utterance_id"].tolist() == after["utterance_id"].tolist()
    assert before["truth"].tolist() == after["truth"].tolist()
    assert {"gate_audio", "gate_text"} <= set(after)
    names = [name for name in after if name.startswith("p_")]
    np.testing.assert_allclose(after[names].sum(axis=1), 1, atol=1e-5)
    assert json.loads((alone.folder / "chain.json").read_text())["exponents"][0] > 0
    assert decoded.facts is not None
    assert decoded.facts.test is not None
    assert (after["truth"] == after["label"]).mean() == pytest.approx(decoded.facts.test["accuracy"])
    again = compare([cell], asking("hbaf+chain"), changes)
    assert all(run.outcome.reused for run in again.runs)


def test_one_table_without_and_one_with(whole: Comparison) -> None:
    assert [row.system for row in rows_of(whole)] == SYSTEMS.split(",")
    chained = {row.system: row for row in chained_of(whole)}
    assert set(chained) == {"majority+chain", "logistic-regression+chain", "hbaf+chain"}
    assert chained["hbaf+chain"].difference is None
    assert chained["hbaf+chain"].over_floor is not None
    assert chained["majority+chain"].p is not None
    assert len(ensembles_of(whole)) == 4
    assert len(ensembles_of(whole, chain=True)) == 3
    assert "Δ floor" in markdown(rows_of(whole))
    without = [run for run in whole.runs if run.job.entrant.name in ("majority", "hbaf")]
    assert "Δ floor" not in markdown(block(without, "cell"))


def test_difference_from_the_floor(whole: Comparison) -> None:
    runs = {name: [r for r in whole.runs if r.job.entrant.name == name] for name in SYSTEMS.split(",")}
    counts = {
        name: {
            run.job.training.seed: counts_by_dialogue(run.outcome.predictions("test"), run.outcome.facts.emotions)
            for run in of
            if run.outcome.facts is not None
        }
        for name, of in runs.items()
    }
    found = differences_from("logistic-regression+chain", counts)
    rows = {row.system: row for row in rows_of(whole)}
    assert found.keys() == set(SYSTEMS.split(",")) - {"logistic-regression+chain"}
    gap = rows["hbaf"].f1 - rows["logistic-regression+chain"].f1
    assert found["hbaf"][0] == rows["hbaf"].over_floor == pytest.approx(gap)
    assert rows["logistic-regression+chain"].over_floor is None


def test_tuning_is_that_of_the_system_alone(cell: Cell, changes: Changes) -> None:
    found = compare([cell], asking("logistic-regression,logistic-regression+chain", trials=2, seeds=1), changes)
    alone, chained = found.runs
    assert alone.outcome.folder == chained.outcome.folder
    assert alone.job.changes == chained.job.changes


def test_how_much_of_context_is_inertia(whole: Comparison) -> None:
    question = Question("Inertia", "Open.", tuple(SYSTEMS.split(",")[1:]), inertia=True)
    said = section_of(question, whole)
    assert "would by chance; knowing it" in said
    rows = {row.system: row.f1 for row in rows_of(whole)}
    gain = 100 * (rows["logistic-regression+chain"] - rows["logistic-regression"])
    assert f"The chain adds: `logistic-regression` {gain:+.1f}." in said


def test_report_and_page(whole: Comparison, cell: Cell, changes: Changes) -> None:
    report = run_comparison([cell], whole.asked, changes)
    names = {path.name for path in report.files}
    assert {"table.md", "chained.md", "ensembles.md", "chained-ensembles.md"} <= names
    text = "\n".join(section(report))
    assert "## With the label chain behind every system" in text
    assert "`hbaf+chain`" in text
