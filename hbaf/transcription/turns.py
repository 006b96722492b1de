"""The words of one recording: who says what, turn by turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hbaf.corpus.sound.audio import SAMPLE_RATE
from hbaf.corpus.text.recognisers.words import PAUSE, Word, turns_of_words
from hbaf.corpus.text.transcripts.parsed import Turn
from hbaf.parameters import WordsParameters
from hbaf.transcription.diarisation import SENTENCE_END, name_speakers
from hbaf.transcription.engine import Engine
from hbaf.transcription.models import locate_voices
from hbaf.transcription.recording import signals_of
from hbaf.transcription.speaker_encoder import SpeakerEncoder
from hbaf.transcription.voice_activity import find_speech, stretches


@dataclass(frozen=True)
class Heard:
    """What is said in a recording.

    Attributes:
        turns: in the order of their starts.
        seconds: length of the recording.
        language: code; "" where nobody speaks.
        speakers_by: how speakers are known: `channel`, `voice`, or `setting` where one person was announced.
    """

    turns: tuple[Turn, ...]
    seconds: float
    language: str
    speakers_by: str


def hear(path: Path, engine: Engine, parameters: WordsParameters) -> Heard:
    """Voice activity, words, speakers, turns.

    Raises:
        AudioProblem: the recording gives no usable signal.
        WeightsError: several people may speak on one channel, and the encoder of voices is not here.
    """
    turns: list[Turn] = []
    language, seconds, by = parameters.language, 0.0, "channel"
    for channel, samples in signals_of(path):
        seconds = max(seconds, len(samples) / SAMPLE_RATE)
        several = channel is None and parameters.speakers != 1
        encoder = SpeakerEncoder(locate_voices()) if several else None  # if it is absent, before anything is heard
        words, language = find_words(samples, engine, language)
        if channel is None:
            by = "setting" if encoder is None else "voice"
            words = _with_speakers(words, samples, encoder, parameters)
        numbered = number_turns(words, parameters.longest_turn)
        turns += turns_of_words(numbered, None if channel is None else str(channel))
    return Heard(_in_order(turns), seconds, language or "", by)


def _with_speakers(
    words: list[Word], samples: np.ndarray, encoder: SpeakerEncoder | None, parameters: WordsParameters
) -> list[Word]:
    if encoder is None or not words:
        return [word._replace(speaker="speaker 1") for word in words]
    return name_speakers(samples, words, encoder, speakers=parameters.speakers, distance=parameters.distance)


def find_words(samples: np.ndarray, engine: Engine, language: str | None) -> tuple[list[Word], str | None]:
    """Times from the beginning of the recording; the language of the first stretch is that of all."""
    found: list[Word] = []
    for start, end in stretches(find_speech(samples)):
        part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        words, language = engine.words(part, language)
        found += [
            word._replace(start=start + (word.start or 0.0), end=min(end, start + (word.end or 0.0))) for word in words
        ]
    return found, language


def number_turns(words: Sequence[Word], longest: float) -> list[Word]:
    """Words with a new number in `segment` where a turn has lasted long enough and a sentence ends."""
    found = [word._replace(segment=0) for word in words[:1]]
    begin, segment = found[0].start if found else None, 0
    for before, word in pairwise(words):
        pause = (word.start or 0.0) - (before.end or 0.0)
        too_long = (before.end or 0.0) - (begin or 0.0) > longest and before.text.rstrip().endswith(SENTENCE_END)
        if too_long or pause > PAUSE or word.speaker != before.speaker:
            begin, segment = word.start, segment + too_long
        found.append(word._replace(segment=segment))
    return found


def _in_order(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: (turn.start or 0.0, turn.channel or "")))
