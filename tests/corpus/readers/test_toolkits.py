"""Corpora as Kaldi, Lhotse, NeMo and EmoBox describe them, RTTM, EXMARaLDA; Lhotse's library writes two."""

import gzip
import json
from pathlib import Path

import lhotse
import lhotse.kaldi
import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus, CorpusError
from hbaf.parameters import CorpusParameters

RATE = 8_000
TURNS = [
    # recording, channel, speaker, start, seconds, words, emotion
    ("call1", 0, "anna", 0.0, 1.5, "Where is my parcel?", "anger"),
    ("call1", 1, "ben", 1.5, 1.0, "On its way.", "neutral"),
    ("call2", 0, "cleo", 0.25, 2.0, "It came, thank you!", "joy"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stereo recordings."""
    root = tmp_path / "calls"
    (root / "wav").mkdir(parents=True)
    for name in ("call1", "call2"):
        soundfile.write(root / "wav" / f"{name}.wav", np.full((3 * RATE, 2), 0.1), RATE)
    return root


def read(root: Path, **changes: object) -> Corpus:
    return read_corpus(CorpusParameters(reader="auto", root=root, **changes))


def turns_of(corpus: Corpus) -> list[tuple[object, ...]]:
    names = ["dialogue_id", "channel", "speaker", "start", "end", "text", "emotion", "audio", "audio_problem"]
    table = corpus.utterances.sort_values(["dialogue_id", "turn"])[names].astype(object)
    return [tuple(row) for row in table.where(table.notna(), None).itertuples(index=False)]


EXPECTED = [
    (name, channel, speaker, start, start + seconds, words, emotion, f"wav/{name}.wav", None)
    for name, channel, speaker, start, seconds, words, emotion in TURNS
]


def recordings(folder: Path) -> lhotse.RecordingSet:
    return lhotse.RecordingSet.from_recordings(
        lhotse.Recording.from_file(path) for path in sorted((folder / "wav").glob("*.wav"))
    )


def supervisions(emotions: bool = True) -> lhotse.SupervisionSet:
    return lhotse.SupervisionSet.from_segments(
        lhotse.SupervisionSegment(
            f"{recording}-{at}", recording, start, seconds, channel, text, "en", speaker,
            custom={"emotion": emotion} if emotions else None,
        )
        for at, (recording, channel, speaker, start, seconds, text, emotion) in enumerate(TURNS)
    )  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_lhotse_recordings_and_supervisions(folder: Path, suffix: str) -> None:
    recordings(folder).to_file(folder / f"calls_recordings_all.{suffix}")
    supervisions().to_file(folder / f"calls_supervisions_all.{suffix}")
    corpus = read(folder)
    assert turns_of(corpus) == EXPECTED
    assert "Lhotse, 3 turns of 2 recordings, 3 speakers" in corpus.notes
    assert turns_of(read(folder, manifest=f"calls_supervisions_all.{suffix}")) == EXPECTED


def test_lhotse_cuts_of_which_each_counts_from_its_own_beginning(folder: Path) -> None:
    whole = lhotse.CutSet.from_manifests(recordings(folder), supervisions())
    whole.trim_to_supervisions().to_file(folder / "cuts.jsonl.gz")
    cuts = lhotse.CutSet.from_file(folder / "cuts.jsonl.gz")
    assert any(cut.start > 0 and cut.supervisions[0].start == 0 for cut in cuts), "trimmed cuts begin inside"
    assert turns_of(read(folder)) == EXPECTED


def test_lhotse_cuts_of_two_splits(folder: Path) -> None:
    cuts = lhotse.CutSet.from_manifests(recordings(folder), supervisions())
    for split, name in (("train", "call1"), ("dev", "call2")):
        cuts.filter(lambda cut, name=name: cut.recording_id == name).to_file(folder / f"cuts_{split}.jsonl")
    corpus = read(folder)
    assert dict(zip(corpus.splits["dialogue_id"], corpus.splits["split"], strict=True)) == {
        "call1": "train",
        "call2": "dev",
    }


def test_kaldi_as_lhotse_writes_it(folder: Path) -> None:
    lhotse.kaldi.export_to_kaldi(recordings(folder), supervisions(emotions=False), folder, map_underscores_to="_")
    written = {path.name for path in folder.iterdir()}
    assert {"wav.scp", "segments", "text", "utt2spk"} <= written
    corpus = read(folder)
    spoken = [(words, start, end) for _, _, _, start, end, words, *_ in turns_of(corpus)]
    assert sorted(spoken) == sorted((words, start, end) for _, _, _, start, end, words, *_ in EXPECTED)
    assert {"anna", "ben", "cleo"} == set(corpus.utterances["speaker"])


def write_kaldi(directory: Path, **files: str) -> None:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("wav_scp", "wav.scp")).write_text(content)


def test_kaldi_with_two_sides_of_a_call_labels_and_what_it_cannot_have(folder: Path) -> None:
    write_kaldi(
        folder,
        wav_scp="call1-A wav/call1.wav\ncall1-B wav/call1.wav\ncall2 sph2pipe -f wav call2.sph |\n",
        segments="u1 call1-A 0.0 1.5\nu2 call1-B 1.5 2.5\nu3 call2 0.25 -1\nu4 call2\n",
        text="u1 Where is my parcel?\nu2 On its way.\nu3 It came, thank you!\n",
        utt2spk="u1 anna\nu2 ben\nu3 cleo\n",
        utt2emo="u1 anger\nu2 neutral\nu3 joy\n",
        reco2file_and_channel="call1-A call1 A\ncall1-B call1 B\n",
    )
    corpus = read(folder, bad_share=0.5)
    first, second, third = turns_of(corpus)
    assert (first, second) == (EXPECTED[0], EXPECTED[1])
    assert third[-2:] == (None, "wav.scp has a command for it, and no command is run: write the recording to a file")
    assert [(row.row, row.rule) for row in corpus.set_aside.itertuples()] == [("segments:4", "broken line")]


def test_kaldi_with_a_directory_for_each_split(folder: Path) -> None:
    for split, name in (("train", "call1"), ("test", "call2")):
        write_kaldi(folder / split, wav_scp=f"{name} wav/{name}.wav\n", text=f"{name} Hello there.\n")
    corpus = read(folder)
    assert set(corpus.splits.itertuples(index=False, name=None)) == {("call1", "train"), ("call2", "test")}
    assert set(corpus.utterances["audio"]) == {"wav/call1.wav", "wav/call2.wav"}


def test_nemo(folder: Path) -> None:
    rows = [
        {"audio_filepath": f"wav/{name}.wav", "offset": start, "duration": seconds, "text": words, "speaker": speaker,
         "label": "infer", "emotion": emotion}
        for name, _, speaker, start, seconds, words, emotion in TURNS
    ]  # fmt: skip
    (folder / "manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for corpus in (read(folder), read(folder, manifest="manifest.json")):
        assert [(text, start, end, emotion) for _, _, _, start, end, text, emotion, *_ in turns_of(corpus)] == [
            (text, start, end, emotion) for _, _, _, start, end, text, emotion, *_ in EXPECTED
        ]
    for row in rows:
        row["pred_text"] = row.pop("text")
        del row["emotion"]
    (folder / "manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = read(folder)
    assert corpus.emotions == (), "`infer` is no emotion"
    assert corpus.utterances["text"].tolist() == [words for *_, words, _ in TURNS]


def test_emobox(folder: Path) -> None:
    """As of its repository: `channel` is the number of channels, and nothing is said of words or speakers."""
    fold = folder / "data" / "calls" / "fold_1"
    fold.mkdir(parents=True)
    for split, name, emotion in (("train", "call1", "ang"), ("test", "call2", "hap")):
        one = {
            "key": f"calls-{name}", "dataset": "calls", "wav": f"wav/{name}.wav", "type": "raw", "sample_rate": RATE,
            "num_frame": 24000.0, "task": "category", "length": 3.0, "emo": emotion, "channel": 1,
        }  # fmt: skip
        (fold / f"calls_{split}_fold_1.jsonl").write_text(json.dumps(one) + "\n")
    corpus = read(folder, manifest="data/calls/fold_1")
    assert [(row[1], row[6], row[7], row[8]) for row in turns_of(corpus)] == [
        (None, "ang", "wav/call1.wav", None),
        (None, "hap", "wav/call2.wav", None),
    ]
    assert set(corpus.splits["split"]) == {"train", "test"}


def test_rttm_beside_words_names_who_speaks_longest(folder: Path) -> None:
    captions = [
        "1\n00:00:00,000 --> 00:00:01,500\nWhere is my parcel?",
        "2\n00:00:01,500 --> 00:00:02,500\nOn its way.",
    ]
    (folder / "wav" / "call1.srt").write_text("\n\n".join(captions) + "\n")
    (folder / "wav" / "call2.srt").write_text("1\n00:00:00,250 --> 00:00:02,250\nIt came, thank you!\n")
    (folder / "all.rttm").write_text(
        "SPKR-INFO call1 1 <NA> <NA> <NA> unknown anna <NA> <NA>\n"
        "SPEAKER call1 1 0.00 1.70 <NA> <NA> anna <NA> <NA>\n"
        "SPEAKER call1 1 1.70 0.90 <NA> <NA> ben <NA> <NA>\n"
        "SPEAKER call2 1 0.20 2.00 <NA> <NA> cleo <NA> <NA>\n"
        "SPEAKER call2 1\n"
    )
    corpus = read(folder)
    assert [row[2] for row in turns_of(corpus)] == ["anna", "ben", "cleo"]
    told = "speakers of 3 turns in 2 recordings are those of RTTM; 1 turn with several has the one who speaks longest"
    assert told in corpus.notes
    assert any(note.startswith("all.rttm:5: not read") for note in corpus.notes)


def test_exmaralda_with_points_that_have_no_time(folder: Path) -> None:
    (folder / "wav" / "call1.exb").write_text(
        """<?xml version="1.0" encoding="UTF-8"?>
<basic-transcription><head><speakertable>
<speaker id="SPK0"><abbreviation>anna</abbreviation></speaker>
<speaker id="SPK1"><abbreviation>ben</abbreviation></speaker>
</speakertable></head><basic-body><common-timeline>
<tli id="T0" time="0.0"/><tli id="T1"/><tli id="T2" time="2.5"/></common-timeline>
<tier id="TIE0" speaker="SPK0" category="v" type="t"><event start="T0" end="T1">Where is my parcel?</event></tier>
<tier id="TIE1" speaker="SPK1" category="v" type="t">
<event start="T1" end="T2">On its <ud-information/>way.</event></tier>
<tier id="TIE2" speaker="SPK1" category="nv" type="d"><event start="T1" end="T2">waves</event></tier>
</basic-body></basic-transcription>"""
    )
    corpus = read(folder)
    assert [row[2:6] for row in turns_of(corpus)] == [
        ("anna", 0.0, 1.25, "Where is my parcel?"),
        ("ben", 1.25, 2.5, "On its way."),
    ]
    assert any("EXMARaLDA, 2 turns, 2 speakers" in note for note in corpus.notes)


def test_what_is_broken_is_named(folder: Path) -> None:
    (folder / "cuts.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a", "supervisions": []}\n' * 50)[:40])
    (folder / "cuts2.jsonl").write_text('{"id": "a", "supervisions": 3}\nnot json\n[]\n')
    with pytest.raises(CorpusError, match="no whole gzip file"):
        read(folder)
    (folder / "cuts.jsonl.gz").unlink()
    with pytest.raises(CorpusError, match="none of 3 rows can be used"):
        read(folder)
    with pytest.raises(CorpusError, match="lies outside"):
        read(folder / "wav", manifest="..")


def test_a_packed_file_is_bounded(folder: Path) -> None:
    line = json.dumps({"id": "a", "supervisions": [], "pad": "x" * 1000}).encode() + b"\n"
    (folder / "cuts.jsonl.gz").write_bytes(gzip.compress(line * 5000))
    assert (folder / "cuts.jsonl.gz").stat().st_size < 100_000
    with pytest.raises(CorpusError, match="table_bytes"):
        read(folder, limits={"table_bytes": 1_000_000})


def test_a_table_whose_name_says_cuts_is_a_table(folder: Path) -> None:
    rows = [{"dialogue": "call1", "text": "Hello.", "audio": "wav/call1.wav"}] * 2
    pd.DataFrame(rows).to_json(folder / "haircuts.jsonl", orient="records", lines=True)
    assert len(read(folder).utterances) == 2


def test_an_rttm_that_leads_nowhere_or_out_of_the_folder_is_no_rttm(folder: Path) -> None:
    (folder / "wav" / "call1.srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nWhere is my parcel?\n")
    (folder.parent / "strange.rttm").write_text("SPEAKER call1 1 0.00 1.70 <NA> <NA> anna <NA> <NA>\n")
    (folder / "gone.rttm").symlink_to(folder / "nothing")
    (folder / "strange.rttm").symlink_to(folder.parent / "strange.rttm")
    assert [row[2] for row in turns_of(read(folder))] == ["unknown"]
