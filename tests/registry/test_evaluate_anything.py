"""Any model on any corpus: labels by name and not by number, and a doubt where conversations are of another kind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf import pipeline
from hbaf.parameters import CorpusParameters, PromotionParameters
from hbaf.promotion.verdict import Verdict
from hbaf.registry.models import NoModelError, find_model
from hbaf.registry.runs import RunReference, train_and_log
from hbaf.scoring.score import score_corpus
from hbaf.scoring.scores_folder import ScoresFolder
from hbaf.training.evaluate import LabelsError
from tests.registry.conftest import Prepared


@pytest.fixture(scope="module")
def judged(prepared: Prepared) -> tuple[RunReference, Verdict]:
    """A run and what was decided of it: champion where it is the first here, a version beside it otherwise."""
    rules = PromotionParameters(minimum_effect=-1.0, calibration_tolerance=1.0)
    with prepared.in_use():
        made = train_and_log(prepared.reference, prepared.columns, prepared.features, prepared.model, prepared.training)
        return made, pipeline.decide(made, prepared.reference, prepared.columns, rules=rules)


@pytest.fixture
def run(judged: tuple[RunReference, Verdict]) -> RunReference:
    return judged[0]


@pytest.fixture
def relabelled(prepared: Prepared, tmp_path: Path) -> Path:
    """The same calls with other words for the emotions, which sort the other way round, and one that is new."""
    folder = tmp_path / "others"
    shutil.copytree(prepared.folder / "calls", folder)
    table = pd.read_csv(folder / "calls.csv")
    table["emotion"] = table["emotion"].map({"anger": "rage", "joy": "delight"})
    table.loc[table.index[-1], "emotion"] = "awe"
    table.to_csv(folder / "calls.csv", index=False)
    return folder


def test_labels_that_the_model_does_not_know_are_named_with_what_mends_it(relabelled: Path, run: RunReference) -> None:
    with pytest.raises(LabelsError) as caught:
        pipeline.evaluate(CorpusParameters(reader="folder", root=relabelled), run=run.run_id)
    assert "awe (1)" in str(caught.value)
    assert "it knows anger, joy" in str(caught.value)
    assert '--labels "delight=,rage=,awe="' in str(caught.value)


@pytest.mark.parametrize("final", [False, True])
def test_labels_go_by_name_whatever_their_order(
    prepared: Prepared, relabelled: Path, run: RunReference, final: bool
) -> None:
    labels = {"rage": "anger", "delight": "joy", "awe": ""}
    same = {"reader": "folder", "split_shares": (0.4, 0.3, 0.3), "gate_share": 0.0}
    mine = pipeline.evaluate(
        CorpusParameters(**same, root=prepared.folder / "calls", name="mine"), run=run.run_id, final=final
    )
    theirs = pipeline.evaluate(
        CorpusParameters(**same, root=relabelled, labels=labels, emotions=("joy", "anger"), name="theirs"),
        run=run.run_id,
        final=final,
    )
    assert theirs.predictions.emotions == mine.predictions.emotions == ("anger", "joy")
    known = theirs.predictions.truth >= 0
    np.testing.assert_array_equal(theirs.predictions.truth[known], mine.predictions.truth[known])
    assert mine.predictions.weighted_f1() > 0.6, "the model has learned, so two labels exchanged would show"


def test_which_model_is_measured(prepared: Prepared, judged: tuple[RunReference, Verdict]) -> None:
    run, verdict = judged
    source = CorpusParameters(reader="folder", root=prepared.folder / "calls")
    label = f"hbaf-calls/{verdict.version}"
    assert pipeline.evaluate(source).model == f"hbaf-calls/{find_model().version}"
    assert pipeline.evaluate(source, model=label).model == pipeline.evaluate(source, run=run.run_id).model == label
    with pytest.raises(NoModelError, match="one of the two"):
        pipeline.evaluate(source, model=label, run=run.run_id)
    with pytest.raises(NoModelError, match="hbaf-calls/99"):
        pipeline.evaluate(source, model="hbaf-calls/99")


def test_a_corpus_with_more_labels_is_scored(relabelled: Path, run: RunReference, tmp_path: Path) -> None:
    reference = pipeline.prepare(CorpusParameters(reader="folder", root=relabelled), split=False)
    scores = score_corpus(reference, purpose="research", output=tmp_path / "out", workers=1)
    assert scores.rows == 36
    assert scores.notice == "", "they are the very calls that it was trained on"


def test_two_models_side_by_side(prepared: Prepared, judged: tuple[RunReference, Verdict], tmp_path: Path) -> None:
    name = f"hbaf-calls/{judged[1].version}"
    scores = score_corpus(
        prepared.reference, purpose="research", model=name, beside=name, output=tmp_path / "out", workers=1
    )
    rows = pd.read_parquet(scores.folder / "scores.parquet")
    assert scores.model == name
    assert (rows["beside_label"] == rows["label"]).all()
    assert set(rows["beside_model"]) == {name}
    index = scores.folder / "report" / "index.html"
    assert re.search(rf"100\s%</b><span>agree with {name}", index.read_text())
    assert ScoresFolder(scores.folder).remove(lambda part: (part["dialogue_id"] == "d1").to_numpy(bool)) == 3
    assert f"agree with {name}" in index.read_text(), "also when written anew"


def test_conversations_of_another_kind_are_doubted(run: RunReference, tmp_path: Path) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    random = np.random.default_rng(1)
    rows = ["dialogue,turn,speaker,text,audio"]
    for turn in range(8):
        soundfile.write(folder / f"{turn}.wav", 0.2 * random.uniform(-1, 1, 16_000), 16_000)
        rows.append(f"d{turn % 2},{turn},A,Eleven crates of herring to quay {turn} before the tide turns,{turn}.wav")
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
    reference = pipeline.prepare(CorpusParameters(reader="folder", root=folder), split=False)
    scores = score_corpus(reference, purpose="research", output=tmp_path / "out", workers=1)
    assert "unlike calls" in scores.notice
    kept = ScoresFolder(scores.folder)
    assert kept.remove(lambda part: (part["dialogue_id"] == "d1").to_numpy(bool)) == 4
    pages = [scores.folder / "report" / "index.html", *(scores.folder / "report" / "conversations").glob("*.html")]
    assert len(pages) == 2
    assert all("These conversations are unlike calls" in page.read_text() for page in pages), "also when written anew"
    assert json.loads((scores.folder / "scores.json").read_text())["notice"] == scores.notice
