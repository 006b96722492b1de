"""The transcripts and tables of public bug reports, where they lie beside the checkout: six turns come out of each."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.text.six_turns import TURNS

CASES = Path(__file__).parents[4] / "shared" / "cases"
NOBODY, NUMBERS, WHISPERX = ("unknown", "unknown"), ("0", "1"), ("SPEAKER_00", "SPEAKER_01")
ENGLISH = [turn.text for turn in TURNS]
# case -> speakers of the turns; None: whoever they are
SPEAKERS: dict[str, tuple[str, str] | None] = {
    "01-youtube-auto-vtt": NOBODY,
    "02-ytdlp-converted-srt": NOBODY,
    "03-rollup-three-lines": NOBODY,
    "08-rev-dash-voice": NOBODY,
    "09-chevron-names": ("ANN", "unknown"),
    "10-phone-number-names": ("1st Agent", "+4917012345"),
    "15-srt-cp1251": NOBODY,
    "16-csv-gbk": ("Ann", "Bob"),
    "17-srt-cp1250": NOBODY,
    "19-textgrid": ("Ann", "Bob"),
    "20-teams-vtt": ("Ann Doe (Contoso)", "Bob Doe (Contoso)"),
    "21-stream-notes-styles": NOBODY,
    "22-hf-pipeline-chunks": NOBODY,
    "23-insanely-fast-speakers": WHISPERX,
    "24-list-of-timestamps": NOBODY,
    "25-deepgram": NUMBERS,
    "26-assemblyai": ("A", "B"),
    "27-azure-batch": ("1", "2"),
    "28-openai-words-only": NOBODY,
    "29-word-list": NOBODY,
    "34-whisperx-nan-null": ("SPEAKER_00", "unknown"),
    "37-offset-and-duration": ("Ann", "Bob"),
    "38-start-only": ("Ann", "Bob"),
    "46-iso-8601-durations": ("Ann", "Bob"),
    "91-whisper-cpp-no-offset": NOBODY,
}
WORDS = {
    "15-srt-cp1251": "Доброе утро, чем могу помочь?",
    "16-csv-gbk": "早上好，有什么可以帮您？",
    "17-srt-cp1250": "Dzień dobry, słucham.",
}


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the checkout (../shared/cases)")
@pytest.mark.parametrize("case", SPEAKERS)
def test_case(case: str, tmp_path: Path) -> None:
    command = tmp_path / "hbaf"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hbaf.cli "$@"\n')
    command.chmod(0o755)
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    environment = {"HBAF": str(command), "HBAF_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(
        ["bash", str(CASES / case / "run")], capture_output=True, text=True, env=environment, timeout=250
    )
    turns = [line for line in done.stdout.splitlines() if line.startswith("turn ")]
    assert len(turns) == 6, done.stdout + done.stderr
    told = SPEAKERS[case] or NOBODY
    for place, line in enumerate(turns):
        assert f"[{told[place % 2]}]" in line
        if case not in WORDS:
            assert repr(ENGLISH[place]) in line
    assert WORDS.get(case, ENGLISH[0]) in turns[0]
    lost = [line for line in turns if " !" in line]
    assert len(lost) == (case == "34-whisperx-nan-null")
    lengths = [float(line.split("(")[-1].split(" s)")[0]) for line in turns if line not in lost]
    assert max(lengths) < 2.6
