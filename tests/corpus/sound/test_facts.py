"""What is measured of the audio, how it is kept, and the content keys."""

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from hbaf.corpus.readers.folder import read_folder
from hbaf.corpus.schema import FACT_COLUMNS, Corpus, CorpusError
from hbaf.corpus.sound.facts import add_facts, kept_waveform, utterance_keys
from hbaf.corpus.sound.facts_cache import FactsCache
from hbaf.corpus.sound.measuring import Decoder
from hbaf.parameters import CorpusParameters

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="real data absent: ../shared/data")

RATE = 8_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One second of a square wave at full scale for half of it, then silence; a second channel with noise."""
    folder = tmp_path / "calls"
    folder.mkdir()
    square = np.where(np.arange(RATE) % 20 < 10, 1.0, -1.0) * (np.arange(RATE) < RATE // 2)
    for name in ("half.wav", "whole.wav"):  # a turn without times and one with them are not of one recording
        soundfile.write(folder / name, square, RATE)
    other = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(folder / "call.wav", np.stack([square, other], axis=1), RATE)
    (folder / "text.wav").write_text("no sound at all " * 50)
    (folder / "calls.csv").write_text(
        "dialogue,turn,text,audio,channel,start,end\n"
        "a,1,whole,whole.wav,,,\n"
        "a,2,part,half.wav,,0.1,0.3\n"
        "a,3,agent,call.wav,0,,\n"
        "a,4,mixed,call.wav,,,\n"
        "a,5,beyond,half.wav,,7,8\n"
        "a,6,nonsense,text.wav,,,\n"
        "a,7,absent,gone.wav,,,\n"
        "a,8,,whole.wav,,,\n"
    )
    return folder


def read(root: Path) -> Corpus:
    return read_folder(CorpusParameters(reader="folder", root=root))


def test_what_is_measured(root: Path) -> None:
    table = add_facts(read(root)).utterances
    whole, part, agent = table.iloc[0], table.iloc[1], table.iloc[2]
    assert whole["seconds"] == 1.0
    assert whole["sample_rate"] == RATE
    assert whole["loudness"] == pytest.approx(10 * np.log10(0.5), abs=0.01)  # power 1 in half of the time
    assert whole["clipped"] == pytest.approx(0.5, abs=0.01)
    assert whole["voiced_share"] == pytest.approx(17 / 33, abs=0.001)  # the 17th of 33 frames is partly voiced
    assert part["seconds"] == pytest.approx(0.2)
    assert part["voiced_share"] == 1.0
    assert agent["loudness"] == pytest.approx(whole["loudness"])
    assert part["audio_digest"] == whole["audio_digest"] != agent["audio_digest"]
    for name, dtype in FACT_COLUMNS.items():
        assert table[name].dtype == dtype


def test_the_cache_keeps_waveforms_and_the_table_does_not(root: Path) -> None:
    corpus = add_facts(read(root))
    assert "waveform" not in corpus.utterances
    cache = FactsCache()
    assert kept_waveform(cache, root / "whole.wav", (None, None, None)) == "f" * 50 + "0" * 50
    assert kept_waveform(cache, root / "half.wav", (None, 0.1, 0.3)) == "f" * 100
    assert kept_waveform(cache, root / "half.wav", (None, 0.1, 0.2)) == ""  # never measured
    assert kept_waveform(cache, root / "text.wav", (None, None, None)) == ""  # does not decode
    assert kept_waveform(cache, root / "gone.wav", (None, None, None)) == ""


def test_problems_are_marked_and_name_no_folder(root: Path) -> None:
    table = add_facts(read(root)).utterances
    problems = table["audio_problem"]
    assert problems[:3].isna().all()
    assert problems[3].startswith("uncorrelated channels")
    assert problems[4].startswith("segment beyond the end")
    assert problems[5].startswith("not audio")
    assert problems[6] == "no audio at gone.wav"
    assert not problems.dropna().str.contains(str(root)).any()
    assert table.loc[3:6, "seconds"].isna().all()


def test_a_second_run_decodes_nothing(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = add_facts(read(root)).utterances
    monkeypatch.setattr(Decoder, "measure", lambda *_: pytest.fail("decoded again"))
    pd.testing.assert_frame_equal(add_facts(read(root)).utterances, first)
    cache = (home / "cache" / "facts.sqlite").read_bytes()
    assert b"whole.wav" not in cache  # names of recordings may be names of people
    assert b"calls" not in cache


def test_a_changed_file_is_measured_again(root: Path) -> None:
    first = add_facts(read(root)).utterances
    for name in ("half.wav", "whole.wav"):
        soundfile.write(root / name, np.full(RATE * 9, 0.5), RATE)
    second = add_facts(read(root)).utterances
    assert second["seconds"][0] == 9.0
    assert second["audio_digest"][0] != first["audio_digest"][0]
    assert pd.isna(second["audio_problem"][4])


@pytest.mark.parametrize("damage", ["garbage", "truncated", "emptied"])
def test_a_damaged_cache_is_made_anew(root: Path, home: Path, damage: str) -> None:
    first = add_facts(read(root)).utterances
    cache = home / "cache" / "facts.sqlite"
    content = cache.read_bytes()
    cache.write_bytes({"garbage": b"junk" * 2000, "truncated": content[: len(content) // 2], "emptied": b""}[damage])
    pd.testing.assert_frame_equal(add_facts(read(root)).utterances, first)
    add_facts(read(root))
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] == 6


def test_a_locked_cache_does_not_stop_the_run(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbaf.corpus.sound.facts_cache.BUSY", 0.05)
    first = add_facts(read(root)).utterances
    with sqlite3.connect(home / "cache" / "facts.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        pd.testing.assert_frame_equal(add_facts(read(root)).utterances, first)


def test_several_processes_give_the_same(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = add_facts(read(root), workers=1).utterances
    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "other home"))
    pd.testing.assert_frame_equal(add_facts(read(root), workers=2).utterances, alone)


def test_two_processes_at_once_leave_one_good_cache(root: Path, home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hbaf.parameters import CorpusParameters as P;"
        "from hbaf.corpus.sound.facts import add_facts; from hbaf.corpus.readers.folder import read_folder;"
        "print(add_facts(read_folder(P(reader='folder', root=Path(sys.argv[1])))).digest())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    digests = {process.communicate()[0] for process in running}
    assert digests == {add_facts(read(root)).digest() + "\n"}
    with sqlite3.connect(home / "cache" / "facts.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] == 6


def test_content_keys(root: Path) -> None:
    corpus = read(root)
    with pytest.raises(CorpusError, match="add_facts"):
        utterance_keys(corpus.utterances, "audio")
    table = add_facts(corpus).utterances
    audio, text = utterance_keys(table, "audio"), utterance_keys(table, "text")
    assert audio.isna().tolist() == [False, False, False, True, True, True, True, False]
    assert text.isna().tolist() == [False] * 7 + [True]
    assert audio[0] == audio[7]  # the same sound
    assert len(set(audio.dropna())) == 3
    assert text[0] == hashlib.sha256(b"whole").hexdigest()
    assert audio[1] == hashlib.sha256(f"{table['audio_digest'][1]}||0.1|0.3".encode()).hexdigest()
    assert audio[2] == hashlib.sha256(f"{table['audio_digest'][2]}|0||".encode()).hexdigest()
    moved = table.set_index(pd.Index(range(100, 108)))
    assert list(utterance_keys(moved, "audio").index) == list(range(100, 108))


def test_keys_do_not_depend_on_the_place_of_the_corpus(root: Path, tmp_path: Path) -> None:
    first = add_facts(read(root))
    moved = root.rename(tmp_path / "elsewhere")
    second = add_facts(read_folder(CorpusParameters(reader="folder", root=moved, name="calls")))
    assert second.digest() == first.digest()
    pd.testing.assert_series_equal(
        utterance_keys(first.utterances, "audio"), utterance_keys(second.utterances, "audio")
    )


@needs_data
def test_real_clips() -> None:
    corpus = add_facts(read_folder(CorpusParameters(reader="folder", root=DATA / "meld_clips")))
    table = corpus.utterances
    assert table["audio_problem"].isna().all()
    assert (table["sample_rate"] == 16_000).all()
    assert table["seconds"].sum() == pytest.approx(82, abs=1)
    assert ((table["seconds"] - table["duration_s"].astype(float)).abs() < 0.05).all()
    assert table["loudness"].between(-50, -5).all()
    assert table["voiced_share"].between(0.1, 1.0).all()
