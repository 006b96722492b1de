"""A folder of three short conversations without labels, with times in one recording each."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hbaf.corpus.annotations import content_of
from hbaf.corpus.prepare import prepare_corpus
from hbaf.corpus.read import parameters_of
from hbaf.corpus.schema import Corpus
from hbaf.parameters import CorpusParameters

LINES = ("Good morning.", "It is broken again.", "I am so sorry.", "Thank you, that is kind.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`calls`: a17, b2 and c3, of four turns each, Ann and Bob by turns; turn numbers begin at 1."""
    place = tmp_path / "calls"
    place.mkdir()
    rows = ["dialogue,turn,speaker,text,audio,start,end"]
    for dialogue in ("a17", "b2", "c3"):
        tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(8 * 8000) / 8000)
        soundfile.write(place / f"{dialogue}.wav", tone, 8000)
        for turn, line in enumerate(LINES):
            speaker, times = ("Ann", "Bob")[turn % 2], f"{2 * turn},{2 * turn + 1.5}"
            rows.append(f'{dialogue},{turn + 1},{speaker},"{line} {dialogue}",{dialogue}.wav,{times}')
    (place / "calls.csv").write_text("\n".join(rows) + "\n")
    return place


@pytest.fixture
def parameters(folder: Path) -> CorpusParameters:
    return parameters_of(folder)


@pytest.fixture
def corpus(parameters: CorpusParameters) -> Corpus:
    """As its source gives it, measured."""
    return prepare_corpus(parameters, split=False, annotated=False, workers=1).corpus


def content(corpus: Corpus, utterance_id: str) -> str:
    rows = corpus.utterances[corpus.utterances["utterance_id"] == utterance_id].to_dict("records")
    return content_of(rows[0])
