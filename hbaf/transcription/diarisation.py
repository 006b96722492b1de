"""Who says which words on one channel: pieces of speech -> voices -> clusters."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hbaf.corpus.sound.audio import SAMPLE_RATE
from hbaf.corpus.text.recognisers.words import Word
from hbaf.transcription.speaker_encoder import SpeakerEncoder

PAUSE = 0.25  # seconds between two words at which somebody else may begin
SENTENCE_END = (".", "?", "!", "。", "？", "！", "…")
LONG = 1.0  # seconds of speech that tell a voice
LEAST = 2.5  # seconds of speech without which nobody is taken for a person of his own


def name_speakers(
    samples: np.ndarray, words: list[Word], encoder: SpeakerEncoder, *, speakers: int | None, distance: float
) -> list[Word]:
    """The same words with `speaker 1`, `speaker 2` ... in order of appearance.

    Args:
        samples: (samples,) float32 at 16 kHz, of the whole recording.
        words: in order, each with its times.
        speakers: how many people there are; None: as many as are heard.
        distance: mean cosine distance up to which two groups of pieces are one voice, 0..1.
    """
    pieces = split_at_pauses(words)
    spans = [(piece[0].start or 0.0, piece[-1].end or 0.0) for piece in pieces]
    sound = [samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE) + 1] for start, end in spans]
    numbers = cluster(encoder.embed(sound), np.array([end - start for start, end in spans]), speakers, distance)
    order = {number: place for place, number in enumerate(dict.fromkeys(numbers.tolist()), start=1)}
    return [
        word._replace(speaker=f"speaker {order[number]}")
        for piece, number in zip(pieces, numbers.tolist(), strict=True)
        for word in piece
    ]


def split_at_pauses(words: Sequence[Word]) -> list[list[Word]]:
    """Words put together up to a pause or the end of a sentence: people seldom change anywhere else."""
    pieces = [[word] for word in words[:1]]
    for before, word in pairwise(words):
        pause = (word.start or 0.0) - (before.end or 0.0)
        if pause >= PAUSE or before.text.rstrip().endswith(SENTENCE_END):
            pieces.append([])
        pieces[-1].append(word)
    return pieces


def cluster(voices: np.ndarray, seconds: np.ndarray, speakers: int | None, distance: float) -> np.ndarray:
    """The number of the person who speaks each piece.

    Long pieces are clustered; short ones, and those of clusters with too little speech, go to the nearest of the rest.

    Args:
        voices: (pieces, 256), each of length 1.
        seconds: (pieces,) how long each is.
        speakers: number of people; None: by `distance`.

    Returns:
        (pieces,) integers from 0.
    """
    long = np.flatnonzero(seconds >= LONG)
    if len(long) < (speakers or 2):
        long = np.arange(len(voices))
    if len(long) < 2 or speakers == 1:
        return np.zeros(len(voices), int)
    from sklearn.cluster import AgglomerativeClustering

    found = AgglomerativeClustering(
        n_clusters=min(speakers, len(long)) if speakers else None, distance_threshold=None if speakers else distance,
        metric="cosine", linkage="average",
    ).fit_predict(voices[long])  # fmt: skip
    spoken = np.bincount(found, seconds[long])
    kept = np.arange(len(spoken)) if speakers else np.flatnonzero(spoken >= min(LEAST, spoken.max()))
    centres = np.stack([voices[long[found == number]].mean(axis=0) for number in kept])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return (voices @ centres.T).argmax(axis=1)
