"""Calls and interviews that are synthesised, with who says what and when."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from hbaf.corpus.example.synthesis import SAMPLE_RATE, SpokenLine, synthesise

LINES = (
    "Good morning, how can I help you?",
    "Hello, my washing machine is broken again and I am really angry.",
    "I am sorry to hear that. When did the problem begin?",
    "It started on Monday, and nobody answered my letters.",
    "You will get a new one tomorrow, free of charge.",
    "Well, I hope that it will work this time.",
)
STEREO = {
    "call1": ("en-us+m3", "en-us+f2"),
    "call2": ("en-us+f3", "en-us+f1"),
    "call3": ("en-gb-x-rp+m1", "en-us+m7"),
}
MONO = {"interview": ("en-us+m3", "en-us+f2")}


@dataclass(frozen=True)
class Line:
    """What one person says: start and end in seconds, who (0 or 1), the words."""

    start: float
    end: float
    who: int
    text: str


def speak(folder: Path, calls: dict[str, tuple[str, str]], *, stereo: bool) -> dict[str, list[Line]]:
    """Writes NAME.wav for every call, one channel for each person or one for both, and returns who says what."""
    lines = {
        name: [
            SpokenLine(folder / f".{name}-{number}.wav", text, voices[number % 2], rate=165)
            for number, text in enumerate(LINES)
        ]
        for name, voices in calls.items()
    }
    synthesise([line for some in lines.values() for line in some])
    truth = {}
    for seed, (name, spoken) in enumerate(lines.items()):
        random, at, parts, said = np.random.default_rng(seed), 0.3, [], []
        for number, line in enumerate(spoken):
            samples, _ = soundfile.read(line.wav)
            line.wav.unlink()
            parts.append((round(at * SAMPLE_RATE), number % 2, samples))
            said.append(Line(at, at + len(samples) / SAMPLE_RATE, number % 2, line.text))
            at += len(samples) / SAMPLE_RATE + random.uniform(0.2, 0.7)
        channels = random.normal(scale=3e-4, size=(round((at + 0.5) * SAMPLE_RATE), 2))
        for begin, channel, samples in parts:
            channels[begin : begin + len(samples), channel] += samples
        soundfile.write(folder / f"{name}.wav", channels if stereo else channels.sum(axis=1), SAMPLE_RATE)
        truth[name] = said
    return truth


def errors(wanted: str, found: str) -> tuple[int, int]:
    """(wrong words, words wanted): insertions, deletions and substitutions."""
    a, b = (re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("’", "'")).split() for text in (wanted, found))
    row = list(range(len(b) + 1))
    for number, word in enumerate(a, start=1):
        before, row[0] = row[:], number
        for place, other in enumerate(b, start=1):
            row[place] = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (word != other))
    return row[-1], len(a)


def wrong_speaker(truth: list[Line], turns: list[tuple[float, float, object]]) -> float:
    """Share of the time with words of both in which the wrong one is named, under the best naming."""
    from scipy.optimize import linear_sum_assignment

    names = sorted({str(name) for _, _, name in turns})
    time = np.zeros((2, len(names)))
    for line in truth:
        for start, end, name in turns:
            time[line.who, names.index(str(name))] += max(0.0, min(line.end, end) - max(line.start, start))
    rows, columns = linear_sum_assignment(-time)
    return 1 - float(time[rows, columns].sum() / time.sum())
