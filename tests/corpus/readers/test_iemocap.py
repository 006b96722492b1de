"""IEMOCAP's release. No file of it can be had here: the tests build a tree in the documented format."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from hbaf.corpus.readers.iemocap import label_count, read_iemocap
from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError
from hbaf.parameters import CorpusParameters, IemocapParameters

HEADING = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
# suffix of the id, start, end, majority label, what was said; not in the order of speaking
DIALOGUE = [
    ("F000", 6.2901, 8.2357, "neu", "Excuse me."),
    ("F001", 10.01, 11.0, "xxx", "Yes."),
    ("M000", 7.5, 10.5, "fru", "You need a form."),
    ("M001", 14.0, 15.5, "exc", "Wonderful!"),
    ("F002", 16.0, 17.0, "hap", "Isn't it?"),
    ("M002", 18.0, 19.0, "sur", "Oh!"),
    ("F003", 20.0, 21.0, "ang", "Enough."),
    ("M003", 22.0, 23.0, "sad", "I am leaving."),
]


def write_dialogue(root: Path, session: int, name: str, turns: list[tuple[str, float, float, str, str]]) -> None:
    labels, texts = HEADING, ""
    for suffix, start, end, label, text in turns:
        labels += f"[{start:.4f} - {end:.4f}]\t{name}_{suffix}\t{label}\t[2.5000, 3.0000, 3.5000]\n"
        labels += "C-E2:\tNeutral;\t()\nC-F1:\tNeutral;\t(curious)\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
        texts += f"{name}_{suffix} [{start:08.4f}-{end:08.4f}]: {text}\n"
        wav = root / f"Session{session}/sentences/wav/{name}/{name}_{suffix}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        wav.write_bytes(b"not decoded here")
    texts += f"M: [LAUGHTER]\n{name}_MXX0 [023.0000-023.5000]: Hm.\n"
    for folder, content in (("EmoEvaluation", labels), ("transcriptions", texts)):
        path = root / f"Session{session}/dialog/{folder}/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = tmp_path / "IEMOCAP_full_release"
    for session in range(1, 6):
        for scene in ("impro01", "script01_1", "script02_2"):
            write_dialogue(root, session, f"Ses0{session}F_{scene}", DIALOGUE)
    single = root / "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt"  # one annotator's opinion
    single.parent.mkdir()
    single.write_text("Ses01F_impro01_F000 :Neutral state; ()\n")
    (root / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\0\5\26\7")
    return root


def read(root: Path, *, seed: int = 0, bad_share: float = 0.02, **settings: object) -> Corpus:
    iemocap = IemocapParameters(**{"dev_dialogues": 2, **settings})
    return read_iemocap(CorpusParameters(reader="iemocap", root=root, seed=seed, bad_share=bad_share, iemocap=iemocap))


def dialogue(corpus: Corpus, name: str = "Ses01F_impro01") -> pd.DataFrame:
    return corpus.utterances[corpus.utterances["dialogue_id"] == name]


def test_turns_follow_the_start_times(release: Path) -> None:
    rows = dialogue(read(release))
    assert rows["source_id"].str[-4:].tolist() == ["F000", "M000", "F001", "M001", "F002", "M002", "F003", "M003"]
    assert rows["turn"].tolist() == list(range(8))
    assert rows["speaker"].tolist()[:3] == ["Ses01_F", "Ses01_M", "Ses01_F"]
    assert rows["text"].tolist()[:3] == ["Excuse me.", "You need a form.", "Yes."]
    first = rows.iloc[0]
    assert first["audio"] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert pd.isna(first["start"])  # the file is the utterance already
    assert first["subtitle_seconds"] == pytest.approx(1.9456)
    assert (first["valence"], first["activation"], first["dominance"]) == (2.5, 3.0, 3.5)


def test_six_classes_and_the_rest_is_context(release: Path) -> None:
    corpus = read(release)
    assert corpus.emotions == LABEL_SETS["iemocap6"]
    assert dialogue(corpus)["emotion"].fillna("-").tolist() == [
        "neutral", "frustrated", "-", "excited", "happy", "-", "angry", "sad",
    ]  # fmt: skip


def test_four_classes_count_excited_as_happy(release: Path) -> None:
    corpus = read(release, classes=4)
    assert corpus.emotions == LABEL_SETS["iemocap4"]
    assert dialogue(corpus)["emotion"].fillna("-").tolist() == [
        "neutral", "-", "-", "happy", "happy", "-", "angry", "sad",
    ]  # fmt: skip


def test_unlabelled_turns_are_dropped_on_request(release: Path) -> None:
    rows = dialogue(read(release, keep_unlabelled=False))
    assert rows["emotion"].notna().all()
    assert rows["turn"].tolist() == list(range(6))


def test_session_five_is_test_and_dev_is_drawn_by_seed(release: Path) -> None:
    splits = read(release).splits.set_index("dialogue_id")["split"]
    assert {name[:5] for name in splits.index[splits == "test"]} == {"Ses05"}
    assert splits.value_counts().to_dict() == {"train": 10, "test": 3, "dev": 2}
    drawn = {tuple(splits.index[splits == "dev"]) for splits in
             (read(release, seed=seed).splits.set_index("dialogue_id")["split"] for seed in range(4))}  # fmt: skip
    assert len(drawn) > 1
    assert read(release, seed=3).splits_digest() == read(release, seed=3).splits_digest()


@pytest.mark.parametrize("session", [1, 4])
def test_leave_one_session_out(release: Path, session: int) -> None:
    splits = read(release, test_session=session).splits.set_index("dialogue_id")["split"]
    assert {name[:5] for name in splits.index[splits == "test"]} == {f"Ses0{session}"}
    assert f"Ses0{session}" not in {name[:5] for name in splits.index[splits != "test"]}


def test_the_default_is_the_fields_habit() -> None:
    settings = CorpusParameters(reader="iemocap").iemocap
    assert (settings.classes, settings.test_session, settings.dev_dialogues) == (6, 5, 12)
    assert settings.keep_unlabelled


def test_too_few_dialogues_for_validation(release: Path) -> None:
    with pytest.raises(CorpusError, match="dev_dialogues is 12"):
        read(release, dev_dialogues=12)


def test_what_is_missing_is_marked(release: Path) -> None:
    (release / "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_M000.wav").unlink()
    (release / "Session3/dialog/transcriptions/Ses03F_impro01.txt").unlink()
    corpus = read(release)
    rows = corpus.utterances.set_index("source_id")
    assert "no audio at Session2" in rows.loc["Ses02F_impro01_M000", "audio_problem"]
    assert rows["audio_problem"].notna().sum() == 1
    assert set(rows.index[rows["text_problem"].notna()].str[:14]) == {"Ses03F_impro01"}


def test_lines_that_fit_nowhere_are_set_aside(release: Path) -> None:
    labels = release / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    strange = "[1.0000 - 2.0000]\tSes01F_script09_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    doubled = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    labels.write_text(labels.read_text() + strange + doubled)
    texts = release / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    texts.write_text(texts.read_text() + "Ses01F_impro01_F099 [090.0000-091.0000]: Nobody rated this.\n")
    corpus = read(release, bad_share=0.05)
    assert corpus.set_aside["rule"].tolist() == [
        "id is not of this dialogue", "doubled utterance", "transcript without a label line",
    ]  # fmt: skip
    with pytest.raises(CorpusError, match="label lines are bad"):
        read(release, bad_share=0.01)


def test_the_folder_around_the_release_will_do(release: Path) -> None:
    assert read(release.parent).digest() == read(release).digest()


def test_no_release(tmp_path: Path, release: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no folder Session1"):
        read(tmp_path / "empty")
    (release / "Session5").rename(release / "Session5 later")
    with pytest.raises(CorpusError, match="session 5 for testing"):
        read(release)


def test_the_count_is_reported_and_never_a_reason_to_fail(release: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hbaf.corpus.readers.iemocap"):
        read(release)
    assert "90 utterances" in caplog.text  # 15 dialogues of 6
    assert "neither 7380" in caplog.text
    assert "release's own majority labels" in label_count(7380, 6)
    assert "feature files that the field passes on" in label_count(7433, 6)
    assert label_count(5531, 4) == "IEMOCAP: 5531 utterances with one of 4 labels"
