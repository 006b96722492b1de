"""One person per channel, 8 kHz, two hours, 800 turns: calls as they are recorded."""

import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from feature_store.store import FeatureStore
from hbaf import pipeline
from hbaf.cli import main
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.schema import Corpus, CorpusError, load_corpus
from hbaf.corpus.sound.audio import load_audio
from hbaf.corpus.sound.channels import assign_channels, parse_channels
from hbaf.features.extract import extract_column, read_column
from hbaf.parameters import CorpusParameters
from hbaf.verbs.options import CorpusOptions

RATE = 8_000
HINT = "--channels 0=agent,1=customer"


def noise(seed: int, seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three calls of four turns, both people sounding all the time, each on a channel."""
    folder = tmp_path / "calls"
    folder.mkdir()
    rows = ["dialogue,speaker,text,audio,start,end"]
    for call in range(3):
        soundfile.write(folder / f"c{call}.wav", np.stack([noise(call, 8), noise(9 - call, 8)], axis=1), RATE)
        speakers = ["Agent", "customer"] * 2
        rows += [
            f"c{call},{name},hi {turn},c{call}.wav,{2 * turn},{2 * turn + 1}" for turn, name in enumerate(speakers)
        ]
    (folder / "calls.csv").write_text("\n".join(rows) + "\n")
    return folder


def prepare(root: Path, **settings: object) -> Corpus:
    parameters = CorpusParameters(reader="folder", root=root, **settings)  # type: ignore[arg-type]
    return load_corpus(prepare_corpus(parameters, workers=1))


def test_each_turn_is_cut_from_its_speakers_channel(root: Path) -> None:
    corpus = prepare(root, channels={"agent": 0, "customer": 1})
    table = corpus.utterances
    assert table["channel"].tolist() == [0, 1] * 6
    assert table["audio_problem"].isna().all()
    second = load_audio(root / "c0.wav", channel=int(table["channel"][1]), start=table["start"][1], end=table["end"][1])
    customer = soundfile.read(root / "c0.wav")[0][2 * RATE : 3 * RATE, 1]
    assert np.corrcoef(second[::2], customer)[0, 1] > 0.95  # the same samples, but for the change of rate


def test_nothing_is_mixed_blindly_where_nobody_said_who_is_where(root: Path) -> None:
    with pytest.raises(CorpusError, match="the channels of 3 of 3 recordings hold different sounds") as caught:
        prepare(root)
    assert HINT in str(caught.value)
    assert "calls/c0/0" in str(caught.value)


def test_one_odd_recording_costs_its_own_rows_only(root: Path) -> None:
    whole = prepare(root, channels={"agent": 0, "customer": 1}).utterances
    for call in (0, 1):
        soundfile.write(root / f"c{call}.wav", soundfile.read(root / f"c{call}.wav")[0][:, 0], RATE)
    table = prepare(root).utterances
    assert table["audio_problem"].notna().tolist() == [False] * 8 + [True] * 4
    assert HINT in table["audio_problem"][8]
    assert whole["seconds"][0] == table["seconds"][0]


def test_a_speaker_without_a_channel_is_named(root: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        prepare(root, channels={"agent": 0})
    assert "no channel for 1 of the speakers: 'customer' (first calls.csv:3)" in str(caught.value)


def test_the_command_takes_the_mapping(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["validate", str(root), "--no-docs", "--quiet"])
    assert stopped.value.code == 2
    assert HINT in capsys.readouterr().err
    reference = pipeline.prepare(CorpusOptions(channels="0=agent,1=customer").corpus(str(root)))
    assert load_corpus(reference).utterances["channel"].tolist() == [0, 1] * 6


def test_forms_of_the_mapping() -> None:
    assert parse_channels("0=agent, 1 = Mrs. Okafor,1=robot") == {"agent": 0, "Mrs. Okafor": 1, "robot": 1}
    for text in ("agent", "agent=0", "0=", "", "-1=agent", "99999=agent"):
        with pytest.raises(CorpusError, match="NUMBER=SPEAKER"):
            parse_channels(text)
    with pytest.raises(CorpusError, match="'agent' has two channels"):
        parse_channels("0=agent,1=agent")


def test_a_rows_own_channel_counts_first_and_names_the_unnamed() -> None:
    rows = [
        ("t.csv:2", {"speaker": "Agent", "channel": 1}),
        ("t.csv:3", {"speaker": "unknown", "channel": 1}),
        ("t.csv:4", {"speaker": "a  stranger", "channel": 5}),
        ("t.csv:5", {"speaker": "AGENT", "channel": None}),
    ]
    assign_channels(rows, {"agent": 0, "customer": 1, "robot": 1})
    assert [(values["speaker"], values["channel"]) for _, values in rows] == [
        ("Agent", 1),
        ("customer", 1),
        ("a  stranger", 5),
        ("AGENT", 0),
    ]


SECONDS, TURNS = 7_200, 800


@pytest.fixture
def long_call(tmp_path: Path) -> Path:
    """Two hours of 8 kHz stereo in one file (230 MB, of which the disk holds only what sounds) and its turn table."""
    folder = tmp_path / "long"
    folder.mkdir()
    held = SECONDS * RATE * 4
    header = (
        b"RIFF" + struct.pack("<I", held + 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    )
    with (folder / "call.wav").open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", held))
        file.truncate(44 + held)
    samples = np.memmap(folder / "call.wav", "<i2", "r+", 44, (SECONDS * RATE, 2))
    rows = ["dialogue,turn,speaker,text,audio,start,end"]
    for turn in range(TURNS):
        start = turn * SECONDS / TURNS
        first = round(start * RATE)
        samples[first : first + RATE, turn % 2] = 3_000 * noise(turn, 1) / 0.1
        samples[first : first + RATE, 1 - turn % 2] = 300 * noise(turn + TURNS, 1) / 0.1  # what crosses over
        rows.append(f"call,{turn},{('agent', 'customer')[turn % 2]},turn {turn},call.wav,{start:.3f},{start + 1:.3f}")
    samples.flush()
    (folder / "turns.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_two_hours_and_800_turns_are_read_in_bounded_memory(long_call: Path, tmp_path: Path) -> None:
    started = time.process_time()
    tracemalloc.start()
    corpus = prepare(long_call, channels={"agent": 0, "customer": 1})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table = corpus.utterances
    assert len(table) == TURNS
    assert table["turn"].tolist() == list(range(TURNS))
    assert table["audio_problem"].isna().all()
    assert (table["seconds"] == 1.0).all()
    assert table["sample_rate"].eq(RATE).all()
    assert (table["loudness"] > -25).all()  # the speaker's own channel: what crosses over is at -41 dB
    assert peak < 32e6, "the whole recording would be 460 MB"
    store = FeatureStore(str(tmp_path / "store"))
    some = corpus.with_utterances(table.iloc[::50].reset_index(drop=True))
    vectors, has = read_column(some, extract_column(some, "mfcc", store, workers=1), store)
    assert has.all()
    assert np.isfinite(vectors).all()
    assert time.process_time() - started < 60
