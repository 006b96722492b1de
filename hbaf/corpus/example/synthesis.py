"""Sentences -> spoken wav files, by the espeak-ng library in a process of its own.

espeak-ng is GPL-3 and comes with the wheel `espeakng-loader`, an optional extra. This project neither links nor imports
it: `synthesise` starts `python -m hbaf.corpus.example.synthesis` and talks to it over pipes, one JSON object a line.
Only that process loads the library.

    stdin   {"wav": "/absolute/path.wav", "text": "...", "voice": "en-us+f2", "rate": 175, "volume": 100, "pitch": 50,
             "range": 50}
    stdout  {"wav": "/absolute/path.wav", "seconds": 1.93}

The audio is not reproducible bit by bit; durations, pitch and level are, within tolerances.
"""

import ctypes
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import wave
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from hbaf.corpus.schema import CorpusError
from hbaf.home import write_atomically

SAMPLE_RATE = 22_050  # Hz, what the library makes
# espeak_PARAMETER numbers of speak_lib.h, with the range of each.
ESPEAK_PARAMETERS = {"rate": (1, 80, 450), "volume": (2, 0, 200), "pitch": (3, 0, 99), "range": (4, 0, 99)}
SILENCE_AROUND = 0.05  # seconds before and after the speech, so that no frame is cut at the edge


@dataclass(frozen=True)
class SpokenLine:
    """One file to make.

    Attributes:
        wav: where it goes; 22 050 Hz, 16 bit, mono. Its folder must be there.
        text: what is said.
        voice: accent and variant, "en-us+f2". An unknown variant is silently the plain voice.
        rate: words per minute, 80..450.
        volume: 0..200; 100 is the library's normal level.
        pitch: 0..99 around the voice's own base; 50 is normal.
        range: 0..99, how far the pitch moves; 0 is monotone, 50 is normal.
    """

    wav: Path
    text: str
    voice: str = "en-us"
    rate: int = 175
    volume: int = 100
    pitch: int = 50
    range: int = 50


def synthesiser_missing() -> str | None:
    """None where lines can be spoken, else the reason and the next step."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "the speech synthesiser is not installed: pip install 'hbaf[examples]'"
    return None


def synthesise(
    lines: Sequence[SpokenLine], processes: int = 2, made: Callable[[Path], None] | None = None
) -> dict[Path, float]:
    """Speaks every line into its file; each file appears whole or not at all.

    Args:
        processes: how many synthesisers run side by side.
        made: called after each file, from several threads.

    Returns:
        Seconds of each file.

    Raises:
        CorpusError: the synthesiser is absent, or ended early.
    """
    reason = synthesiser_missing()
    if reason is not None:
        raise CorpusError(reason)
    shares = [share for start in range(processes) if (share := lines[start::processes])]
    seconds: dict[Path, float] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(shares))) as pool:
        for part in pool.map(lambda share: _speak_in_process(share, made), shares):
            seconds.update(part)
    return seconds


def _speak_in_process(lines: Sequence[SpokenLine], made: Callable[[Path], None] | None) -> dict[Path, float]:
    seconds: dict[Path, float] = {}
    # Jobs come from a file, not a pipe, and complaints go to one: nobody waits for a full buffer.
    with tempfile.TemporaryFile("w+") as jobs, tempfile.TemporaryFile("w+") as complaints:
        jobs.writelines(json.dumps(asdict(line) | {"wav": str(line.wav)}) + "\n" for line in lines)
        jobs.seek(0)
        command = [sys.executable, "-m", "hbaf.corpus.example.synthesis"]
        with subprocess.Popen(command, stdin=jobs, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:
            assert process.stdout is not None
            try:
                for answer in map(json.loads, process.stdout):
                    path = Path(answer["wav"])
                    seconds[path] = answer["seconds"]
                    if made is not None:
                        made(path)
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0 or len(seconds) != len(lines):
            complaints.seek(0)
            last = (complaints.read().strip().splitlines() or ["no message"])[-1]
            raise CorpusError(
                f"the speech synthesiser ended early (exit {process.returncode}) after {len(seconds)} of "
                f"{len(lines)} lines: {last}. Start it again: what was made is kept."
            )
    return seconds


class _Synthesiser:
    """The library, loaded. One per process: it keeps its state in globals."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._samples = array("h")
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        # The library calls it for as long as the process lives: without this reference Python would free it.
        self._callback = callback_type(self._collect)
        synchronous, no_exit = 2, 0x8000
        rate = self._library.espeak_Initialize(synchronous, 0, str(espeakng_loader.get_data_path()).encode(), no_exit)
        if rate != SAMPLE_RATE:
            raise RuntimeError(f"espeak_Initialize gave {rate}, not {SAMPLE_RATE} Hz")
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wav: "ctypes._Pointer[ctypes.c_short]", count: int, _events: object) -> int:
        if count > 0:
            self._samples.frombytes(ctypes.string_at(wav, 2 * count))
        return 0

    def speak(self, line: SpokenLine) -> array:
        """int16 samples at `SAMPLE_RATE`.

        Raises:
            ValueError: no such voice, or a parameter out of range.
        """
        if self._library.espeak_SetVoiceByName(line.voice.encode()) != 0:
            raise ValueError(f"no voice {line.voice!r}")
        for name, (number, lowest, highest) in ESPEAK_PARAMETERS.items():
            value = getattr(line, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} {value} is not in {lowest}..{highest}")
            self._library.espeak_SetParameter(number, value, 0)
        edge = array("h", bytes(2 * int(SILENCE_AROUND * SAMPLE_RATE)))
        self._samples = array("h", edge)
        text = line.text.encode()
        by_character, utf8 = 1, 1
        self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, by_character, 0, utf8, None, None)
        self._library.espeak_Synchronize()
        self._samples.extend(edge)
        return self._samples


def as_wav(samples: array) -> bytes:
    """The bytes of a mono 16-bit wav file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(SAMPLE_RATE)
        target.writeframes(samples.tobytes())
    return stream.getvalue()


def speak_jobs(jobs: Iterable[str]) -> None:
    """The synthesiser's own process: reads jobs, writes wav files, answers on stdout."""
    synthesiser = _Synthesiser()
    for job in jobs:
        fields = json.loads(job)
        line = SpokenLine(**{**fields, "wav": Path(fields["wav"])})
        samples = synthesiser.speak(line)
        write_atomically(line.wav, as_wav(samples))
        print(json.dumps({"wav": str(line.wav), "seconds": len(samples) / SAMPLE_RATE}), flush=True)


if __name__ == "__main__":
    speak_jobs(sys.stdin)
