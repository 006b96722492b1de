"""A folder of recordings -> transcripts that the reader knows, with real models on synthesised speech."""

import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile

from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.read import parameters_of
from hbaf.corpus.schema import CorpusError
from hbaf.corpus.sound.audio import load_audio
from hbaf.features.weights import WeightsError
from hbaf.transcription.engine import TranscriptionError
from hbaf.transcription.engines import make_engine
from hbaf.transcription.transcribe import Outcome, transcribe_folder
from hbaf.transcription.turns import find_words
from tests.transcription.conftest import REASON, WORDS, Spoken
from tests.transcription.speech import errors, wrong_speaker


def states(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    return {one.recording: one.state for one in outcomes}


def test_stereo_calls(calls: Spoken):
    assert states(calls.done.outcomes) == dict.fromkeys(("call1.wav", "call2.wav", "call3.wav"), "made")
    wrong = words = 0
    for name, truth in calls.truth.items():
        segments = calls.segments(name)
        found = errors(" ".join(line.text for line in truth), " ".join(one["text"] for one in segments))
        wrong, words = wrong + found[0], words + found[1]
        assert len(segments) == len(truth)
        assert wrong_speaker(truth, [(one["start"], one["end"], one["channel"]) for one in segments]) < 0.01
    print(f"stereo: word error rate {wrong / words:.3f} of {words} words, {calls.done.seconds:.0f} s")
    assert wrong / words < 0.25


def test_an_interview_on_one_channel(interview: Spoken):
    (truth,), segments = interview.truth.values(), interview.segments("interview")
    assert {one["speaker"] for one in segments} == {"speaker 1", "speaker 2"}
    assert wrong_speaker(truth, [(one["start"], one["end"], one["speaker"]) for one in segments]) < 0.05
    wrong, words = errors(" ".join(line.text for line in truth), " ".join(one["text"] for one in segments))
    print(f"interview: word error rate {wrong / words:.3f} of {words} words")
    assert wrong / words < 0.25


def test_words_of_television(engine_installed: None, real_data: Path):
    """MELD's three dialogues, clips one after the other; each begins with the end of what was said before it."""
    folder = real_data / "meld_clips"
    engine = make_engine(WORDS)
    wrong = words = 0
    began = time.monotonic()
    for _, rows in pd.read_csv(folder / "transcript.csv").groupby("Dialogue_ID"):
        clips = [load_audio(folder / f"dia{row.Dialogue_ID}_utt{row.Utterance_ID}.flac") for row in rows.itertuples()]
        heard, language = find_words(np.concatenate(clips), engine, None)
        assert language == "en"
        assert all(one.start <= other.start for one, other in pairwise(heard))
        found = errors(" ".join(rows["Utterance"]), "".join(word.text for word in heard))
        wrong, words = wrong + found[0], words + found[1]
    print(f"MELD: word error rate {wrong / words:.3f} of {words} words, {time.monotonic() - began:.0f} s for 82 s")
    assert wrong / words < 0.45


def test_where_it_comes_from_is_told(calls: Spoken):
    facts = json.loads((calls.folder / "call1.json").read_text())["hbaf_transcript"]
    assert (facts["engine"], facts["model"], facts["speakers_by"]) == (
        "faster-whisper", "openai/whisper-tiny.en", "channel",
    )  # fmt: skip
    reference = prepare_corpus(parameters_of(calls.folder, {"channels": {"agent": 0, "customer": 1}}), split=False)
    (note,) = reference.corpus.notes
    assert "hbaf transcribe (faster-whisper " in note
    assert f"openai/whisper-tiny.en {facts['revision'][:12]}" in note
    table = reference.corpus.utterances
    assert table["speaker"].tolist() == 3 * 3 * ["agent", "customer"]
    assert table["channel"].tolist() == 3 * 3 * [0, 1]
    assert table["audio_problem"].isna().all()
    assert table["seconds"].notna().all()


def test_nothing_is_done_twice(copy: Path):
    before = {file: file.stat().st_mtime_ns for file in copy.iterdir()}
    done = transcribe_folder(copy, WORDS)
    assert set(states(done.outcomes).values()) == {"up to date"}
    assert {file: file.stat().st_mtime_ns for file in copy.iterdir()} == before


def test_other_settings_and_other_sound_are_heard_again(copy: Path):
    shutil.copyfile(copy / "call2.wav", copy / "call1.wav")
    done = transcribe_folder(copy, WORDS)
    assert states(done.outcomes) == {"call1.wav": "made", "call2.wav": "up to date", "call3.wav": "up to date"}
    for name in ("call2", "call3"):
        (copy / f"{name}.wav").unlink()
        (copy / f"{name}.json").unlink()
    done = transcribe_folder(copy, WORDS.model_copy(update={"longest_turn": 5.0}))
    assert states(done.outcomes) == {"call1.wav": "made"}


def test_what_people_wrote_stays(copy: Path):
    edited = copy / "call1.json"
    edited.write_text(edited.read_text().replace("washing", "sewing"))
    (copy / "call2.json").unlink()
    (copy / "call2.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n")
    content = edited.read_bytes()
    done = transcribe_folder(copy, WORDS.model_copy(update={"longest_turn": 7.0, "workers": 1}))
    assert states(done.outcomes) == {"call1.wav": "edited", "call2.wav": "of others", "call3.wav": "made"}
    assert edited.read_bytes() == content
    assert not (copy / "call2.json").exists()


def test_a_bad_recording_costs_only_itself(copy: Path, tmp_path: Path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copyfile(copy / "call1.wav", folder / "good.wav")
    (folder / "notes.wav").write_text("no sound at all")
    (folder / "good.txt").write_text("ask her again next week")
    (folder / "cut.wav").write_bytes((copy / "call2.wav").read_bytes()[:5000])
    soundfile.write(folder / "silent.wav", np.zeros(32_000), 16_000)
    done = transcribe_folder(folder, WORDS.model_copy(update={"speakers": 1}))  # the encoder of voices is not needed
    assert states(done.outcomes) == {
        "cut.wav": "problem", "good.wav": "made", "notes.wav": "problem", "silent.wav": "problem",
    }  # fmt: skip
    problems = {one.recording: one.problem for one in done.outcomes}
    assert "not audio" in problems["notes.wav"]
    assert "shorter than its header says" in problems["cut.wav"]
    assert "nobody speaks" in problems["silent.wav"]
    assert any(line.startswith("  not transcribed: notes.wav: not audio") for line in done.lines())


def test_in_the_home(calls: Spoken, tmp_path: Path, home: Path):
    """A source that cannot be written, and the same recording under another name."""
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copyfile(calls.folder / "call1.wav", folder / "a.wav")
    there = WORDS.model_copy(update={"place": "home"})
    assert states(transcribe_folder(folder, there).outcomes) == {"a.wav": "made"}
    (file,) = (home / "transcripts").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav"]
    (folder / "a.wav").rename(folder / "b.wav")
    assert states(transcribe_folder(folder, there).outcomes) == {"b.wav": "up to date"}
    corpus = prepare_corpus(parameters_of(folder), split=False).corpus
    assert corpus.utterances["dialogue_id"].unique().tolist() == ["b"]
    assert corpus.utterances["text"].notna().all()
    assert corpus.utterances["speaker"].unique().tolist() == ["channel 0", "channel 1"]


def test_a_kill_costs_the_recording_under_way(calls: Spoken, tmp_path: Path):
    folder = tmp_path / "many"
    folder.mkdir()
    names = [f"{name}-{number}" for number in range(2) for name in calls.truth]
    for name in names:
        shutil.copyfile(calls.folder / f"{name.partition('-')[0]}.wav", folder / f"{name}.wav")
    command = [sys.executable, "-m", "hbaf.cli", "transcribe", str(folder), "--quiet", "--language", "en"]
    command += ["--set", "words.beam=1", "--set", "words.device=cpu", "--set", "words.workers=2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + 200
    while not (made := sorted(folder.glob("*.json"))) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert made
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    kept = {file: file.stat().st_mtime_ns for file in folder.glob("*.json")}
    for file in kept:
        json.loads(file.read_text())  # whole
    done = transcribe_folder(folder, WORDS)
    print(f"killed after {len(kept)} of {len(names)}, which were not heard again")
    assert [one.state for one in done.outcomes].count("up to date") == len(kept) < len(names)
    assert {one.state for one in done.outcomes} == {"up to date", "made"}
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert not [file for file in folder.iterdir() if file.suffix not in (".wav", ".json") and file.stat().st_size]


def test_no_recordings(engine_installed: None, tmp_path: Path):
    with pytest.raises(CorpusError, match="no recording in it"):
        transcribe_folder(tmp_path, WORDS)
    with pytest.raises(CorpusError, match="no such folder"):
        transcribe_folder(tmp_path / "nowhere", WORDS)


def test_a_language_that_the_model_does_not_know(copy: Path):
    (copy / "call1.json").unlink()
    with pytest.raises(TranscriptionError, match="knows en alone"):
        transcribe_folder(copy, WORDS.model_copy(update={"language": "de"}))


def test_a_model_that_is_not_here(copy: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="not on this machine"):
        transcribe_folder(copy, WORDS.model_copy(update={"model": "nobody/no-whisper"}))


def test_without_an_engine(tmp_path: Path):
    """What is to be installed, and Whisper's own command, in one message."""
    try:
        import faster_whisper  # noqa: F401
    except ImportError:
        soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
        with pytest.raises(TranscriptionError, match=r"pip install 'hbaf\[words\]'.*whisper .*--output_format json"):
            transcribe_folder(tmp_path)
    else:
        pytest.skip(f"only without the extra; not so: {REASON}")
