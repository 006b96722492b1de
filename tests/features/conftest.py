"""Tiny random models saved as a user would save them, and a tiny corpus of tones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hbaf.corpus.schema import Corpus, as_utterances, empty_splits

SPOKEN = [
    "the",
    "a",
    "i",
    "you",
    "am",
    "is",
    "so",
    "happy",
    "sad",
    "very",
    "today",
    "what",
    "do",
    "not",
    "know",
    "good",
]
WORDS = [*SPOKEN, "good", "morning", "!", "xReact", "xEffect", "xIntent", "[GEN]"]


def tone(hertz: float, seconds: float, loudness: float = 0.1) -> np.ndarray:
    """A buzz with eight harmonics and a little noise, (samples,) float32 at 16 kHz."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    buzz = sum(np.sin(2 * np.pi * hertz * number * time) / number for number in range(1, 9))
    noise = np.random.default_rng(int(hertz)).normal(0, 0.01, len(time))
    return (loudness * (buzz + noise)).astype(np.float32)


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=140,
        pad_token_id=1,
        initializer_range=0.5,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    folder = tmp_path_factory.mktemp("bart")
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=40,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=140,
        init_std=0.5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    model = BartForConditionalGeneration(config)
    # As the published COMET checkpoint: a .bin, which only the weights-only reader may open.
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    save_tokenizer(folder)
    return folder


def tone_corpus(root: Path, count: int) -> Corpus:
    """`count` utterances in dialogues of 4, each with a tone and a text of its own."""
    import hashlib

    import soundfile

    rows = []
    for number in range(count):
        path = root / f"{number}.wav"
        soundfile.write(path, tone(100 + number, 0.3 + 0.01 * (number % 7)), 16_000, subtype="PCM_16")
        rows.append(
            {
                "corpus": "tones",
                "dialogue_id": f"d{number // 4:04}",
                "turn": number % 4,
                "speaker": "a",
                "text": f"i am {'so ' * (number % 5)}happy {number}",
                "audio": path.name,
                "emotion": "joy",
                "audio_digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    return Corpus("tones", root, as_utterances(pd.DataFrame(rows)), empty_splits())
