"""`corpus.labels`: what labels of a source become, with every reader, as a part of what the corpus is."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hbaf.cli import main
from hbaf.corpus.labels import KNOWN, LabelMap
from hbaf.corpus.prepare import save
from hbaf.corpus.read import parameters_of, read_corpus
from hbaf.corpus.readers.imported import save_imported
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, load_corpus
from hbaf.parameters import CorpusParameters, ValidationParameters
from hbaf.validation import validate

MELD_HEADER = [
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
]  # fmt: skip


def write_calls(root: Path, *labels: str) -> Path:
    """A manifest with one turn for each label, four turns a dialogue."""
    root.mkdir(exist_ok=True)
    lines = [f'd{number // 4},{number % 4},Ann,"Turn {number}.",{label}' for number, label in enumerate(labels)]
    (root / "calls.csv").write_text("\n".join(["dialogue,turn,speaker,text,emotion", *lines]), encoding="utf-8")
    return root


def write_meld(root: Path) -> Path:
    labels = {"train": ("joy", "surprise", "neutral", "anger"), "dev": ("joy", "sadness"), "test": ("fear", "joy")}
    for split, written in labels.items():
        rows = [
            [n, f"{split} {n}.", "Al", label, "neutral", "0", n, "1", "2", f"00:00:0{n},000", f"00:00:0{n + 1},000"]
            for n, label in enumerate(written)
        ]
        with (root / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([MELD_HEADER, *rows])
    return root


def read(root: Path, labels: Any, **settings: Any) -> Corpus:
    return read_corpus(parameters_of(root, {"labels": labels, **settings}))


def emotions_of(corpus: Corpus) -> list[str | None]:
    return [None if pd.isna(label) else str(label) for label in corpus.utterances["emotion"]]


def test_labels_of_a_manifest_become_emotions(tmp_path: Path) -> None:
    calls = write_calls(tmp_path / "calls", "Happy", "excited", "xxx", "angry", "-", "1", "sad", "very  sad")
    found = read(calls, "happy=joy, excited=joy, angry=anger, xxx=, 1=fear, Very sad=sad, -=neutral")
    assert emotions_of(found) == ["joy", "joy", None, "anger", "neutral", "fear", "sad", "sad"]
    assert found.emotions == ("anger", "fear", "joy", "neutral", "sad")
    assert "labels that became joy: excited 1, happy 1" in found.notes
    assert "labels that became no label: xxx 1" in found.notes
    assert not any("no label;" in note for note in found.notes)


def test_it_comes_before_the_check_of_the_label_set(tmp_path: Path) -> None:
    calls = write_calls(tmp_path / "calls", "happy", "joy", "bored", "sad")
    with pytest.raises(CorpusError, match="unknown label"):
        read(calls, "", emotions=("joy", "sad"))
    found = read(calls, "happy=joy,bored=", emotions=("joy", "sad"))
    assert (emotions_of(found), len(found.set_aside)) == (["joy", "joy", None, "sad"], 0)
    left = read(calls, "happy=joy", emotions=("joy", "sad"), bad_share=0.5)
    assert left.set_aside["found"].tolist() == ["'bored', not one of joy, sad"]


def test_names_with_commas_go_as_an_object(tmp_path: Path) -> None:
    calls = write_calls(tmp_path / "calls", '"joy, pride"', "sad", "sad", "sad")
    assert emotions_of(read(calls, {"joy, pride": "joy"}))[0] == "joy"


def test_the_map_is_a_part_of_what_the_corpus_is(tmp_path: Path, home: Path) -> None:
    calls = write_calls(tmp_path / "calls", "joy", "joy", "sad", "sad")
    plain, mapped = read(calls, ""), read(calls, "happy=joy")
    assert emotions_of(plain) == emotions_of(mapped)
    assert plain.digest() != mapped.digest()
    assert mapped.digest() == read(calls, {"Happy": "joy"}).digest()
    reference = save(mapped)
    assert json.loads((reference.folder / "corpus.json").read_text())["labels"] == {"happy": "joy"}
    assert load_corpus(reference).labels == {"happy": "joy"}
    assert load_corpus(reference).digest() == mapped.digest()


def test_a_pair_that_no_row_has_is_a_note_of_corpus_and_validation(tmp_path: Path) -> None:
    calls = write_calls(tmp_path / "calls", "joy", "excited", "sad", "sad")
    found = read(calls, "hapy=joy,excited=joy,go_emotions:ekman")
    assert "`corpus.labels` names 'hapy', which no row has" in found.notes
    report = validate(found, ValidationParameters()).markdown()
    assert "labels that became joy: excited 1" in report
    assert "which no row has" in report


def test_meld_takes_the_map_before_its_label_set(tmp_path: Path) -> None:
    found = read(write_meld(tmp_path), "meld:iemocap4")
    assert found.emotions == ("neutral", "sad", "happy", "angry")
    assert emotions_of(found) == ["happy", "sad", None, "happy", "happy", None, "neutral", "angry"]
    assert len(found.set_aside) == 0
    assert read(tmp_path, "joy=happy").emotions == tuple(
        "happy" if emotion == "joy" else emotion for emotion in LABEL_SETS["meld"]
    )


def test_audformat_takes_it_and_keeps_the_order_of_the_scheme(tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat", reason="audformat is not installed: pip install 'hbaf[audformat]'")
    db = audformat.Database("calls")
    db.schemes["emotion"] = audformat.Scheme("str", labels=["neutral", "happy", "excited", "xxx"])
    table = db["emotions"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav", "c.wav", "d.wav"]))
    table["emotion"] = audformat.Column(scheme_id="emotion")
    table["emotion"].set(["happy", "excited", "xxx", "neutral"])
    db.save(str(tmp_path), storage_format="csv")
    found = read(tmp_path, "happy=joy,excited=joy,xxx=")
    assert (emotions_of(found), found.emotions) == (["joy", "joy", None, "neutral"], ("neutral", "joy"))
    assert found.labels == {"happy": "joy", "excited": "joy", "xxx": ""}


def test_imported_corpora_take_it_after_they_are_read(tmp_path: Path) -> None:
    calls = write_calls(tmp_path / "calls", "happy", "excited", "sad", "frustrated")
    reference = save_imported(read(calls, "", name="sdt"))
    found = read_corpus(parameters_of("imported/sdt", {"labels": "iemocap6:ekman"}))
    assert (emotions_of(found), found.emotions) == (["joy", "joy", "sadness", None], ("joy", "sadness"))
    assert found.utterances.dtypes["emotion"] == load_corpus(reference).utterances.dtypes["emotion"]
    assert read_corpus(parameters_of("imported/sdt")).digest() == reference.digest


def test_known_maps_are_whole() -> None:
    ekman = KNOWN["go_emotions:ekman"]
    assert len(ekman) == 28
    assert {*ekman.values()} == {*LABEL_SETS["meld"]}
    assert (ekman["caring"], ekman["realization"], ekman["remorse"]) == ("joy", "surprise", "sadness")
    assert KNOWN["iemocap6:iemocap4"] | {} == {
        "happy": "happy", "sad": "sad", "neutral": "neutral", "angry": "angry", "excited": "happy", "frustrated": "",
    }  # fmt: skip
    for name, targets in KNOWN.items():
        source, _, target = name.partition(":")
        assert {*targets} == {*LABEL_SETS.get(source, targets)}
        assert {*targets.values()} - {""} <= {*LABEL_SETS.get(target, LABEL_SETS["meld"])}


def test_a_pair_counts_before_a_known_map() -> None:
    labels = LabelMap(CorpusParameters(labels="go_emotions:ekman,caring=neutral"))
    assert (labels("caring"), labels("love"), labels("unheard of")) == ("neutral", "joy", "unheard of")


@pytest.mark.parametrize(
    ("labels", "emotions", "message"),
    [
        ("happy=joy,happy=neutral", (), "corpus.labels: 'happy' becomes 'joy' and 'neutral'. Keep one."),
        ("happy=joy", ("sad", "neutral"), "corpus.labels: 'happy' becomes 'joy', which is none of `corpus.emotions`"),
        ("go_emotions:ekmann", (), "Did you mean go_emotions:ekman or"),
        ("happy", (), "'happy' is neither LABEL=EMOTION nor a known map. There are: ekman:iemocap4"),
        ("=joy", (), "no label before `=joy`"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: str, emotions: tuple[str, ...], message: str
) -> None:
    calls = write_calls(tmp_path / "calls", "happy", "sad", "sad", "sad")
    with pytest.raises(CorpusError) as caught:
        read(calls, labels, emotions=emotions)
    assert message in str(caught.value)
    with pytest.raises(SystemExit) as end:
        main(["validate", str(calls), f"--labels={labels}", "--set", f"corpus.emotions={json.dumps(emotions)}"])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--labels"], ["--set", "corpus.labels"]])
def test_verbs_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    calls = write_calls(tmp_path / "calls", *["happy", "excited", "sad", "xxx"] * 6)
    given = "happy=joy,excited=joy,xxx="
    arguments = [*option, given] if len(option) == 1 else [option[0], f"{option[1]}={given}"]
    with pytest.raises(SystemExit):
        main(["validate", str(calls), "--no-log", "--quiet", *arguments])
    shown = " ".join(capsys.readouterr().out.split())
    assert "labels that became joy: excited 6, happy 6" in shown
    assert "labels that became no label: xxx 6" in shown
