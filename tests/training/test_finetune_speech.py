"""Fine-tuning of a speech model: a tiny random wav2vec 2.0 on tones, high and low."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from feature_store.store import FeatureStore
from hbaf.corpus.schema import Corpus, as_utterances
from hbaf.corpus.sound.facts import add_facts
from hbaf.features.contract import check_extractor, tone
from hbaf.features.cross_fit import extract_cross_fitted, read_cross_fitted
from hbaf.features.registry import make_extractor
from hbaf.parameters import FineTuneParameters
from hbaf.training.finetuning.finetune import finetune


@pytest.fixture
def wav2vec2(tmp_path: Path) -> Path:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=15,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer",
    )
    Wav2Vec2Model(config).save_pretrained(tmp_path / "model")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_speech_model_learns_from_audio(wav2vec2: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(16):
        soundfile.write(tmp_path / f"{number}.wav", tone(100 + 200 * (number % 2), 0.2 + 0.01 * number), 16_000)
        rows.append({"corpus": "tones", "dialogue_id": f"d{number // 2}", "turn": number % 2, "text": None,
                     "text_problem": "none",
                     "audio": f"{number}.wav", "emotion": "joy" if number % 2 else "anger"})  # fmt: skip
    rows.append({**rows[-1], "dialogue_id": "d0", "turn": 2, "audio": None, "audio_problem": "lost"})
    splits = pd.DataFrame({"dialogue_id": [f"d{n}" for n in range(8)], "split": ["train"] * 6 + ["dev", "test"]})
    corpus = add_facts(
        Corpus("tones", tmp_path, as_utterances(pd.DataFrame(rows)), splits.astype("str"), ("joy", "anger")), workers=1
    )
    parameters = FineTuneParameters(
        encoder=f"speech:{wav2vec2}", cross_fit=2, max_epochs=1, batch_size=4, device="cpu", threads=1, max_seconds=0.3
    )
    encoder = finetune(corpus, parameters)
    assert encoder.modality == "audio"
    check_extractor(make_extractor(encoder.name, part="fold-1", device="cpu"))
    store = FeatureStore(str(tmp_path / "store"))
    vectors, present = read_cross_fitted(corpus, extract_cross_fitted(corpus, encoder.name, store), store)
    lost = corpus.utterances["audio"].isna().to_numpy()
    assert (present == ~lost).all()
    assert vectors.shape == (17, 32)
    assert np.isfinite(vectors[present]).all()
