"""Speech models through the real loading code, on tiny random models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hbaf.features.audio.speech_models import SpeechModel
from hbaf.features.contract import tone
from hbaf.features.registry import make_extractor
from hbaf.features.weights import WeightsError


def speech(folder: Path, **settings: object) -> SpeechModel:
    return SpeechModel("speech", model=str(folder), device="cpu", **settings)  # type: ignore[arg-type]


def test_mean_over_the_frames_of_a_layer(wavlm: Path) -> None:
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    signal = tone(150, 0.7)
    inputs = AutoFeatureExtractor.from_pretrained(wavlm)([signal], sampling_rate=16_000, return_tensors="pt")
    model = AutoModel.from_pretrained(wavlm).eval()
    with torch.no_grad():
        layers = model(inputs["input_values"], output_hidden_states=True).hidden_states
    assert len(layers) == 4
    batch = [tone(200, 1.5), signal]  # padded beside a longer one
    np.testing.assert_allclose(speech(wavlm).extract(batch)[1], layers[3][0].mean(dim=0).numpy(), atol=2e-5)
    np.testing.assert_allclose(speech(wavlm, layer=1).extract(batch)[1], layers[1][0].mean(dim=0).numpy(), atol=2e-5)
    assert speech(wavlm).identity() == speech(wavlm, layer=3).identity()
    with pytest.raises(ValueError, match="layer must be -4 to 3, not 4"):
        speech(wavlm, layer=4)


def test_only_models_that_padding_cannot_change_are_padded(
    wav2vec2_group: Path, wav2vec2_layer: Path, data2vec: Path
) -> None:
    assert not speech(wav2vec2_group).pads
    assert speech(wav2vec2_layer).pads
    assert not speech(data2vec).pads


def test_400_samples_are_the_shortest(wav2vec2_layer: Path) -> None:
    vectors = speech(wav2vec2_layer).extract([tone(150, 1)[:399], tone(150, 1)[:400]])
    assert np.isnan(vectors[0]).all()
    assert np.isfinite(vectors[1]).all()


def test_silence_and_loudness(wav2vec2_layer: Path) -> None:
    quiet, loud, silent = speech(wav2vec2_layer).extract(
        [tone(150, 0.5, 0.01), 10 * tone(150, 0.5, 0.01), np.zeros(8000, np.float32)]
    )
    np.testing.assert_allclose(quiet, loud, atol=1e-2)  # the model wants normalised audio
    assert np.isfinite(silent).all()


def test_long_audio_is_the_mean_over_all_its_parts(wav2vec2_layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = tone(150, 3.0)
    parts = speech(wav2vec2_layer, chunk_seconds=1.0)
    longest: list[int] = []
    monkeypatch.setattr(
        parts, "compute", lambda some, call=parts.compute: longest.append(max(map(len, some))) or call(some)
    )
    found = parts.extract([signal])
    assert max(longest) == 16_000
    # Three equal parts of one signal: the mean of what they give alone, were they normalised by the whole.
    whole = (signal - signal.mean()) / signal.std()
    monkeypatch.setitem(parts._preprocessor, "do_normalize", False)
    alone = parts.extract(np.split(whole.astype(np.float32), 3))
    np.testing.assert_allclose(found[0], alone.mean(axis=0), atol=1e-4)


def test_what_is_no_such_model_says_so(roberta: Path, wavlm: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no 'conv_kernel', so no model of the wav2vec 2.0 family"):
        make_extractor(f"speech:{roberta}")
    shutil.copytree(wavlm, tmp_path / "at8k")
    config = json.loads((wavlm / "preprocessor_config.json").read_text())
    (tmp_path / "at8k" / "preprocessor_config.json").write_text(json.dumps({**config, "sampling_rate": 8000}))
    with pytest.raises(WeightsError, match="at 8000 Hz"):
        speech(tmp_path / "at8k").extract([tone(150, 0.5)])
    (tmp_path / "at8k" / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="whether the model wants normalised audio"):
        speech(tmp_path / "at8k").extract([tone(150, 0.5)])
    with pytest.raises(WeightsError, match="needs a model"):
        make_extractor("speech")
