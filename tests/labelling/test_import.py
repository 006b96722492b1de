"""Labels of files become those of the corpus: joined by id, with their provenance, and mapped; problems are named."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.annotations import Annotation, add_annotations, read_annotations
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.read import parameters_of, read_corpus
from hbaf.corpus.schema import Corpus
from hbaf.labelling.given import LabellingError
from hbaf.labelling.importing import import_labels
from hbaf.parameters import CorpusParameters
from hbaf.scoring.exports import export_scores
from tests.labelling.conftest import content


def labels_of(parameters: CorpusParameters) -> dict[str, str]:
    table = read_corpus(parameters).utterances
    return dict(table.loc[table["emotion"].notna(), ["utterance_id", "emotion"]].itertuples(index=False, name=None))


def table(place: Path, *rows: str, header: str = "utterance_id,emotion") -> Path:
    place.write_text("\n".join([header, *rows]) + "\n")
    return place


def test_a_table_is_joined_by_id_and_keeps_who_when_and_from_where(
    tmp_path: Path, folder: Path, corpus: Corpus, parameters: CorpusParameters, home: Path
) -> None:
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    # Backwards and with gaps: nothing depends on the order of rows.
    file = table(tmp_path / "ann.csv", "calls/b2/3, Joy ", "calls/a17/1,anger", "calls/a17/0,")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    done = import_labels(corpus, [file], parameters)
    assert (done.added.new, done.problems, done.counts) == (2, (), {"anger": 1, "joy": 1})
    assert labels_of(parameters) == {"calls/a17/1": "anger", "calls/b2/3": "joy"}
    assert read_annotations("calls")[0] == Annotation(
        "calls/a17/1", "anger", "ann", "2023-11-14T22:13:20+00:00", "ann.csv", content(corpus, "calls/a17/1"), "Bob"
    )
    assert (home / "labels" / "calls.jsonl").stat().st_mode & 0o777 == 0o600
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before, "the folder is the user's"
    assert read_corpus(parameters).digest() != corpus.digest()
    again = import_labels(corpus, [file], parameters)
    assert (again.added.new, again.added.changed, again.added.same) == (0, 0, 2)


def test_dialogue_and_turn_are_those_of_the_manifest(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters
) -> None:
    file = table(tmp_path / "ann.csv", "a17,1,joy", "a17,4,anger", "a17,0,joy", header="dialogue,turn,emotion")
    done = import_labels(corpus, [file], parameters)
    assert labels_of(parameters) == {"calls/a17/0": "joy", "calls/a17/3": "anger"}
    assert done.problems == (("ann.csv:4", "no such utterance", "dialogue 'a17', turn '0'"),)


def test_problems_are_named_with_file_and_row_and_the_others_are_used(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = table(tmp_path / "ann.csv", "calls/a17/0,joy", "calls/zz/0,joy", "calls/a17/1,jyo")
    second = table(tmp_path / "bob.csv", "calls/a17/0,anger", "calls/a17/0,joy")
    closed = ["--set", 'corpus.emotions=["joy", "anger"]', "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(["label", "import", str(folder), str(first), str(second), *closed])
    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert "calls: 2 labels are new" in shown.out
    assert "ann.csv:3: no such utterance ('calls/zz/0')" in shown.err
    assert "ann.csv:4: unknown label ('jyo', not one of joy, anger Did you mean joy?)" in shown.err
    assert "bob.csv:3: two labels of one annotator (calls/a17/0: anger and joy)" in shown.err
    assert "calls/a17/0  ann: joy, bob: anger" in shown.out
    assert "Krippendorff's alpha" in shown.out


def test_labels_of_the_source_close_the_set_and_are_corrected(tmp_path: Path, folder: Path) -> None:
    manifest = pd.read_csv(folder / "calls.csv")
    manifest["emotion"] = ["joy", "anger"] * 6
    manifest.to_csv(folder / "calls.csv", index=False)
    parameters = parameters_of(folder)
    corpus = read_corpus(parameters, annotated=False)
    file = table(tmp_path / "ann.csv", "calls/a17/0,anger", "calls/a17/1,anger", "calls/a17/2,fear")
    done = import_labels(corpus, [file], parameters)
    assert [problem[:2] for problem in done.problems] == [("ann.csv:4", "unknown label")]
    read = read_corpus(parameters)
    assert list(read.utterances["emotion"][:3]) == ["anger", "anger", "joy"]
    (note,) = [note for note in read.notes if "annotator" in note]
    assert note == (
        "2 labels are those that one annotator gave (`hbaf label`); 1 of them in place of another label of the source"
    )


def test_the_map_of_labels_applies(tmp_path: Path, folder: Path, corpus: Corpus) -> None:
    parameters = parameters_of(folder, {"labels": "excited=joy,xxx=", "emotions": ["joy", "anger"]})
    rows = ["calls/a17/0,excited", "calls/a17/1,xxx", "calls/a17/2,anger"]
    corpus = read_corpus(parameters, annotated=False)
    done = import_labels(corpus, [table(tmp_path / "ann.csv", *rows)], parameters)
    assert done.problems == ()
    assert labels_of(parameters) == {"calls/a17/0": "joy", "calls/a17/2": "anger"}
    assert read_annotations("calls")[0].emotion == "excited", "kept as the person said it"
    assert labels_of(parameters_of(folder, {"labels": "excited=joy,anger=fury"}))["calls/a17/2"] == "fury"


def test_most_annotators_decide_and_a_tie_decides_nothing(corpus: Corpus, parameters: CorpusParameters) -> None:
    said = {"Ann": ("joy", "joy"), "Bob": ("anger", "anger"), "Cy": ("anger", "")}
    add_annotations(
        "calls",
        [
            Annotation(name, emotion, who, "2026-01-01", content=content(corpus, name), note="hm")
            for who, pair in said.items()
            for name, emotion in zip(("calls/a17/0", "calls/a17/1"), pair, strict=True)
        ],
    )
    assert labels_of(parameters) == {"calls/a17/0": "anger"}
    assert any(
        note.startswith("annotators are evenly split on 1 of the utterances") for note in read_corpus(parameters).notes
    )


def test_a_label_does_not_move_to_another_utterance_of_its_id(
    tmp_path: Path, folder: Path, corpus: Corpus, parameters: CorpusParameters
) -> None:
    import_labels(corpus, [table(tmp_path / "ann.csv", "calls/a17/1,anger", "calls/b2/0,joy")], parameters)
    lines = (folder / "calls.csv").read_text().splitlines()
    (folder / "calls.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")  # the first turn is gone: ids move up
    read = read_corpus(parameters)
    assert labels_of(parameters) == {"calls/b2/0": "joy"}
    assert "1 of the labels was given to an utterance that is gone or says something else now: not used" in read.notes


def test_our_own_json_says_what_the_person_saw(tmp_path: Path, corpus: Corpus, parameters: CorpusParameters) -> None:
    label = {"utterance_id": "calls/a17/0", "emotion": "joy", "annotator": "Ann", "at": "2026-02-03T04:05:06Z"}
    rows = [
        {**label, "content": content(corpus, "calls/a17/0"), "note": "laughs"},
        {**label, "utterance_id": "calls/a17/1", "content": "0" * 16},
    ]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"hbaf_labels": 1, "labels": rows}))
    done = import_labels(corpus, [file], parameters)
    assert [(where, rule[:35]) for where, rule, _ in done.problems] == [
        ("labels.json:2", "the utterance says something else n")
    ]
    (kept,) = read_annotations("calls")
    assert (kept.annotator, kept.at, kept.note) == ("Ann", "2026-02-03T04:05:06Z", "laughs")


def choice(turn: int, emotion: str, **more: str) -> dict[str, object]:
    named = {"from_name": f"emotion_{turn}", "to_name": f"text_{turn}", "type": "choices"}
    return {**named, "value": {"choices": [emotion]}, **more}


def test_label_studio(tmp_path: Path, corpus: Corpus, parameters: CorpusParameters) -> None:
    turns = [{"utterance_id": f"calls/a17/{turn}", "text": "..."} for turn in range(4)]
    submitted = {"created_at": "2026-03-01T00:00:00Z", "updated_at": "2026-03-02T00:00:00Z", "was_cancelled": False}
    paragraph = {"start": "3", "end": "3", "startOffset": 0, "endOffset": 4, "paragraphlabels": ["fear"]}
    tasks = [
        {
            "id": 7,
            "data": {"turns": turns},
            "annotations": [
                {
                    **submitted,
                    "completed_by": {"id": 3, "email": "ann@example.org"},
                    "result": [choice(1, "anger"), choice(2, "joy", origin="prediction"), choice(9, "joy")],
                },
                {**submitted, "completed_by": 4, "result": [choice(1, "joy")]},
                {**submitted, "was_cancelled": True, "completed_by": 4, "result": [choice(0, "anger")]},
                {
                    **submitted,
                    "completed_by": 4,
                    "result": [{"from_name": "l", "type": "paragraphlabels", "value": paragraph}],
                },
            ],
            "predictions": [{"result": [choice(0, "fear")]}],
        },
        {"id": 8, "data": {"turns": turns}, "annotations": [], "predictions": [{"result": [choice(0, "fear")]}]},
        {
            "id": 9,
            "data": {"utterance_id": "calls/b2/0"},
            "annotations": [{**submitted, "completed_by": 4, "result": [choice(0, "joy")]}],
        },
    ]  # fmt: skip
    file = tmp_path / "project.json"
    file.write_text(json.dumps(tasks))
    done = import_labels(corpus, [file], parameters)
    said = {(one.utterance_id, one.annotator): one.emotion for one in read_annotations("calls")}
    assert said == {
        ("calls/a17/1", "4"): "joy",
        ("calls/a17/1", "ann@example.org"): "anger",
        ("calls/a17/2", "ann@example.org"): "joy",
        ("calls/a17/3", "4"): "fear",
        ("calls/b2/0", "4"): "joy",
    }
    assert (done.taken_over, done.unchanged) == (1, 1)
    assert done.problems == (("project.json: task 7", "no turn of the task", "joy"),)
    assert {one.at for one in read_annotations("calls")} == {"2026-03-02T00:00:00Z"}


def scores(corpus: Corpus) -> pd.DataFrame:
    return corpus.utterances.assign(label="joy", confidence=0.8)


@pytest.mark.parametrize("form", ["textgrid", "eaf", "audacity"])
def test_what_hbaf_exports_is_corrected_in_place_and_joined_by_time(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters, form: str
) -> None:
    """The exports of `hbaf score` hold no ids; what still reads `joy 80%` was touched by nobody."""
    files, _ = export_scores(scores(corpus), tmp_path, [form])
    (file,) = [file for file in files if "a17" in file.name]
    text = file.read_text()
    place = text.index("joy 80%", text.index("joy 80%") + 1)  # the second label of the file
    if form == "audacity":
        line = text[place:].partition("\n")[0]
        text = text.replace(line, "anger", 1)
    else:
        text = text[:place] + text[place:].replace("joy 80%", "anger", 1)
    file.write_text(text)
    with pytest.raises(LabellingError, match="--annotator NAME"):
        import_labels(corpus, [file], parameters)
    done = import_labels(corpus, [file], parameters, annotator="Ann")
    # Tiers go by speaker: their second label is Ann's second turn. A track goes by time.
    expected = "calls/a17/1" if form == "audacity" else "calls/a17/2"
    assert labels_of(parameters) == {expected: "anger"}
    assert done.problems == ()
    assert done.unchanged == 3


def test_a_time_that_fits_no_turn_is_a_problem(tmp_path: Path, corpus: Corpus, parameters: CorpusParameters) -> None:
    file = tmp_path / "a17.txt"
    file.write_text("0.05\t1.45\tjoy\n1.4\t2.1\tanger\n20\t21\tjoy\n")
    done = import_labels(corpus, [file], parameters, annotator="Ann")
    assert labels_of(parameters) == {"calls/a17/0": "joy"}
    assert done.problems == (
        ("a17.txt:2", "no such utterance", "1.4 to 2.1 s of 'a17'"),
        ("a17.txt:3", "no such utterance", "20 to 21 s of 'a17'"),
    )


def test_elan_tiers_that_refine_others_and_name_the_annotator(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters
) -> None:
    file = tmp_path / "a17.eaf"
    file.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/><TIME_ORDER>'
        '<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="2000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="3500"/>'
        '</TIME_ORDER><TIER TIER_ID="Bob"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" '
        'TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>It is broken.</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>'
        '</TIER><TIER TIER_ID="Bob-emotion" PARENT_REF="Bob" ANNOTATOR="Cy"><ANNOTATION><REF_ANNOTATION '
        'ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>anger</ANNOTATION_VALUE></REF_ANNOTATION>'
        "</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    import_labels(corpus, [file], parameters)
    (kept,) = read_annotations("calls")
    assert (kept.utterance_id, kept.emotion, kept.annotator) == ("calls/a17/1", "anger", "Cy")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "{broken", "broken JSON"),
        ("a.json", '{"other": 1}', "JSON without labels"),
        ("a.txt", "hello", "no labels in a form that is known"),
        ("a.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 3', "ends in the middle"),
        ("a.eaf", "<!DOCTYPE x><ANNOTATION_DOCUMENT>", "declares its own entities"),
        ("absent.csv", None, "no such file"),
    ],
)
def test_files_without_labels(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters, name: str, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=says):
        import_labels(corpus, [tmp_path / name], parameters, annotator="Ann")


def test_the_file_in_the_home_is_a_backup(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters, home: Path
) -> None:
    file = tmp_path / "ann.csv"
    file.write_text("utterance_id,emotion,note\ncalls/a17/0,joy,laughs\ncalls/b2/1,anger,\n")
    import_labels(corpus, [file], parameters)
    before = read_annotations("calls")
    copy = tmp_path / "copy.jsonl"
    (home / "labels" / "calls.jsonl").rename(copy)
    assert labels_of(parameters) == {}
    done = import_labels(corpus, [copy], parameters)
    assert (done.added.new, done.problems) == (2, ())
    assert [replace(one, file="ann.csv") for one in read_annotations("calls")] == before


def test_dialogues_with_a_label_are_split_and_the_others_are_in_none(
    tmp_path: Path, corpus: Corpus, parameters: CorpusParameters
) -> None:
    rows = ["calls/a17/0,joy", "calls/c3/1,anger", "calls/c3/2,joy"]
    import_labels(corpus, [table(tmp_path / "ann.csv", *rows)], parameters)
    prepared = prepare_corpus(parameters, workers=1).corpus
    assert set(prepared.splits["dialogue_id"]) == {"a17", "c3"}
    assert prepared.emotions == ("anger", "joy")
    assert prepared.utterances["emotion"].notna().sum() == 3
    assert len(prepared.utterances) == 12, "the others stay as context"
