"""A recording that hurts its decoder costs itself alone, and nothing of it is kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.sound import measuring
from hbaf.corpus.sound.measuring import Recording, measure_in_processes
from hbaf.parameters import LimitParameters
from hbaf.processes import WorkerError

WHOLE = ((None, None, None),)
SHORT = LimitParameters(sound_seconds=2)


@pytest.fixture(autouse=True)
def no_process_of_another_test(monkeypatch):
    """Those begun here end here."""
    began: list[measuring.Decoder] = []
    monkeypatch.setattr(measuring, "_idle", began)
    yield
    for decoder in began:
        decoder.close()


@pytest.fixture
def recordings(tmp_path):
    made = []
    for name in ("a", "deadly", "b", "endless", "huge", "c"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * np.sin(np.arange(8000) / 5), 8000)
        made.append(Recording(tmp_path / f"{name}.wav", WHOLE))
    return made


@pytest.mark.parametrize("workers", [1, 3])
def test_a_recording_that_hurts_costs_itself_alone(recordings, workers, monkeypatch):
    monkeypatch.setattr(measuring, "MEASURE", "tests.corpus.sound.stubborn_decoder")
    found = {one.path.stem: facts for one, facts in measure_in_processes(recordings, workers, SHORT)}
    assert [found[name][0]["seconds"] for name in "abc"] == [1.0, 1.0, 1.0]
    for name in ("deadly", "huge"):
        assert found[name].startswith("crashes its decoder, or needs more than 4096 MiB of memory.")
    assert found["endless"].startswith("takes more than 2 s to decode.")
    assert "--set corpus.limits.sound_seconds=4" in found["endless"]


def test_the_process_is_used_again_until_another_limit_is_asked_for(recordings):
    good = [recordings[0], recordings[2]]
    [first] = {id(decoder.process) for decoder in _after(good, SHORT)}
    [second] = {id(decoder.process) for decoder in _after(good, SHORT)}
    [third] = {id(decoder.process) for decoder in _after(good, LimitParameters(sound_memory=5 << 30))}
    assert first == second != third


def _after(recordings, limits):
    list(measure_in_processes(recordings, 1, limits))
    return list(measuring._idle)


def test_a_process_that_cannot_start_is_said_at_once(recordings, monkeypatch):
    monkeypatch.setattr(measuring, "MEASURE", "hbaf.no_such_module")
    with pytest.raises(WorkerError, match="could not start"):
        list(measure_in_processes(recordings, 2, SHORT))


def test_a_file_of_the_working_directory_is_no_module_of_it(recordings, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    [(_, facts)] = measure_in_processes(recordings[:1], 1, SHORT)
    assert facts[0]["seconds"] == 1.0


# No guard: a spawned process would run the script from its top.
UNGUARDED = """
import sys
from pathlib import Path
from hbaf.corpus.prepare import prepare_corpus
from hbaf.parameters import CorpusParameters
print(prepare_corpus(CorpusParameters(reader="folder", root=Path(sys.argv[1])), workers=2))
"""


def test_a_script_needs_no_guard(recordings, tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    rows = ["dialogue,turn,speaker,text,audio"]
    for number, recording in enumerate(recordings):
        os.link(recording.path, calls / f"{number}.wav")
        rows.append(f"d,{number},Ana,word number {number},{number}.wav")
    (calls / "manifest.csv").write_text("\n".join(rows))
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED)
    ran = subprocess.run([sys.executable, script, calls], capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.partition("PosixPath('")[2].partition("'")[0]).is_dir()
