"""What is chosen for labelling, and that files to label in come back as labels."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.annotations import read_annotations
from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus
from hbaf.labelling.given import LabellingError
from hbaf.labelling.importing import import_labels
from hbaf.labelling.sample import Candidate, candidates, choose
from hbaf.labelling.tasks import write_tasks
from hbaf.parameters import CorpusParameters


def many(count: int = 60, turns: int = 10) -> list[Candidate]:
    """Conversations that differ in nothing."""
    return [
        Candidate(f"d{n}", turns, 0.2, 0.2, Counter({"neutral": turns}), Counter({"agent": turns}))
        for n in range(count)
    ]


def test_whole_conversations_until_there_are_enough_turns_and_a_random_part() -> None:
    chosen = choose(many(), 195, random_share=0.25, seed=1)
    assert sum(one.candidate.turns for one in chosen) == 200
    assert [one.part for one in chosen].count("random") == 5  # 0.25 x 195 turns are five conversations of ten
    assert len({one.candidate.dialogue_id for one in chosen}) == 20
    assert choose(many(), 195, seed=1) == choose(many(), 195, seed=1)
    assert choose(many(), 195, seed=1) != choose(many(), 195, seed=2)
    assert len(choose(many(3), 1000)) == 3, "all there are"
    with pytest.raises(LabellingError, match="nothing to choose from"):
        choose([], 10)


def test_the_uncertain_and_the_disagreed_come_first() -> None:
    found = many()
    found[7] = Candidate("unsure", 10, 0.9, 0.2, found[7].classes, found[7].speakers)
    found[8] = Candidate("differ", 10, 0.2, 0.95, found[8].classes, found[8].speakers)
    names = [one.candidate.dialogue_id for one in choose(found, 20, random_share=0)]
    assert names == ["differ", "unsure"]


def test_rare_classes_and_new_speakers_are_covered() -> None:
    found = many()
    found[20] = Candidate("fearful", 10, 0.2, 0.2, Counter({"neutral": 5, "fear": 5}), found[20].speakers)
    found[21] = Candidate("stranger", 10, 0.2, 0.2, found[21].classes, Counter({"agent": 5, "Dora": 5}))
    assert {one.candidate.dialogue_id for one in choose(found, 20, random_share=0)} == {"fearful", "stranger"}
    twice = [Candidate("again", 10, 0.2, 0.2, found[20].classes, found[20].speakers), *found]
    third = choose(twice, 30, random_share=0)
    assert {one.candidate.dialogue_id for one in third} == {"fearful", "again", "stranger"}


def test_the_random_part_looks_at_nothing() -> None:
    """Over many seeds each conversation is drawn alike, however uncertain it is."""
    found = [Candidate(f"d{n}", 10, n / 20, 0.0, Counter(), Counter({"a": 10})) for n in range(20)]
    drawn = Counter(
        one.candidate.dialogue_id for seed in range(400) for one in choose(found, 50, random_share=1, seed=seed)
    )
    share = np.array([drawn[f"d{n}"] for n in range(20)]) / 400  # 5 of 20: a quarter
    assert abs(share - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 400)
    assert abs(np.corrcoef(np.arange(20), share)[0, 1]) < 0.6


def scored(corpus: Corpus) -> pd.DataFrame:
    """A model that is sure of a17, unsure of b2, and never heard c3."""
    table = corpus.utterances[corpus.utterances["dialogue_id"] != "c3"]
    sure = (table["dialogue_id"] == "a17").to_numpy()
    return pd.DataFrame(
        {
            "utterance_id": table["utterance_id"],
            "label": np.where(sure, "joy", "anger"),
            "confidence": np.where(sure, 1.0, 0.5),
            "p_joy": np.where(sure, 1.0, 0.5),
            "p_anger": np.where(sure, 0.0, 0.5),
            "audio_label": "joy",
            "text_label": np.where(sure, "joy", "anger"),
            "model_version": "hbaf-calls/3",
            "scored_at": pd.Timestamp("2026-01-01", tz="UTC"),
        }
    )


def test_the_figures_of_a_conversation(tmp_path: Path, corpus: Corpus, parameters: CorpusParameters) -> None:
    file = tmp_path / "ann.csv"
    file.write_text("utterance_id,emotion\ncalls/a17/0,joy\n")
    import_labels(corpus, [file], parameters)
    sure, unsure, unheard = candidates(read_corpus(parameters), scored(corpus))
    assert (sure.dialogue_id, sure.turns, sure.disagreement) == ("a17", 3, 0.0)
    assert sure.uncertainty == pytest.approx(0, abs=1e-6)
    assert (unsure.turns, unsure.disagreement, unsure.classes) == (4, 1.0, Counter({"anger": 4}))
    assert unsure.uncertainty == pytest.approx(1)
    assert np.isnan(unheard.uncertainty)
    assert unheard.speakers == Counter({"Ann": 2, "Bob": 2})


@pytest.fixture
def tasks(tmp_path: Path, corpus: Corpus) -> Path:
    folder = tmp_path / "to-label"
    rows = scored(corpus)
    chosen = choose(candidates(corpus, rows), 12, random_share=0.3)
    files, without = write_tasks(corpus, rows, chosen, folder, ["label-studio", "textgrid", "eaf", "audacity"])
    assert without == 0
    assert len(files) == 3 * 3 + 3
    return folder


def test_a_file_that_somebody_may_have_labelled_in_is_not_replaced(tasks: Path, corpus: Corpus) -> None:
    chosen = choose(candidates(corpus, pd.DataFrame()), 12)
    before = {path: path.read_bytes() for path in tasks.rglob("*") if path.is_file()}
    with pytest.raises(LabellingError, match="somebody may have labelled in it"):
        write_tasks(corpus, pd.DataFrame(), chosen, tasks, ["textgrid"])
    assert {path: path.read_bytes() for path in tasks.rglob("*") if path.is_file()} == before


def test_the_random_part_is_marked(tasks: Path) -> None:
    table = pd.read_csv(tasks / "sample.csv")
    assert list(table["part"]) == ["random", "chosen", "chosen"]
    assert len(list((tasks / "random").iterdir())) == 3
    parts = Counter(task["data"]["part"] for task in json.loads((tasks / "tasks.json").read_text()))
    assert parts == Counter({"chosen": 2, "random": 1})


@pytest.mark.parametrize("kind", ["TextGrid", "eaf", "labels.txt"])
def test_tiers_come_back_by_id(tasks: Path, corpus: Corpus, parameters: CorpusParameters, kind: str) -> None:
    """A person fills in the second label of each speaker, and moves nothing; what is empty or predicted is no label."""
    (file,) = tasks.rglob(f"b2-*.{kind}")
    nothing = import_labels(corpus, [file], parameters, annotator="Ann")
    assert (nothing.added.new, nothing.problems) == (0, ())
    text = file.read_text()
    if kind == "labels.txt":
        lines = text.splitlines()
        assert lines[2] == ("4.000000\t5.500000\t? | predicted anger 50% | calls/b2/2 | Ann: I am so sorry. b2")
        lines[2] = lines[2].replace("?", "fear", 1)
        file.write_text("\n".join(lines))
    elif kind == "TextGrid":
        textgrid = pytest.importorskip("praatio.textgrid", reason="praatio is absent: pip install 'hbaf[dev]'")
        grid = textgrid.openTextgrid(str(file), includeEmptyIntervals=True)
        assert grid.tierNames[:4] == ("Ann", "Ann predicted", "Ann label", "Ann id")
        tier = grid.getTier("Ann label")
        tier.insertEntry((4.0, 5.5, "fear"), collisionMode="replace")
        grid.save(str(file), format="long_textgrid", includeBlankSpaces=True)
    else:
        elan = pytest.importorskip("pympi", reason="pympi-ling is absent: pip install 'hbaf[dev]'").Elan.Eaf(str(file))
        assert set(elan.get_tier_names()) >= {"Ann predicted", "Ann label", "Ann id"}
        elan.remove_annotation("Ann label", 4500)
        elan.add_annotation("Ann label", 4000, 5500, "fear")
        elan.to_file(str(file))
    moved = file.with_name(file.name.replace("b2-", "another-name-"))  # the name does not matter where there is an id
    file.rename(moved)
    done = import_labels(corpus, [moved], parameters, annotator="Ann")
    assert done.problems == ()
    (kept,) = read_annotations("calls")
    assert (kept.utterance_id, kept.emotion, kept.speaker) == ("calls/b2/2", "fear", "Ann")


def test_label_studio_tasks_come_back(tasks: Path, corpus: Corpus, parameters: CorpusParameters) -> None:
    found = json.loads((tasks / "tasks.json").read_text())
    view = ElementTree.parse(tasks / "interface.xml").getroot()
    assert [label.get("value") for label in view.iter("Label")] == ["anger", "joy"]
    (task,) = [one for one in found if one["data"]["dialogue_id"] == "b2"]
    (predictions,) = task["predictions"]
    assert predictions["model_version"] == "hbaf-calls/3"
    assert [one["value"]["paragraphlabels"] for one in predictions["result"]] == [["anger"]] * 4
    assert not any("predictions" in one for one in found if one["data"]["dialogue_id"] == "c3")
    # As Label Studio exports it: one choice made anew, one prediction submitted as it was.
    second = predictions["result"][1]
    made = {**second, "value": {**second["value"], "paragraphlabels": ["joy"]}, "origin": "prediction-changed"}
    kept = {**predictions["result"][2], "origin": "prediction"}
    task |= {"id": 5, "annotations": [{"completed_by": 1, "created_at": "2026-01-02", "result": [made, kept]}]}
    export = tasks / "export.json"
    export.write_text(json.dumps(found))
    done = import_labels(corpus, [export], parameters)
    assert done.problems == ()
    assert (done.taken_over, done.unchanged) == (1, 4)
    assert {one.utterance_id: one.emotion for one in read_annotations("calls")} == {
        "calls/b2/1": "joy", "calls/b2/2": "anger",
    }  # fmt: skip


def test_without_a_model_it_goes_by_speakers_and_chance(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", str(folder), "--turns", "8", "--to", "textgrid", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "--output FOLDER" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*command, "--output", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "no scores of this corpus are known" in shown
    assert "8 of 12 unlabelled turns in 2 conversations" in shown
    assert "4 drawn by chance" in shown
    assert "no prediction" in next((tmp_path / "out" / "random").iterdir()).read_text()
