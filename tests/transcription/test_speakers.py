"""Who says which words on one channel."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.sound.audio import SAMPLE_RATE, load_audio
from hbaf.corpus.text.recognisers.words import Word, turns_of_words
from hbaf.features.weights import WeightsError
from hbaf.transcription.diarisation import cluster, split_at_pauses
from hbaf.transcription.models import locate_voices
from hbaf.transcription.speaker_encoder import SpeakerEncoder, mel_spectrum
from hbaf.transcription.turns import number_turns


def words(*told: tuple[str, float, float]) -> list[Word]:
    return [Word(f" {text}", start, end) for text, start, end in told]


def test_the_mel_spectrum_of_a_tone():
    at = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    spectrum = mel_spectrum(np.sin(2 * np.pi * 1000 * at).astype(np.float32)).numpy()
    assert spectrum.shape == (101, 40)
    # Slaney's scale is linear up to 1000 Hz, its 15th mel; 8000 Hz is the 45.245th, so bands are 1.1035 apart.
    assert set(spectrum[10:-10].argmax(axis=1)) == {round(15 / (45.245 / 41)) - 1}


def test_voices_of_real_people(voices: Path, real_data: Path):
    """Six actors of RAVDESS, four neutral clips each: the same voice is nearer than others'."""
    encoder = SpeakerEncoder(voices)
    files = [
        file
        for actor in ("01", "02", "03", "04", "05", "06")
        for file in sorted((real_data / "ravdess").glob(f"03-01-01-*-{actor}.flac"))[:4]
    ]
    people = [file.stem.rpartition("-")[2] for file in files]
    vectors = encoder.embed([load_audio(file) for file in files])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    distance = 1 - vectors @ vectors.T
    same = [distance[a, b] for a, b in combinations(range(len(files)), 2) if people[a] == people[b]]
    other = [distance[a, b] for a, b in combinations(range(len(files)), 2) if people[a] != people[b]]
    print(f"median cosine distance {np.median(same):.2f} of one voice, {np.median(other):.2f} of two")
    assert np.median(same) + 0.15 < np.median(other)
    found = cluster(vectors, np.full(len(files), 3.0), 6, 0.37)
    assert sum(
        found[a] == found[b] for a, b in combinations(range(len(files)), 2) if people[a] == people[b]
    ) > 0.7 * len(same)


def test_weights_that_are_not_the_pinned_ones(home: Path):
    place = home / "models" / "speaker-encoder" / "pretrained.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"anything")
    with pytest.raises(WeightsError, match="is not the pinned 39373b86598f"):
        locate_voices()


def test_pieces_end_at_pauses_and_sentences():
    told = words(("Yes.", 0, 0.4), ("and", 0.45, 0.6), ("then", 0.62, 0.8), ("we", 1.2, 1.3), ("left", 1.35, 1.6))
    assert [[word.text.strip() for word in piece] for piece in split_at_pauses(told)] == [
        ["Yes."], ["and", "then"], ["we", "left"],
    ]  # fmt: skip
    assert split_at_pauses([]) == []


def test_short_pieces_go_to_the_nearest_voice():
    one, other, stray = np.eye(3)
    voices = np.stack([one, other, one, other, 0.9 * one + 0.1 * other, stray])
    seconds = np.array([3.0, 3.0, 3.0, 3.0, 0.4, 1.1])
    found = cluster(voices, seconds, None, 0.4)
    assert found[:5].tolist() == [found[0], found[1], found[0], found[1], found[0]]
    assert set(found) == {0, 1}  # a second of somebody is nobody
    assert cluster(voices, seconds, 1, 0.4).tolist() == [0] * 6
    assert len(set(cluster(voices, seconds, 3, 0.4))) == 3
    assert cluster(voices[:1], seconds[:1], None, 0.4).tolist() == [0]


def test_long_turns_end_with_a_sentence():
    told = words(*[(f"word{number}{'.' if number % 5 == 4 else ''}", number, number + 0.9) for number in range(20)])
    turns = turns_of_words(number_turns(told, 7.0), "0")
    assert [(turn.start, turn.end) for turn in turns] == [(0, 9.9), (10, 19.9)]
    assert len(turns_of_words(number_turns(told, 100.0), "0")) == 1
    assert number_turns([], 7.0) == []


def test_a_new_speaker_begins_a_new_turn():
    told = [Word(" Hello.", 0, 1, "a"), Word(" Hi", 1.1, 1.5, "b"), Word(" there.", 1.6, 2, "b")]
    assert [(turn.speaker, turn.text) for turn in turns_of_words(number_turns(told, 20.0))] == [
        ("a", "Hello."),
        ("b", "Hi there."),
    ]
