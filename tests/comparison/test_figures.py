"""Figures and the findings page from the runs of a small, real comparison."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hbaf.comparison.bench import Cell, Comparison, compare
from hbaf.comparison.pages.case import case_table
from hbaf.comparison.pages.figures import figure6, figure6_systems, figure8, table2_latex, table2_lines, write_figures
from hbaf.comparison.pages.findings import QUESTIONS, Answer, Question, answer, counts_of, section, systems_of, verdict
from hbaf.comparison.pages.findings_page import write_block
from hbaf.comparison.recipe_search import RECIPE, on_dev, taken
from hbaf.comparison.systems import parse_systems
from hbaf.comparison.table import rows_of
from hbaf.corpus.schema import Corpus
from hbaf.features.columns import Columns
from hbaf.parameters import RECIPES, ComparisonParameters, from_recipe
from hbaf.training.data import Vectors, read_vectors

SYSTEMS = "hbaf,hbaf-audio,hbaf-audio-no-acn,hbaf-no-gate"
Changes = dict[str, dict[str, object]]


@pytest.fixture(scope="session")
def comparison(cell: Cell, shared_home: Path, changes: Changes) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(shared_home))
        return compare([cell], ComparisonParameters(systems=SYSTEMS, seeds=2, workers=1), changes)


@pytest.mark.long
def test_all_are_written_as_pdf_and_png(comparison: Comparison, tmp_path: Path) -> None:
    written = {path.name for path in write_figures(comparison, tmp_path)}
    pictures = {f"{name}.{kind}" for name in ("figure6", "figure7", "figure8", "table2") for kind in ("pdf", "png")}
    assert written == pictures | {"table2.tex"}
    assert all((tmp_path / name).stat().st_size > 1000 for name in pictures)
    again = tmp_path / "again"
    write_figures(comparison, again)
    for name in written:
        if not name.endswith(".png"):
            assert (again / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_bars_are_as_high_as_the_rows(comparison: Comparison) -> None:
    rows = {row.system: row for row in rows_of(comparison)}
    figure = figure6(list(rows.values()), comparison.cells)
    assert figure is not None
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx([100 * rows["hbaf-audio"].f1, 100 * rows["hbaf-audio-no-acn"].f1])
    assert len(figure.axes) == 1  # nobody asked for audio + text without the audio context network


def test_bars_of_compared_systems_stand_by_score_and_say_what_they_are(comparison: Comparison) -> None:
    of = [row for row in rows_of(comparison) if row.system in ("hbaf", "hbaf-no-gate")]
    assert figure6_systems(of, comparison.cells) is None  # nothing to compare HBAF with
    rows = [replace(row, standing="hbaf" if row.system == "hbaf" else "floor") for row in of]
    figure = figure6_systems(rows, comparison.cells)
    assert figure is not None
    axes = figure.axes[0]
    order = sorted(rows, key=lambda row: row.f1)
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.system for row in order]
    widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    assert [widths[place] for place in range(2)] == pytest.approx([100 * row.f1 for row in order])
    assert {label.get_text() for label in axes.get_legend().get_texts()} == {"floor", "HBAF"}


def test_confusion_shares_are_those_of_all_seeds(comparison: Comparison) -> None:
    figure = figure8(comparison.runs)
    assert figure is not None
    tables = [run.outcome.predictions("test") for run in comparison.runs if run.job.entrant.name == "hbaf"]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    emotions = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for row, truth in enumerate(emotions):
        of = [(table["truth"] == truth) for table in tables]
        for column, label in enumerate(emotions):
            hits = sum(((table["label"] == label) & at).sum() for table, at in zip(tables, of, strict=True))
            assert shown[row, column] == pytest.approx(100 * hits / max(sum(at.sum() for at in of), 1))


def test_the_case_table_hides_words_unless_asked(comparison: Comparison) -> None:
    def shown(words: bool) -> str:
        figure = case_table(comparison.runs, words=words)
        assert figure is not None
        (table,) = figure.axes[0].tables
        return " ".join(cell.get_text().get_text() for cell in table.get_celld().values())

    assert "words" not in shown(False)
    assert "words" in shown(True)
    assert len(shown(True)) > len(shown(False)) + 50
    assert "gate audio" in shown(False)


def test_table2_has_a_line_for_every_ablation_that_was_run(comparison: Comparison) -> None:
    rows = rows_of(comparison)
    lines = table2_lines(rows, comparison.cells)
    assert [line[0] for line in lines] == ["HBAF", "audio only", "w/o dynamic filter gate"]
    gap = next(row.difference for row in rows if row.system == "hbaf-no-gate")
    assert lines[2][1].endswith(f"({100 * gap:+.1f})")
    latex = table2_latex(rows, comparison.cells)
    assert latex.count(r"\\") == 4
    assert r"$\pm$" in latex


def test_what_was_not_run_is_not_drawn(comparison: Comparison, tmp_path: Path) -> None:
    audio = tuple(run for run in comparison.runs if run.job.entrant.name == "hbaf-audio")
    assert write_figures(Comparison(comparison.asked, comparison.cells, audio), tmp_path) == []


def test_answers_are_differences_from_the_reference(comparison: Comparison) -> None:
    question = Question("Gate", "", ("hbaf", "hbaf-no-gate", "hbaf-crossed"), expected={"hbaf-no-gate": -1})
    rows = {row.system: row for row in rows_of(comparison)}
    first, second = answer(question, comparison.runs)  # `hbaf-crossed` was not run
    assert (first.system, second.system) == ("hbaf", "hbaf-no-gate")
    assert first.f1 == pytest.approx(rows["hbaf"].f1)
    assert second.difference == pytest.approx(rows["hbaf-no-gate"].f1 - rows["hbaf"].f1)
    assert second.gap_low <= second.difference <= second.gap_high
    assert answer(Question("", "", ("hbaf-crossed", "hbaf")), comparison.runs) == []
    text = section(question, comparison)
    assert text.startswith("## Gate")
    assert "| `hbaf-no-gate` | 2 |" in text


def one(system: str, gap: float | None, p: float = np.nan) -> Answer:
    return Answer(system, 3, 0.5, 0.01, 0.48, 0.52, gap, -0.01, 0.03, p)


@pytest.mark.parametrize(
    ("gap", "p", "said"),
    [(0.02, 0.01, "Holds, +2.0"), (-0.02, 0.01, "The contrary holds, -2.0"), (0.02, 0.2, "Not shown, +2.0")],
)
def test_a_claim_holds_only_if_the_test_says_so(gap: float, p: float, said: str) -> None:
    question = Question("", "", ("hbaf-text", "hbaf"), expected={"hbaf": 1})
    assert verdict(question, [one("hbaf-text", None), one("hbaf", gap, p)], {}).startswith(said)


def test_verdicts_on_orders_and_on_the_worst_emotions() -> None:
    question = Question("", "", ("hbaf", "hbaf-a", "hbaf-b"), order=("hbaf-a", "hbaf-b"))
    paper = [one("hbaf", None), one("hbaf-a", -0.04, 0.01), one("hbaf-b", -0.01, 0.6)]
    assert verdict(question, paper, {}) == (
        "The order is the paper's (a -4.0, b -1.0); distinguishable from no effect: a."
    )
    other = [one("hbaf", None), one("hbaf-a", 0.0, 0.9), one("hbaf-b", -0.01, 0.6)]
    assert "another one (b -1.0, a +0.0); but none" in verdict(question, other, {})
    worst = Question("", "", ("hbaf",), worst=("fear", "disgust"))
    scores = {"joy": 0.5, "disgust": 0.1, "fear": 0.0}
    assert verdict(worst, [one("hbaf", None)], scores) == "Holds: fear 0.0, disgust 10.0, joy 50.0."
    assert verdict(worst, [one("hbaf", None)], {**scores, "sadness": 0.05}).startswith("Does not hold")
    assert verdict(worst, [one("hbaf", None)], {"joy": 0.5}).startswith("Cannot be asked")


def test_a_block_is_replaced_and_what_people_wrote_stays(tmp_path: Path) -> None:
    page = tmp_path / "findings.md"
    write_block(page, "a", "old a")
    write_block(page, "b", "b")
    page.write_text("# Title\n\n" + page.read_text() + "\nAfterthought.\n")
    write_block(page, "a", "new a")
    assert (
        page.read_text() == "# Title\n\n<!-- a -->\nnew a\n<!-- /a -->\n\n<!-- b -->\nb\n<!-- /b -->\n\nAfterthought.\n"
    )


def test_every_question_asks_for_systems_that_there_are() -> None:
    names = {entrant.name for entrant in parse_systems(systems_of())}
    assert names == {name for question in QUESTIONS for name in question.systems}
    assert [entrant.name for entrant in parse_systems(systems_of([RECIPE]))] == list(RECIPE.systems)


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_question_asks_a_reading_against_itself(recipe: str) -> None:
    model = from_recipe(recipe).model
    for question in QUESTIONS:
        ours = [one for one in parse_systems(",".join(question.systems)) if one.is_hbaf]
        asked = {(str(one.arguments(model, {})), str(one.training), one.chain) for one in ours}
        assert len(asked) == len(ours), question.title


def test_a_recipe_search_never_looks_at_the_test_split(comparison: Comparison, home: Path, changes: Changes) -> None:
    ledger = home / "test-looks.jsonl"
    before = ledger.read_text()
    names = ("hbaf", "hbaf:label_smoothing=0.1")
    found = on_dev(comparison.cells, ComparisonParameters(systems=",".join(names), seeds=1, workers=1), changes)
    assert ledger.read_text() == before
    assert [run.outcome.facts.test for run in found.runs] == [None, None]
    assert not list(found.runs[1].outcome.folder.glob("test.parquet"))
    assert tuple(one.system for one in answer(Question("Recipe", "", names), found.runs, "dev")) == names


@pytest.fixture(scope="module")
def on_folds(comparison: Comparison, shared_home: Path, changes: Changes) -> Comparison:
    """Three folds of two settings; whoever reads a test dialogue fails."""
    corpus = comparison.cells[0].reference.corpus
    test = set(corpus.in_split("test")["dialogue_id"])
    assert test

    def none_of_test(part: Corpus, columns: Columns) -> Vectors:
        assert not test & set(part.utterances["dialogue_id"])
        return read_vectors(part, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HBAF_HOME", str(shared_home))
        patch.setattr("hbaf.comparison.jobs.read_vectors", none_of_test)
        asked = ComparisonParameters(systems=",".join(FOLDED), seeds=1, workers=1)
        return on_dev(comparison.cells, asked, changes, folds=3)


FOLDED = ("hbaf", "hbaf:learning_rate=1e-7", "hbaf:dropout=0.4")  # the recipe has the last one already


def test_every_dialogue_of_train_and_dev_is_held_out_once(on_folds: Comparison) -> None:
    facts = [run.outcome.facts for run in on_folds.runs if run.job.entrant.name == "hbaf"]
    assert [one.fold for one in facts if one] == [f"{n} of 3, seed 0" for n in (1, 2, 3)]
    corpus = on_folds.cells[0].reference.corpus
    counts = counts_of(on_folds.runs, "hbaf", "dev")
    assert list(counts) == [0]
    by_dialogue = counts[0].sum((-1, -2))  # (folds, dialogues)
    assert ((by_dialogue > 0).sum(0) == 1).all()
    assert by_dialogue.sum() == len(corpus.in_split("train")) + len(corpus.in_split("dev"))


def test_a_setting_is_taken_by_its_mean_gain_and_interval(on_folds: Comparison) -> None:
    question = Question("Recipe", "", FOLDED)
    rows = answer(question, on_folds.runs, "dev")
    assert [row.system for row in rows] == list(FOLDED[:2]), "the recipe's own value is no row"
    scores = [
        run.outcome.facts.dev["weighted_f1"] for run in on_folds.runs
        if run.job.entrant.name == "hbaf" and run.outcome.facts is not None
    ]  # fmt: skip
    assert rows[0].f1 == pytest.approx(np.mean(scores))
    # What never learns is not taken; beside it, what learns is.
    lines = taken(on_folds, question).splitlines()
    assert lines[-1].startswith("| `hbaf:learning_rate=1e-7` | 1 | 3 | -")
    assert lines[-1].endswith("| no |")
    assert len(lines) == 5
    lines = taken(on_folds, Question("Recipe", "", (FOLDED[1], "hbaf"))).splitlines()
    assert lines[-1].startswith("| `hbaf` | 1 | 3 | +")
    assert lines[-1].endswith("| yes |")


def test_folds_refuse_the_chain(comparison: Comparison) -> None:
    with pytest.raises(ValueError, match=r"hbaf\+chain: the label chain is counted"):
        on_dev(comparison.cells, ComparisonParameters(systems="hbaf+chain", seeds=1, workers=1), folds=2)
